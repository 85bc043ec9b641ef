//! What the cache keeps of finished things: less is done again, and no byte differs.

use crate::{probe, shouting, watcher};
use rootstrap_testkit::deb::Deb;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::machine;
use rootstrap_tests::need;
use rootstrap_tests::world::{World, names};
use std::fs;

const FROM_BASE: &str = "the first phase is taken from the cache";
const FROM_RESULT: &str = "the result is taken from the cache";

fn world() -> Result<World, String> {
    machine::root()?;
    // A file of two names is read.
    let paired = Deb::new("paired", "1").field("Priority", "required").file("/usr/share/pair", 0o644, "pair");
    let paired = paired.hardlink("/usr/share/pair-too", "/usr/share/pair");
    let paired = paired.script("postinst", "#!/bin/sh\ncat /usr/share/pair\n");
    base::archive(Layout::Merged, [probe(), watcher(), shouting(), paired]).map(|archive| World::new(&archive))
}

#[test]
fn a_base_is_made_once_and_changes_nothing() {
    let name = "privileged::a_base_is_made_once_and_changes_nothing";
    let world = need!(name, world());
    let build = |more: &[&str]| world.run_again(&[&["-", "-v"], more].concat()).expect(0);
    let whole = |more: &[&str]| world.run(&[&["-", "-v"], more].concat()).expect(0);
    let packages = ["--include=probe,watcher"];
    let (plain, more) = (whole(&[]), whole(&packages));
    assert!(plain.stderr.contains("SHOUT") && more.stderr.contains("SHOUT"));
    assert!(plain.stdout != more.stdout);
    // The last run has left the base for both, and for users of any place to stage.
    for (options, expected) in [(&[][..], &plain), (&packages, &more), (&["--staging=disk"], &plain)] {
        let again = build(options);
        assert!(again.stderr.contains(FROM_BASE) && !again.stderr.contains("SHOUT"), "{}", again.stderr);
        assert!(again.stdout == expected.stdout, "{options:?}");
    }
    assert_eq!(names(&world.path("cache/v1/base")).len(), 1);
    // What has a say in it makes another one.
    for options in ["--slim", "--variant=important", "--mode=unshare"] {
        assert!(!build(&[options]).stderr.contains(FROM_BASE), "{options}");
    }
    // Whatever is damaged is not there, and is made again.
    let bases = names(&world.path("cache/v1/base"));
    for base in &bases {
        let path = world.path("cache/v1/base").join(base);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let again = build(&packages);
    assert!(!again.stderr.contains(FROM_BASE) && again.stdout == more.stdout);
    assert!(build(&packages).stderr.contains(FROM_BASE));
    // Any layer may be lost.
    for layer in names(&world.path("cache/v1")) {
        let path = world.path("cache/v1").join(&layer);
        fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).unwrap();
        assert!(build(&packages).stdout == more.stdout, "without {layer}");
    }
}

#[test]
fn a_user_has_bases_too() {
    let name = "privileged::a_user_has_bases_too";
    let user = need!(name, machine::user());
    let world = need!(name, world());
    let expected = world.run(&["-", "--include=probe"]).expect(0).stdout;
    for mode in ["--mode=unshare", "--mode=single"] {
        // Both before either runs: making one forgets what was kept.
        let more: [&[&str]; 2] = [&["-", "-v", mode], &["-", "-v", mode, "--include=probe"]];
        let [first, second] = more.map(|arguments| world.command_as(&user, arguments));
        let [_, second] = [first, second].map(|mut command| world.finish(&mut command).expect(0));
        assert!(second.stderr.contains(FROM_BASE), "{mode}: {}", second.stderr);
        assert!(second.stdout == expected, "{mode}");
    }
}

#[test]
fn an_archive_of_which_nothing_has_changed_is_copied() {
    let name = "privileged::an_archive_of_which_nothing_has_changed_is_copied";
    let world = need!(name, world());
    for target in ["a.tar", "b.tar.gz", "c.oci.tar"] {
        let path = world.target(target);
        let build = |more: &[&str]| {
            let _ = fs::remove_file(&path);
            let outcome = world.run_again(&[&[path.as_str(), "-v"], more].concat()).expect(0);
            (outcome.stderr.contains(FROM_RESULT), fs::read(&path).unwrap())
        };
        let first = build(&[]);
        assert!(!first.0);
        assert!(build(&[]) == (true, first.1.clone()), "{target}");
        assert!(build(&["--sync=no"]) == (true, first.1.clone()), "{target}");
        for options in ["--include=probe", "--slim", "--components=main", "--copy=key.pgp:/key"] {
            assert!(!build(&[options]).0, "{target} {options}");
        }
        for result in names(&world.path("cache/v1/result")) {
            let path = world.path("cache/v1/result").join(result);
            let length = fs::metadata(&path).unwrap().len();
            fs::File::options().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
        }
        assert!(build(&[]) == (false, first.1), "{target}: a damaged one was taken");
    }
}
