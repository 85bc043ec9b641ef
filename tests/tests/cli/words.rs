//! Arguments that make no sense, and how much is printed.

use crate::{EXTRACT, trixie, unlisted};
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::{World, names};
use rootstrap_tests::{machine, need};
use serde_json::Value;
use std::fs;

/// Runs with these arguments alone.
fn bare(world: &World, arguments: &[&str]) -> Outcome {
    world.finish(&mut world.bare(arguments))
}

#[test]
fn an_unknown_suite_gets_a_suggestion() {
    let world = unlisted();
    let outcome = bare(&world, &["trixi", "out/x"]).expect(2);
    assert_eq!(
        outcome.transcript,
        "error: cannot find the suite `trixi`\n\
         hint: did you mean trixie? A suite rootstrap does not list needs --mirror and --keyring\n"
    );
    let outcome = bare(&world, &["qqqqqqqqqq", "--print-plan"]).expect(2);
    assert_eq!(
        outcome.transcript,
        "error: cannot find the suite `qqqqqqqqqq`\n\
         hint: a suite rootstrap does not list needs --mirror and --keyring\n"
    );
    assert!(world.server.requests().is_empty() && world.names("out").is_empty());
}

#[test]
fn a_mirror_alone_is_not_enough_for_an_unlisted_suite() {
    let world = unlisted();
    let outcome = bare(&world, &["fixture", "--print-plan", "--mirror", &world.server.url()]).expect(2);
    assert!(outcome.transcript.starts_with("error: cannot find the suite `fixture`\n"), "{}", outcome.transcript);
    assert!(world.server.requests().is_empty());
}

#[test]
fn an_unknown_variant_gets_a_suggestion() {
    let world = unlisted();
    let outcome = bare(&world, &["trixie", "out/x", "--variant=minbas"]).expect(2);
    assert_eq!(
        outcome.transcript,
        "error: invalid value 'minbas' for '--variant <NAME>': cannot find the variant minbas\n  \
         hint: did you mean minbase?\n\n\
         For more information, try '--help'.\n"
    );
}

#[test]
fn arguments_that_exclude_each_other() {
    let world = unlisted();
    for (arguments, said) in [
        (["--quiet", "--verbose"], "'--quiet' cannot be used with '--verbose'"),
        (["--no-cache", "--cache-dir=x"], "'--no-cache' cannot be used with '--cache-dir <DIR>'"),
        (["--offline", "--no-cache"], "'--offline' cannot be used with '--no-cache'"),
    ] {
        let outcome = bare(&world, &["trixie", "out/x", arguments[0], arguments[1]]).expect(2).says(&[said]);
        assert!(outcome.stdout.is_empty());
    }
    for arguments in [&["trixie"][..], &[], &["trixie", "out/x", "--jobs=0"], &["trixie", "out/x", "--valid-at=soon"]] {
        bare(&world, arguments).expect(2);
    }
    bare(&world, &["trixie", "--print-plan", "--arch=../x"]).expect(2).says(&["cannot use `../x` as an architecture"]);
    bare(&world, &["trixie", "--print-plan", "--pockets=nightly"])
        .expect(2)
        .says(&["cannot find the pocket `nightly`"]);
}

#[test]
fn a_wrong_source_date_epoch_is_refused() {
    let world = unlisted();
    let outcome = world.finish(world.bare(&["trixie", "--print-plan"]).env("SOURCE_DATE_EPOCH", "yesterday")).expect(2);
    assert_eq!(
        outcome.transcript,
        "error: cannot use SOURCE_DATE_EPOCH: it must be a number of seconds between the years 1970 and 9999\n"
    );
}

#[test]
fn copies_that_cannot_be_made_are_refused_at_once() {
    need!(machine::builder());
    let world = unlisted();
    fs::write(world.path("file"), "").unwrap();
    let copy =
        |word: &str, code| world.run(&[&[&world.target("x"), "--copy", word], &EXTRACT[..]].concat()).expect(code);
    for (word, code, said) in [
        ("file", 2, "error: invalid value 'file' for '--copy <SRC:DEST[:MODE[:USER:GROUP]]>': it must be SRC:DEST"),
        ("file:x", 2, "error: cannot copy file: x is no absolute path without `..`\n"),
        ("file:/../x", 2, "error: cannot copy file: /../x is no absolute path without `..`\n"),
        ("/dev/null:/x", 2, "error: cannot copy /dev/null: it is neither file nor directory nor link\n"),
        ("none:/x", 1, "error: cannot copy none\n  because: No such file or directory (os error 2)\n"),
    ] {
        let outcome = copy(word, code);
        assert!(outcome.transcript.starts_with(said), "{}", outcome.transcript);
    }
    for target in ["out/x", "--print-plan"] {
        world
            .run(&[target, "--copy=file:/x", "--foreign"])
            .expect(2)
            .says(&["cannot use --copy: a first stage is not"]);
    }
    assert!(world.server.requests().is_empty() && world.names("out").is_empty());
    world.run(&[&[&world.target("x"), "--copy=file:/x"], &EXTRACT[..]].concat()).expect(0);
    assert!(world.path("out/x/x").exists());
}

#[test]
fn help_shows_every_option_and_the_exit_codes() {
    let world = unlisted();
    for flag in ["--help", "-h"] {
        let outcome = bare(&world, &[flag]).expect(0);
        let text = String::from_utf8(outcome.stdout).unwrap();
        assert_eq!(outcome.stderr, "");
        assert!(text.contains("Usage: rootstrap [OPTIONS] <SUITE> [TARGET] [MIRROR]"), "{text}");
        for option in ["--image", "--variant", "--include", "--keyring", "--print-plan", "--offline", "--log"] {
            assert!(text.contains(option), "{option} is not in {text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
    let outcome = bare(&world, &["--help"]).expect(0);
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert!(text.contains("Exit status: 0 done, 1 failed, 2 wrong usage, 3 something from the mirror"), "{text}");
    let version = String::from_utf8(bare(&world, &["--version"]).expect(0).stdout).unwrap();
    assert!(version.starts_with("rootstrap ") && version.lines().count() == 1, "{version}");
}

#[test]
fn quiet_is_silent_and_verbose_is_not() {
    let world = unlisted();
    let quiet = world.run(&["--print-plan", "-q"]).expect(0);
    assert_eq!(quiet.stderr, "");
    let loud = world.run(&["--print-plan", "-v"]).expect(0);
    assert_eq!(quiet.stdout, loud.stdout);
    assert!(loud.stderr.contains("signed by ") && loud.stderr.len() > 40, "{}", loud.stderr);
    let failed = world.run(&["--print-plan", "-q", "--include=absent"]).expect(1);
    assert!(failed.stderr.starts_with("error: cannot find the package absent in the archive\n"), "{}", failed.stderr);
}

#[test]
fn a_trace_shows_stages_downloads_and_packages() {
    need!(machine::builder());
    let world = trixie();
    let trace = world.path("trace.json");
    let target = world.target("root.tar");
    let traced = ["-q", "--trace", trace.to_str().unwrap()];
    world.run(&[&[target.as_str()], &EXTRACT[..], &traced].concat()).expect(0);
    let entries: Vec<Value> = serde_json::from_slice(&fs::read(&trace).unwrap()).unwrap();
    let count = |phase: &str, category: &str| {
        entries.iter().filter(|entry| entry["ph"] == phase && entry["cat"] == category).count()
    };
    assert!(
        count("B", "stage") >= 4 && count("b", "deb") > 0 && count("B", "decode") == count("b", "deb"),
        "{entries:?}"
    );
    assert_eq!(count("b", "deb"), count("e", "deb"));
    assert_eq!(
        entries.iter().filter(|it| it["ph"] == "B").count(),
        entries.iter().filter(|it| it["ph"] == "E").count()
    );
    // A run that fails leaves a whole file too.
    let failing = [world.target("other.tar"), "--include=missing".to_owned()];
    world.run(&[&failing.each_ref().map(String::as_str)[..], &traced].concat()).expect(1);
    assert!(serde_json::from_slice::<Vec<Value>>(&fs::read(&trace).unwrap()).is_ok());
    world
        .run(&[world.target("x").as_str(), "--trace", "no/such/place"])
        .expect(2)
        .says(&["error: cannot write the trace "]);
}

#[test]
fn the_metadata_file_says_what_became_of_an_image() {
    need!(machine::builder());
    let world = trixie();
    let target = world.target("root.oci.tar");
    let run = |more: &[&str]| {
        world.run(&[&[target.as_str(), "--tag=team/base:13", "--metadata-file=out.json"], &EXTRACT[..], more].concat())
    };
    let image = || {
        let report: Value = serde_json::from_slice(&fs::read(world.path("out.json")).unwrap()).unwrap();
        assert_eq!(report["version"], 1);
        report["images"][0].clone()
    };
    let outcome = run(&[]).expect(0);
    let made = image();
    assert_eq!(made["state"], "built");
    assert_eq!((&made["name"], &made["tags"][0]), (&"team/base:13".into(), &"team/base:13".into()));
    assert_eq!((&made["packages"], &made["suite"]), (&3.into(), &"trixie".into()));
    assert_eq!(made["target"], target);
    for digest in ["id", "digest"] {
        assert!(outcome.stderr.contains(made[digest].as_str().unwrap()), "{digest}");
    }
    let stages: Vec<&str> = made["times"].as_array().unwrap().iter().map(|it| it["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["indexes", "plan", "unpack", "finish", "publish"]);
    // A failure is written too.
    run(&["--include=missing"]).expect(1);
    let failed = image();
    assert_eq!((&failed["state"], &failed["exit-code"]), (&"failed".into(), &1.into()));
    assert!(failed["error"].as_str().unwrap().starts_with("cannot find the package missing"), "{failed}");
    for (place, said) in [(target.as_str(), "in its place"), ("no/such/place", "its directory does not exist")] {
        world.run(&[target.as_str(), "--metadata-file", place]).expect(2).says(&["(--metadata-file): ", said]);
    }
    fs::create_dir_all(world.path("tree")).unwrap();
    world
        .finish(&mut world.bare(&["image", "tree", "x.oci.tar", "--tag=scratch", "--metadata-file=out.json"]))
        .expect(0);
    assert_eq!(image()["name"], "scratch:latest");
}

#[test]
fn the_log_has_everything_even_with_quiet() {
    let world = unlisted();
    let log = world.path("log");
    let outcome = world.run(&["--print-plan", "-q", "--log", log.to_str().unwrap()]).expect(0);
    assert_eq!(outcome.stderr, "");
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("release: fixture of 2025-01-01T00:00:00Z\nsigned by "), "{text}");
    let outcome = world.run(&["--print-plan", "--log", "no/such/place"]).expect(2);
    assert!(outcome.transcript.starts_with("error: cannot write the log "), "{}", outcome.transcript);
}

#[test]
fn a_whole_run_prints_few_lines() {
    need!(machine::builder());
    let world = trixie();
    let target = world.target("x");
    let outcome = world.run(&[&[target.as_str()], &EXTRACT[..]].concat()).expect(0);
    let mut lines: Vec<&str> = outcome.transcript.lines().collect();
    // The pockets are fetched at the same time, so the order of their lines may differ; so may that of the next two lines.
    lines[..3].sort_unstable();
    lines[4..6].sort_unstable_by(|a, b| b.cmp(a));
    let expect = [
        "release: trixie of 2025-01-01T00:00:00Z",
        "release: trixie-security of 2025-01-01T00:00:00Z",
        "release: trixie-updates of 2025-01-01T00:00:00Z",
        "plan: 3 packages",
        "unpack: 3 packages",
        "debs: 3, SIZE",
        "trixie amd64: 3 packages, SIZE of debs, SIZE of files, in DIR/out/x",
        "indexes TIME, plan TIME, unpack TIME, finish TIME, publish TIME (TIME in all)",
    ];
    assert_eq!(lines, expect);
    assert!(outcome.stdout.is_empty());
    assert_eq!(fs::read_to_string(world.path("out/x/etc/motd")).unwrap(), "hello\n");
    assert_eq!(world.names("out"), ["x"]);
    assert!(names(&world.path("tmp")).is_empty());
}
