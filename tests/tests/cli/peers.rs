//! In the place of debootstrap and mmdebstrap, as far as no program of the root runs.

use crate::{archive, unlisted};
use rootstrap_testkit::archive::Signing;
use rootstrap_testkit::keys::Key;
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::World;
use std::fs;
use std::path::Path;

/// Runs a command of the program with the world's own cache.
fn run(world: &World, arguments: &[&str]) -> Outcome {
    world.finish(world.bare(arguments).env("ROOTSTRAP_CACHE_DIR", world.path("cache")))
}

fn stdout(outcome: &Outcome) -> String {
    String::from_utf8(outcome.stdout.clone()).unwrap()
}

fn keyring(world: &World) -> String {
    format!("--keyring={}", world.path("key.pgp").display())
}

#[test]
fn debootstrap_prints_packages_and_nothing_stays() {
    let world = unlisted();
    let (url, target) = (world.server.url(), world.target("root"));
    let line = [
        "debootstrap",
        "--print-debs",
        "--arch=amd64",
        "--variant=minbase",
        &keyring(&world),
        "fixture",
        &target,
        &url,
    ];
    let outcome =
        run(&world, &line).expect(0).says(&["I: Retrieving InRelease", "I: Valid Release signature (key id "]);
    assert_eq!(stdout(&outcome), "base-files dpkg libc6 apt\n");
    assert!(!Path::new(&target).exists());
}

#[test]
fn debootstrap_downloads_to_where_apt_looks() {
    let world = unlisted();
    let (url, target) = (world.server.url(), world.target("root"));
    let line = [
        "debootstrap",
        "--download-only",
        "--arch=amd64",
        "--variant=minbase",
        &keyring(&world),
        "fixture",
        &target,
        &url,
    ];
    let outcome = run(&world, &line).expect(0);
    assert!(stdout(&outcome).contains("I: Retrieving libc6 2.41-12\n"), "{}", stdout(&outcome));
    let archives = Path::new(&target).join("var/cache/apt/archives");
    let deb = fs::read(archives.join("libc6_2.41-12_amd64.deb")).unwrap();
    assert!(deb.starts_with(b"!<arch>\n"));
    // An archive of them has all that a build needs.
    let tarball = world.target("debs.tgz");
    let line = [
        "debootstrap",
        &format!("--make-tarball={tarball}"),
        "--arch=amd64",
        "--variant=minbase",
        &keyring(&world),
        "fixture",
        &target,
        &url,
    ];
    run(&world, &line).expect(0);
    assert!(fs::read(&tarball).unwrap().starts_with(&[0x1f, 0x8b]));
}

#[test]
fn debootstrap_says_what_is_wrong_in_its_own_way() {
    let world = unlisted();
    for (words, problem) in [
        (&["trixie"][..], "E: You must specify a suite and a target.\n"),
        (&["--no-such-option", "trixie", "x"], "E: unrecognized or invalid option --no-such-option\n"),
        (&["--variant=scratchbox", "trixie", "x"], "E: unsupported variant\n"),
        (&["fixtur", "x"], "E: cannot find the suite `fixtur`\n"),
    ] {
        let outcome = run(&world, &[&["debootstrap"], words].concat()).expect(1);
        assert!(stdout(&outcome).starts_with(problem), "{}", stdout(&outcome));
    }
    // Programs find out in this way which options it has.
    let link = world.path("debootstrap");
    std::os::unix::fs::symlink(rootstrap_tests::program::path(), &link).unwrap();
    let version = std::process::Command::new(&link).arg("--version").output().unwrap();
    assert!(version.stdout.starts_with(b"debootstrap 1.0.145 (rootstrap "));
    assert!(stdout(&run(&world, &["debootstrap", "--help"]).expect(0)).contains("--second-stage-target=DIR"));
}

#[test]
fn command_lines_are_translated() {
    let world = unlisted();
    let line = ["translate", "--", "mmdebstrap", "--variant=apt", "trixie", "x.tar", "deb http://m/debian trixie main"];
    let text = stdout(&run(&world, &line).expect(0));
    let start = "rootstrap trixie x.tar --mirror=http://m/debian --components=main --pockets=release --variant=apt ";
    assert!(text.starts_with(start) && text.ends_with('\n'), "{text}");
    let line =
        ["translate", "--", "/usr/sbin/debootstrap", "--include=a b", "--extractor=ar", "sid", "it's", "http://m"];
    let outcome = run(&world, &line).expect(0).says(&["note: --extractor=ar decides nothing here"]);
    assert!(
        stdout(&outcome).starts_with(r"rootstrap sid 'it'\''s' http://m --format=directory --variant=important "),
        "{}",
        stdout(&outcome)
    );
    for wrong in [&["translate"][..], &["translate", "--", "apk"], &["translate", "--", "debootstrap", "--help"]] {
        let outcome = run(&world, wrong).expect(2);
        assert!(outcome.stdout.is_empty() && outcome.stderr.starts_with("error: "), "{}", outcome.stderr);
    }
}

#[test]
fn mmdebstrap_reads_sources_from_standard_input() {
    let world = unlisted();
    let sources = format!("deb [signed-by={}] {} fixture main\n", world.path("key.pgp").display(), world.server.url());
    let file = world.path("sources.list");
    fs::write(&file, sources).unwrap();
    let mut command = world.bare(&["mmdebstrap", "--variant=apt", "--arch=amd64", "--simulate"]);
    command.env("ROOTSTRAP_CACHE_DIR", world.path("cache")).stdin(fs::File::open(&file).unwrap());
    let outcome = world.finish(&mut command).expect(0);
    assert!(stdout(&outcome).contains("libc6"), "{}", stdout(&outcome));
}

/// Nothing but the signature is left out: `Release` says what the indexes are.
#[test]
fn without_a_look_at_signatures_everything_else_is_checked() {
    let unsigned = |change: &dyn Fn(&mut rootstrap_testkit::Files)| {
        let mut archive = archive("fixture");
        archive.signing = Signing::None;
        let mut files = archive.build();
        change(&mut files);
        World::serving("fixture", files)
    };
    let plan = |world: &World, code: i32| {
        let mirror = format!("--mirror={}", world.server.url());
        run(world, &["fixture", "--print-plan", "--arch=amd64", "--no-check-sig", &mirror]).expect(code)
    };
    let warning = "warning: signatures are not checked";
    plan(&unsigned(&|_| {}), 0).says(&[warning]);
    // A stranger's signature is not looked at either, and the frame around the text does not count.
    let mut archive = archive("fixture");
    (archive.signing, archive.keys) = (Signing::InRelease, vec![Key::generate("stranger")]);
    plan(&World::serving("fixture", archive.build()), 0).says(&[warning]);
    let broken = unsigned(&|files| {
        let indexes: Vec<String> = files.keys().filter(|name| name.contains("/binary-")).cloned().collect();
        indexes.iter().for_each(|name| files.get_mut(name).unwrap().push(b'x'));
    });
    plan(&broken, 3);
    let mirror = format!("--mirror={}", broken.server.url());
    run(&broken, &["lock", "fixture", "--arch=amd64", "--no-check-sig", &mirror]).expect(2).says(&["--no-check-sig"]);
}
