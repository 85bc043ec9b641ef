//! `--print-plan` prints what would be installed to standard output, and needs no rights.

use crate::{debian, trixie, unlisted};
use rootstrap_testkit::archive::Archive;
use rootstrap_testkit::deb::Deb;
use rootstrap_tests::world::{KEY, World};
use rootstrap_tests::{machine, need};

fn text(world: &World, arguments: &[&str]) -> String {
    let outcome = world.run(&[&["--print-plan", "--arch=amd64"], arguments].concat()).expect(0);
    String::from_utf8(outcome.stdout).unwrap()
}

/// Returns the lines of a plan without the sizes, which depend on the compressors.
fn without_sizes(plan: &str) -> Vec<String> {
    let cut = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(words[4].parse::<u64>().is_ok(), "{line}");
        words[..4].join(" ")
    };
    plan.lines().map(cut).collect()
}

#[test]
fn a_plan_as_text() {
    let world = trixie();
    let plan = text(&world, &["--include=postfix"]);
    assert_eq!(
        without_sizes(&plan),
        [
            "required base-files 1.0 amd64",
            "required dpkg 1.0 amd64",
            "required libc6 2.41-12 amd64",
            "base apt 3.0.3 amd64",
            "base postfix 3.10 amd64",
        ]
    );
    assert_eq!(text(&world, &["--include=postfix"]), plan);
    assert!(world.server.requests().iter().all(|request| !request.path.contains("/pool/")));
    assert!(world.names("out").is_empty());
}

/// Each line says why it is this version, and from where it comes.
#[test]
fn a_plan_says_why() {
    let of = |world: &World, arguments: &[&str]| {
        let plan = text(world, arguments);
        let line = plan.lines().find(|line| line.contains(" libc6 ")).unwrap().to_owned();
        line.split_whitespace().skip(5).collect::<Vec<_>>().join(" ")
    };
    let world = trixie();
    assert_eq!(of(&world, &[]), "only version trixie");
    let lock = world.path("lock");
    let lock = lock.to_str().unwrap();
    world.finish(world.with_own_arguments(&["lock", "trixie", "--arch=amd64", "-o", lock]).arg("--no-cache")).expect(0);
    assert_eq!(of(&world, &["--lock", lock]), "locked trixie");

    let files = debian(|pocket| if pocket == "security" { vec![Deb::new("libc6", "2.41-13")] } else { Vec::new() });
    let world = World::serving_below("trixie", "/debian", files);
    std::fs::write(world.path("own.deb"), Deb::new("libc6", "9").arch("amd64").build()).unwrap();
    for (arguments, expected) in [
        (&[][..], "newest version trixie-security"),
        (&["--include=libc6=2.41-12"], "asked for trixie"),
        (&["--pin=libc6 version 2.41-12 990"], "priority 990 trixie"),
        (&["--include=./own.deb"], "asked for ."),
    ] {
        assert_eq!(of(&world, arguments), expected);
    }
}

#[test]
fn a_plan_as_json() {
    let world = trixie();
    let outcome = world.run(&["--print-plan=json", "--arch=amd64"]).expect(0);
    let plan: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    let phases = plan["phases"].as_array().unwrap();
    assert_eq!(phases[0]["name"], "required");
    let first = &phases[0]["packages"][0];
    assert_eq!(first["name"], "base-files");
    assert_eq!(first["version"], "1.0");
    assert_eq!(first["architecture"], "amd64");
    assert_eq!(first["path"], "pool/main/b/base-files/base-files_1.0_amd64.deb");
    let names: Vec<&str> = phases
        .iter()
        .flat_map(|phase| phase["packages"].as_array().unwrap())
        .filter_map(|p| p["name"].as_str())
        .collect();
    assert_eq!(names, ["base-files", "dpkg", "libc6", "apt"]);
    let again = world.run(&["--print-plan=json", "--arch=amd64"]).expect(0);
    assert_eq!(again.stdout, outcome.stdout);
    // What happens to the tree beside packages is in it, and no secret.
    assert_eq!(plan["options"].get("hook"), None);
    std::fs::write(world.path("file"), "x").unwrap();
    let copy = format!("--copy={}:/etc/x", world.path("file").display());
    let more = ["--hostname=web", "--hook=setup=secret", "--root-password-hash=$6$a$b", "--timezone=Europe/Berlin"];
    let more = [&["--print-plan=json", "--arch=amd64", &copy][..], &more].concat();
    let outcome = world.run(&more).expect(0);
    let plan: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    let option = |name: &str| plan["options"][name].as_str().unwrap_or_default().to_owned();
    assert_eq!((option("hostname"), option("timezone")), ("web".to_owned(), "Europe/Berlin".to_owned()));
    assert!(option("copy").starts_with("/etc/x 0644 sha256:2d711642"), "{plan}");
    assert!(option("hook").starts_with("setup=sha256:2bb80d53"), "{plan}");
    assert!(option("root-password-hash").starts_with("sha256:"), "{plan}");
}

#[test]
fn needs_no_rights() {
    let user = need!(machine::user());
    let world = trixie();
    let mut command = world.command_as(&user, &["--print-plan", "--arch=amd64"]);
    let outcome = world.finish(&mut command).expect(0);
    assert_eq!(String::from_utf8(outcome.stdout).unwrap(), text(&world, &[]));
}

#[test]
fn variants_differ_as_they_should() {
    let world = trixie();
    let names = |variant: &str| -> String {
        let plan = text(&world, &[&format!("--variant={variant}")]);
        plan.lines().filter_map(|line| line.split_whitespace().nth(1)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("essential"), "base-files dpkg libc6");
    assert_eq!(names("apt"), "base-files dpkg libc6 apt");
    assert_eq!(names("-"), "base-files dpkg libc6 apt");
    assert_eq!(names("custom"), "");
}

/// Of several pockets, the newest version counts.
#[test]
fn pockets_are_used_together() {
    let files = debian(|pocket| {
        let version = if pocket == "updates" { "2.0" } else { "3.0" };
        vec![Deb::new("base-files", version).field("Essential", "yes").field("Priority", "required")]
    });
    let world = World::serving_below("trixie", "/debian", files);
    for (pockets, expect) in [("release", "1.0"), ("release,updates", "2.0"), ("release,updates,security", "3.0")] {
        let plan = text(&world, &[&format!("--pockets={pockets}")]);
        assert!(plan.contains(&format!("base-files  {expect}")), "{pockets}: {plan}");
    }
}

/// An archive that is `NotAutomatic` has what is asked for from it, and nothing else.
#[test]
fn versions_are_preferred_as_apt_prefers_them() {
    let deb = |name: &str, version: &str| Deb::new(name, version).field("Priority", "optional");
    let mut files = debian(|_| vec![deb("tool", "1").field("Depends", "library"), deb("library", "1")]);
    let backports = Archive::new("trixie-backports")
        .key(&KEY)
        .field("NotAutomatic", "yes")
        .field("ButAutomaticUpgrades", "yes")
        .debs([
            deb("tool", "2").field("Depends", "library (>= 2)"),
            deb("library", "2"),
            deb("base-files", "9").field("Essential", "yes"),
        ]);
    files.extend(backports.build().into_iter().map(|(name, bytes)| (format!("debian/{name}"), bytes)));
    let world = World::serving_below("trixie", "/debian", files);
    let versions = |arguments: &[&str]| {
        let plan = text(&world, &[&["--pockets=+backports", "--include=tool"], arguments].concat());
        let of = |name: &str| {
            let mut lines = plan.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            lines.find(|words| words[1] == name).map_or_else(|| "none".to_owned(), |words| words[2].to_owned())
        };
        [of("tool"), of("library"), of("base-files")].join(" ")
    };
    assert_eq!(versions(&[]), "1 1 1.0");
    assert_eq!(versions(&["--include=tool/trixie-backports"]), "2 2 1.0");
    assert_eq!(versions(&["--pin", "tool,library release n=trixie-backports 501"]), "2 2 1.0");
    assert_eq!(versions(&["--pin", "* release n=trixie-backports 500"]), "2 2 9");
    let preferences = world.path("preferences");
    std::fs::write(&preferences, "Package: *\nPin: release a=trixie-backports\nPin-Priority: 500\n").unwrap();
    let preferences = format!("--preferences={}", preferences.display());
    assert_eq!(versions(&[&preferences]), "2 2 9");
    assert_eq!(versions(&[&preferences, "--pin=base-files version 1.0 600"]), "2 2 1.0");
    let list = world.path("list");
    std::fs::write(&list, "# of ours\ntool/trixie-backports  base-files # both\n\n").unwrap();
    assert_eq!(versions(&[&format!("--include-from={}", list.display())]), "2 2 1.0");
    world
        .run(&["--print-plan", "--arch=amd64", "--include-from=/absent"])
        .expect(2)
        .says(&["cannot use the file /absent: No such file"]);
    world.run(&["--print-plan", "--pin=tool version 1"]).expect(2).says(&["not a valid preference of apt"]);
    world.run(&["--print-plan", "--preferences=/dev/zero"]).expect(2).says(&["it is not a regular file"]);
}

#[test]
fn a_closed_standard_output_is_an_error() {
    let world = unlisted();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = world.command(&["--print-plan", "--arch=amd64", "--no-cache"]);
    let outcome = world.finish(command.stdout(writer)).expect(1);
    assert!(outcome.transcript.contains("error: cannot write to standard output\n"), "{}", outcome.transcript);
}
