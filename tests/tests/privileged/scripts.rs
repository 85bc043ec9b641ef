//! Package scripts that fail: the error names package, script and reason, and there is no target.

use rootstrap_testkit::deb::Deb;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::world::{World, names};
use rootstrap_tests::{machine, need};
use std::fs;
use std::path::Path;

fn fails(script: &str, essential: bool) {
    need!(machine::root());
    let text = "#!/bin/sh\nfor n in $(seq 1 40); do echo \"line $n of bad\"; done\necho 'the last words' >&2\nexit 7\n";
    let mut bad = Deb::new("bad", "1").script(script, text);
    if essential {
        bad = bad.field("Essential", "yes").field("Priority", "required");
    }
    let world = World::new(&need!(base::archive(Layout::Merged, [bad])));
    let outcome = world.run(&[&world.target("root"), "--include=bad"]).expect(1);
    let said = &outcome.stderr;
    assert!(said.contains(&format!("\nerror: cannot run the {script} of bad: exit status 7\n    | ")), "{said}");
    assert!(said.contains("    | line 40 of bad\n    | the last words\n"), "{said}");
    assert!(!said.contains("line 2 of bad"), "more than the last lines: {said}");
    assert_eq!(said.matches("error: ").count(), 1, "{said}");
    let log = said.lines().find_map(|line| line.strip_prefix("the whole log is in ")).expect(said);
    assert!(Path::new(log).starts_with(world.path("tmp")), "{log}");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("line 2 of bad\n") && log.contains("the last words\n"), "{log}");
    base::assert_nothing_left(&world, &[]);
}

#[test]
fn a_preinst_that_fails() {
    fails("preinst", false);
}

#[test]
fn a_postinst_that_fails() {
    fails("postinst", false);
}

#[test]
fn a_preinst_of_the_first_phase_that_fails() {
    fails("preinst", true);
}

#[test]
fn a_postinst_of_the_first_phase_that_fails() {
    fails("postinst", true);
}

#[test]
fn a_script_without_its_interpreter() {
    need!(machine::root());
    for (text, reason) in [
        ("#!/opt/lisp -x\n", "its interpreter /opt/lisp is not in the root\n"),
        ("#! /bin/missing\n", "its interpreter /bin/missing is not in the root\n"),
    ] {
        let bad = Deb::new("bad", "1").script("preinst", text);
        let world = World::new(&need!(base::archive(Layout::Merged, [bad])));
        world.run(&[&world.target("root"), "--include=bad"]).expect(1).says(&["cannot start ", "preinst: ", reason]);
        base::assert_nothing_left(&world, &[]);
    }
}

#[test]
fn a_user_hears_of_a_failing_script_too() {
    let user = need!(machine::user());
    let bad = Deb::new("bad", "1").script("postinst", "#!/bin/sh\necho alas\nexit 3\n");
    let world = World::new(&need!(base::archive(Layout::Merged, [bad])));
    let mut command = world.command_as(&user, &[&world.target("root.tar"), "--include=bad"]);
    world
        .finish(&mut command)
        .expect(1)
        .says(&["error: cannot run the postinst of bad: exit status 3\n    | ", "    | alas\n"]);
    base::assert_nothing_left(&world, &[]);
}

#[test]
fn the_tree_of_a_failure_is_kept_if_asked_for() {
    need!(machine::root());
    let text = "#!/bin/sh\necho left >/left\necho 'curl: (6) Could not resolve host: example.org'\nexit 6\n";
    let bad = Deb::new("bad", "1").script("postinst", text);
    let world = World::new(&need!(base::archive(Layout::Merged, [bad])));
    for (staging, name) in [("memory", "one"), ("disk", "two")] {
        let kept = format!("--keep-failed={}", world.target(name));
        let options = [&world.target("root"), "--include=bad", &format!("--staging={staging}"), &kept];
        let parts =
            ["warning: the tree is kept as the failure left it: rootstrap enter ", "hint: it wanted the network"];
        world.run(&options).expect(1).says(&parts);
        assert_eq!(fs::read_to_string(world.path("out").join(name).join("left")).unwrap(), "left\n");
        assert_eq!(base::prints(&world.path("out").join(name), &["cat", "/left"]), "left\n");
        assert!(!Path::new(&world.target("root")).exists());
        // What is kept is not written over.
        world.run(&options).expect(2).says(&["cannot use --keep-failed: "]);
    }
    // Nothing is kept where no script fails.
    world.run(&[&world.target("root"), &format!("--keep-failed={}", world.target("three"))]).expect(0);
    assert!(!world.path("out/three").exists());
    // Later builds of one plan take the root from the cache, and only the hook runs.
    for round in 0..4 {
        let name = format!("round-{round}");
        let kept = format!("--keep-failed={}", world.target(&name));
        world.run_again(&[&world.target("other"), &kept, "--hook=customize=exit 4"]).expect(1);
        assert!(world.path("out").join(&name).join("etc").exists(), "{name}");
    }
}

#[test]
fn a_failed_run_spoils_standard_output() {
    need!(machine::root());
    let bad = Deb::new("bad", "1").script("postinst", "#!/bin/sh\nexit 1\n");
    let world = World::new(&need!(base::archive(Layout::Merged, [bad])));
    let outcome = world.run(&["-", "--include=bad"]).expect(1);
    assert!(!outcome.stdout.is_empty(), "an empty stream is an empty image");
    let path = world.path("spoiled.tar");
    std::fs::write(&path, &outcome.stdout).unwrap();
    let tar = std::process::Command::new("tar").arg("tf").arg(&path).output().unwrap();
    assert!(!tar.status.success(), "tar takes it for an archive: {}", String::from_utf8_lossy(&tar.stdout));
    let mut archive = tar::Archive::new(outcome.stdout.as_slice());
    assert!(archive.entries().unwrap().any(|entry| entry.is_err()));
}

/// dpkg configures the core set first, and once more in its turn. The scripts run once.
#[test]
fn scripts_of_the_core_run_once() {
    need!(machine::root());
    let later = || Deb::new("later", "1").field("Priority", "optional").file("/usr/share/watched/later", 0o644, "");
    let core = || {
        let core = Deb::new("perl-base", "99:1").field("Priority", "required").field("Essential", "yes");
        core.script("postinst", "#!/bin/sh\necho \"$1\" >>/var/lib/ran\n")
    };
    // A package that has a trigger keeps its script in place all the time.
    let waiting = core().control_member("triggers", 0o644, "interest-noawait /usr/share/watched\n");
    for (core, expected) in [(core(), "configure\n"), (waiting, "configure\nconfigure\ntriggered\n")] {
        let world = World::new(&need!(base::archive(Layout::Merged, [core, later()])));
        let root = world.target("root");
        world.run(&[&root, "--include=later"]).expect(0);
        let read = |path: &str| fs::read_to_string(Path::new(&root).join(path)).unwrap();
        assert_eq!(read("var/lib/ran"), expected);
        assert!(read("var/lib/dpkg/info/perl-base.postinst").contains("/var/lib/ran"));
        let info = names(&Path::new(&root).join("var/lib/dpkg/info"));
        assert!(!info.iter().any(|name| name.contains("rootstrap")), "{info:?}");
        base::assert_consistent(Path::new(&root));
    }
}
