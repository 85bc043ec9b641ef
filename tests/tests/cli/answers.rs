//! Questions that need no build: plans, reasons, suites, and what shells and man(1) know.

use crate::{EXTRACT, trixie, unlisted};
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};

fn said(world: &World, arguments: &[&str], code: i32) -> String {
    let outcome = world.finish(&mut world.with_own_arguments(arguments)).expect(code);
    String::from_utf8(outcome.stdout).unwrap()
}

#[test]
fn a_plan_has_sums_or_is_a_tree() {
    let world = trixie();
    let table = said(&world, &["plan", "trixie", "--arch=amd64", "--include=postfix"], 0);
    let names: Vec<&str> = table.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(names[..6], ["PACKAGE", "base-files:amd64", "dpkg:amd64", "libc6:amd64", "apt:amd64", "postfix:amd64"]);
    assert!(table.lines().last().unwrap().starts_with("5 packages, "), "{table}");
    let tree = said(&world, &["plan", "trixie", "--arch=amd64", "--include=postfix", "--tree"], 0);
    assert_eq!(tree, "essential\n|-- base-files\n`-- dpkg\n    `-- libc6\nincluded\n`-- postfix\nvariant\n`-- apt\n");
    let json = said(&world, &["plan", "trixie", "--arch=amd64", "--json"], 0);
    assert_eq!(json, said(&world, &["trixie", "--arch=amd64", "--print-plan=json"], 0));
    let graph = world.path("out/plan.svg");
    said(&world, &["plan", "trixie", "--arch=amd64", "--graph", graph.to_str().unwrap()], 0);
    assert!(std::fs::read_to_string(graph).unwrap().contains("<title>libc6: "));
    let wrong = world.finish(&mut world.with_own_arguments(&["plan", "trixie", "--graph=plan.png"])).expect(2);
    assert!(wrong.stdout.is_empty());
}

#[test]
fn a_package_has_reasons_for_and_against() {
    let world = trixie();
    let why = said(&world, &["why", "libc6", "trixie", "--arch=amd64"], 0);
    assert_eq!(why, "1. dpkg is essential\n2. dpkg depends on libc6\n");
    let none = said(&world, &["why", "exim4", "trixie", "--arch=amd64"], 1);
    assert!(none.starts_with("exim4 is not installed (amd64)"), "{none}");
    let not = said(&world, &["why-not", "exim4", "trixie", "--arch=amd64"], 0);
    assert!(not.contains("nothing that is installed needs it\n--include=exim4 would add 1 packages, "), "{not}");
    let broken = said(&world, &["why-not", "broken", "trixie", "--arch=amd64"], 0);
    assert!(broken.contains("broken cannot be installed: ") && broken.contains("half"), "{broken}");
    let excluded = said(&world, &["why-not", "exim4", "trixie", "--arch=amd64", "--exclude=exim4"], 0);
    assert_eq!(excluded, "exim4 is excluded (--exclude)\n");
    assert!(said(&world, &["why-not", "libc6", "trixie", "--arch=amd64"], 1).contains("2. dpkg depends on libc6"));
}

#[test]
fn a_machine_is_examined() {
    let world = trixie();
    let doctor = |arguments: &[&str], code: i32| {
        let mut command = world.bare(&[&["doctor"], arguments].concat());
        let mirror = format!("{}/debian", world.server.url());
        command
            .env("ROOTSTRAP_CACHE_DIR", world.path("cache"))
            .env("http_proxy", "http://user:secret@127.0.0.1:9")
            .env("ROOTSTRAP_MIRROR", mirror);
        String::from_utf8(world.finish(&mut command).expect(code).stdout).unwrap()
    };
    // Its mirrors are the host's and the vendor's, which the proxy does not reach.
    let table = doctor(&["trixie", "--timeout=1"], 1);
    for line in [
        "mode root: ",
        "mode single: ",
        "architecture s390x: ",
        "proxy http: http://127.0.0.1:9",
        "bad      mirror trixie: cannot fetch",
    ] {
        assert!(table.contains(line), "{line}: {table}");
    }
    assert!(!table.contains("secret"), "{table}");
    assert!(table.contains(&format!("good     cache {}: ", world.path("cache").display())), "{table}");
    let json = doctor(&["trixie", "--timeout=1", "--json"], 1);
    assert!(json.starts_with("{\"findings\":[{\"condition\":") && json.contains("\"topic\":\"mirror\""), "{json}");
}

#[test]
fn suites_shells_and_manuals_need_no_network() {
    let world = trixie();
    let output = |arguments: &[&str]| {
        let outcome = world.finish(&mut world.bare(arguments)).expect(0);
        String::from_utf8(outcome.stdout).unwrap()
    };
    let suites = output(&["suites"]);
    assert!(suites.starts_with("SUITE ") && suites.lines().any(|line| line.starts_with("noble ")), "{suites}");
    assert!(output(&["suites", "--json"]).contains("\"codename\": \"trixie\""));
    for shell in ["bash", "zsh", "fish"] {
        let script = output(&["completions", shell]);
        assert!(script.contains("variant") && script.contains("second-stage"), "{shell}");
    }
    let pages = world.path("pages");
    std::fs::create_dir(&pages).unwrap();
    output(&["man-pages", pages.to_str().unwrap()]);
    let page = std::fs::read_to_string(pages.join("rootstrap.1")).unwrap();
    assert!(page.contains("Exit status") && pages.join("rootstrap-lock.1").exists());
    assert!(world.server.requests().is_empty());
}

/// Nobody has to cut an archive out of what a wrong command line prints.
#[test]
fn a_wrong_command_line_prints_nothing_to_standard_output() {
    let world = trixie();
    for arguments in [&["trixie", "--image", "--bad"][..], &["image"], &["trixie", "-", "--variant=none"]] {
        let outcome = world.finish(&mut world.bare(arguments)).expect(2);
        assert!(outcome.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn other_names_of_architectures_lead_to_those_of_dpkg() {
    let world = trixie();
    for (name, hint) in [
        ("x86_64", "dpkg's name for it is amd64"),
        ("aarch64", "dpkg's name for it is arm64"),
        ("linux/arm/v7", "dpkg's name for it is armhf"),
        ("../amd64", "dpkg's names are amd64, arm64"),
    ] {
        let arch = format!("--arch={name}");
        let outcome = world.finish(&mut world.with_own_arguments(&["trixie", "--print-plan", &arch])).expect(2);
        outcome.says(&["dpkg knows none of this name", hint]);
    }
}

/// What cannot work ends before packages are fetched, or with what to do about it.
#[test]
fn what_cannot_work_does_not_succeed() {
    need!(machine::builder());
    let world = unlisted();
    let image = world.target("x.oci.tar");
    let with = |more: &[&str]| world.run(&[&[image.as_str()], &EXTRACT[..], more].concat());
    // No registry answers at this port, so the mirror is not asked.
    with(&["--push=127.0.0.1:1/x", "--retries=0"]).expect(1).says(&["error: cannot push to 127.0.0.1:1/x:latest\n"]);
    assert!(world.server.requests().is_empty());
    with(&["--user=nobody2"]).expect(2).says(&["cannot use --user: the image has no user nobody2\n"]);
    with(&["--user=65532:65532"]).expect(0);
    let without = world.run(&[&world.target("root"), "--arch=amd64", "--exclude=dpkg"]).expect(1);
    without.says(&["cannot configure anything: the packages chosen do not include dpkg\nhint: do not exclude dpkg"]);
    for (name, start, what) in [
        ("zeros", &[0; 4][..], "it begins with zeros"),
        ("disk.qcow2", b"QFI\xfb", "it is a qcow2 disk image and no tar archive"),
        ("x.zip", b"PK\x03\x04", "it is a zip archive and no tar archive"),
    ] {
        let path = world.path(name);
        std::fs::write(&path, [start, &[0; 100_000]].concat()).unwrap();
        let made = world.target("of-file.oci.tar");
        world.finish(&mut world.bare(&["image", path.to_str().unwrap(), &made])).expect(1).says(&[what]);
        assert!(!world.path("out/of-file.oci.tar").exists());
    }
}

#[test]
fn progress_can_be_json_or_nothing() {
    let world = trixie();
    let run = |how: &str| {
        let outcome = world.finish(&mut world.with_own_arguments(&["trixie", "--print-plan", "--arch=amd64", how]));
        outcome.expect(0).stderr
    };
    let lines = run("--progress=json");
    assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{lines}");
    assert!(lines.contains("\"stage\":\"indexes\""), "{lines}");
    assert_eq!(run("--progress=none"), "");
    assert!(run("--progress=plain").contains("release: trixie of "));
}
