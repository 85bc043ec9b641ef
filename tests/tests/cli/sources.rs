//! `--source`: archives beside the suite's own, each with its keys.

use crate::archive;
use rootstrap_testkit::Files;
use rootstrap_testkit::archive::{Archive, pool_path};
use rootstrap_testkit::deb::Deb;
use rootstrap_testkit::keys::Key;
use rootstrap_testkit::server::Fault;
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::sync::LazyLock;

/// The key of the team, which signs none of the suite's own archives.
static TEAM: LazyLock<Key> = LazyLock::new(|| Key::generate("team"));

fn tool(version: &str) -> Deb {
    Deb::new("tool", version).arch("all").field("Priority", "optional").field("Depends", "base-files").file(
        "/usr/share/tool",
        0o644,
        "",
    )
}

/// Returns the team's archive, below `team/`. Its Release file names nothing.
fn team() -> Files {
    let mut team = Archive::new("rolling").key(&TEAM).debs([tool("1"), Deb::new("base-files", "0.5")]);
    (team.suite, team.codename, team.origin, team.label) = Default::default();
    let team = team.deb("extra", Deb::new("gadget", "1").arch("all").field("Priority", "optional"));
    team.build().into_iter().map(|(path, bytes)| (format!("team/{path}"), bytes)).collect()
}

/// Returns a flat repository with the tool in a newer version, in the directory `flat/sub/`.
fn flat() -> Files {
    let native = Deb::new("tool", "2").field("Priority", "optional").field("Depends", "base-files");
    let flat = Archive::new("flat").key(&TEAM).debs([native]).flat("sub/");
    flat.into_iter().map(|(path, bytes)| (format!("flat/{path}"), bytes)).collect()
}

fn world() -> World {
    let mut files = archive("fixture").build();
    files.extend(team());
    files.extend(flat());
    let world = World::serving("fixture", files);
    fs::write(world.path("team.gpg"), TEAM.public()).unwrap();
    fs::write(world.path("team.asc"), TEAM.public_armored()).unwrap();
    world
}

/// Plans with `source`, in which `URL` stands for the mirror.
fn plan(world: &World, source: &str, more: &[&str]) -> Outcome {
    let source = source.replace("URL", &world.server.url());
    let arguments = ["--print-plan", "--arch=amd64", "--include=tool", "--source", &source];
    world.run(&[&arguments, more].concat())
}

/// Returns name and version of what is planned of these packages.
fn versions(outcome: Outcome, names: &[&str]) -> String {
    let text = String::from_utf8(outcome.expect(0).stdout).unwrap();
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = lines.filter(|words| names.contains(&words[1])).map(|words| format!("{} {}", words[1], words[2]));
    found.collect::<Vec<_>>().join(", ")
}

#[test]
fn packages_come_from_all_archives() {
    let world = world();
    let names = ["base-files", "gadget", "tool"];
    let of = |source: &str, more: &[&str]| versions(plan(&world, source, more), &names);
    let line = "deb [signed-by=team.gpg arch=amd64 trusted=no] URL/team rolling main extra";
    assert_eq!(of(line, &[]), "base-files 1.0, tool 1", "of one priority the newest counts");
    assert_eq!(of(line, &["--include=gadget"]), "base-files 1.0, gadget 1, tool 1");
    assert_eq!(
        of(line, &["--pin=base-files origin 127.0.0.1 100", "--include=base-files=0.5"]),
        "base-files 0.5, tool 1"
    );
    let flat = "deb [signed-by=team.asc] URL/flat sub/";
    assert_eq!(of(flat, &[]), "base-files 1.0, tool 2");
    let both = [line, flat].map(|line| line.replace("URL", &world.server.url())).join("\n# and\n");
    let file = world.path("both.list");
    fs::write(&file, both).unwrap();
    assert_eq!(of(file.to_str().unwrap(), &[]), "base-files 1.0, tool 2");
    assert_eq!(of(file.to_str().unwrap(), &["--include=tool=1"]), "base-files 1.0, tool 1");
    let armored = String::from_utf8(TEAM.public_armored()).unwrap();
    let key: String = armored.lines().map(|line| format!(" {}\n", if line.is_empty() { "." } else { line })).collect();
    let stanza = format!(
        "Types: deb deb-src\nURIs: {}/team\nSuites: rolling\nComponents: main\nSigned-By:\n{key}",
        world.server.url()
    );
    let file = world.path("team.sources");
    fs::write(&file, stanza).unwrap();
    assert_eq!(of(file.to_str().unwrap(), &[]), "base-files 1.0, tool 1");
}

/// A suite of one name in two archives has a history of its own in each.
#[test]
fn another_archive_of_the_same_suite_is_no_older_state_of_it() {
    let mut files = archive("fixture").build();
    let mut older = Archive::new("fixture").key(&TEAM).debs([tool("1")]);
    older.date -= 86400;
    files.extend(older.build().into_iter().map(|(path, bytes)| (format!("older/{path}"), bytes)));
    let world = World::serving("fixture", files);
    fs::write(world.path("team.gpg"), TEAM.public()).unwrap();
    let line = "deb [signed-by=team.gpg] URL/older fixture main";
    assert_eq!(versions(plan(&world, line, &[]), &["tool"]), "tool 1");
    assert_eq!(versions(plan(&world, line, &["--offline"]), &["tool"]), "tool 1");
}

#[test]
fn sources_that_cannot_be_used() {
    let world = world();
    for (source, code, parts) in [
        (
            "deb URL/team rolling main",
            3,
            &["cannot trust MIRROR/team/dists/rolling/InRelease", "unknown keys", "signed-by"][..],
        ),
        ("deb [signed-by=key.pgp] URL/team rolling main", 3, &["cannot trust MIRROR/team/dists/rolling/InRelease"]),
        ("deb [signed-by=team.gpg] URL/team rolling contrib", 1, &["no component \"contrib\", only main, extra"]),
        ("deb [signed-by=team.gpg arch=arm64] URL/team rolling main", 1, &["cannot find the package tool"]),
        (
            "deb [signed-by=team.gpg] URL/absent rolling main",
            1,
            &["cannot fetch the Release file of rolling", "not found"],
        ),
        (
            "deb [signed-by=team.gpg trusted=yes] URL/team rolling main",
            2,
            &["trusted without a signature", "hint: sign"],
        ),
        ("deb [signed-by=absent.gpg] URL/team rolling main", 2, &["cannot read the keyring absent.gpg"]),
        ("deb [signed-by=both.list] URL/team rolling main", 2, &["cannot read the keyring both.list"]),
        ("deb [allow-insecure=yes] URL/team rolling main", 2, &["its option \"allow-insecure\" is not supported"]),
        ("deb URL/team", 2, &["it has no type, no URI or no suite"]),
        ("deb URL/flat sub/ main", 2, &["a flat repository, so it has no components"]),
        ("absent.sources", 2, &["cannot use the file absent.sources: No such file"]),
        ("/dev/null", 2, &["it is not a regular file"]),
        ("deb [lang] http://me:secret@m.example/x rolling main", 2, &["is no option=value"]),
        ("deb http://me:secret@m.example/x/ rolling", 2, &["so it needs components"]),
        ("deb [signed-by=absent.gpg] http://me:secret@m.example/x rolling main", 2, &["cannot read the keyring"]),
    ] {
        let outcome = plan(&world, source, &[]).expect(code).says(parts);
        assert!(!outcome.stderr.contains("secret"), "{}", outcome.stderr);
    }
    let url = world.server.url();
    let twice = format!(
        "deb [signed-by=team.gpg] {url}/team rolling main\ndeb [signed-by=key.pgp] {url}/team/ rolling extra\n"
    );
    fs::write(world.path("twice"), twice).unwrap();
    plan(&world, "twice", &[])
        .expect(2)
        .says(&["another source names the same archive with other keys", "hint: name it once"]);
    for (one, two, what) in
        [("arch=amd64", "arch=i386", "architectures"), ("check-valid-until=no", "check-valid-until=yes", "options")]
    {
        let lines = [one, two].map(|option| format!("deb [signed-by=team.gpg {option}] {url}/team rolling main\n"));
        fs::write(world.path("twice"), lines.concat()).unwrap();
        plan(&world, "twice", &[]).expect(2).says(&[&format!("the same archive with other {what}")]);
    }
    plan(&world, "deb [signed-by=team.gpg] URL/team rolling main", &["--snapshot=2025-01-01"])
        .expect(2)
        .says(&["cannot use --"]);
}

#[test]
fn a_damaged_package_of_another_archive_is_refused() {
    let world = world();
    let path = format!("team/{}", pool_path("main", &tool("1")));
    world.server.fault(&path, Fault::Corrupt, usize::MAX);
    let target = world.target("x.tar");
    let source = format!("deb [signed-by=team.gpg] {}/team rolling main", world.server.url());
    let arguments = [&target, "--variant=extract", "--arch=amd64", "--include=tool", "--source", &source];
    world.run(&arguments).expect(3).says(&["tool_1_all.deb"]);
    assert_eq!(world.names("out"), [""; 0]);
}

/// The program starts itself again with other rights, and reads its arguments again.
#[test]
fn standard_input_is_read_once_and_used_twice() {
    need!(machine::builder());
    let world = world();
    let target = world.target("x");
    let line = format!("deb [signed-by=team.gpg] {}/team rolling main", world.server.url());
    let source = format!("--source={line}");
    for (text, more) in
        [(line.as_str(), ["--source=-", "--include=tool"]), ("# it\ntool # and\n", ["--include-from=-", &source])]
    {
        let arguments = [&target, "--variant=extract", "--arch=amd64", "--include=libc6", "--no-cache"];
        let mut command = world.command(&[&arguments, &more[..]].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        world.outcome(&child.wait_with_output().unwrap()).expect(0);
        assert!(world.path("out/x/usr/share/tool").exists(), "{more:?}");
        fs::remove_dir_all(&target).unwrap();
    }
    let twice = ["--print-plan", "--source=-", "--include-from=-"];
    world.run(&twice).expect(2).says(&["another option reads standard input too"]);
}
