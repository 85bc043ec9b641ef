//! The result does not depend on the order of work.

use crate::world::{FIRST, LATER, World, open, same, skipped};
use rootstrap_rootfs::Root;
use rootstrap_testkit::deb::{Deb, Entry};
use rootstrap_testkit::tree;
use rootstrap_unpack::{Staged, stage};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::AtomicBool;
use std::sync::{Barrier, Mutex};

/// Packages that share directories of different modes, links, conffiles and triggers.
fn debs() -> Vec<Deb> {
    (0..12u32)
        .map(|n| {
            let name = format!("p{n}");
            Deb::new(&name, "1")
                .entry(Entry::dir("./shared/", 0o700 + n).owned("", n.into(), "", n.into()))
                .file(&format!("/shared/{name}"), 0o644, vec![b'x'; 100 * n as usize])
                .hardlink(&format!("/shared/{name}.hard"), &format!("/shared/{name}"))
                .symlink("/lib", "shared")
                .conffile(&format!("/etc/{name}"), &name)
                .md5sums(n % 2 == 0)
                .control_member("triggers", 0o644, format!("interest /shared\ninterest t{}\nactivate u{n}\n", n % 3))
        })
        .collect()
}

#[test]
fn staging_in_any_order_and_number_of_threads() {
    if skipped("staging in any order and number of threads") {
        return;
    }
    for rules in [FIRST, LATER] {
        let results: Vec<String> = [(1, false), (1, true), (3, false), (12, true)]
            .into_iter()
            .map(|(threads, reverse)| {
                let mut world = World::new();
                let files: Vec<_> = debs().iter().map(|deb| world.file(&deb.build())).collect();
                let store = Root::open(&world.dir.path().join("store")).unwrap();
                let mut queue: Vec<usize> = (0..files.len()).collect();
                if reverse {
                    queue.reverse();
                }
                let (queue, done) = (Mutex::new(queue), Mutex::new(Vec::new()));
                let begin = Barrier::new(threads);
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            begin.wait();
                            loop {
                                let Some(number) = queue.lock().unwrap().pop() else { break };
                                let (path, slot) = &files[number];
                                let staged = stage(open(path), &store, *slot, &AtomicBool::new(false)).unwrap();
                                done.lock().unwrap().push((number, staged));
                            }
                        });
                    }
                });
                let mut staged = done.into_inner().unwrap();
                staged.sort_by_key(|(number, _)| *number);
                let staged: Vec<Staged> = staged.into_iter().map(|(_, staged)| staged).collect();
                world.unpack_staged(&staged, rules);
                let left = tree::dump(&world.dir.path().join("store"));
                assert!(!left.contains(" file "), "bodies were left behind: {left}");
                world.dump(&[])
            })
            .collect();
        assert!(results[0].contains("/shared dir 0700 0:0\n"), "{}", results[0]);
        for result in &results {
            same("order of work", result, &results[0]);
        }
    }
}

#[test]
fn the_last_directory_wins_if_the_rules_say_so() {
    if skipped("the last directory wins where tar did it") {
        return;
    }
    let mut world = World::new();
    world.unpack(&debs(), rootstrap_unpack::Rules { last_directory_wins: true, ..FIRST });
    assert!(world.dump(&[]).contains("/shared dir 0713 11:11\n"), "{}", world.dump(&[]));
}

#[test]
fn links_that_a_script_created_again_get_their_archived_time() {
    if skipped("links made anew by a script have their own time") {
        return;
    }
    let mut world = World::new();
    let deb = Deb::new("shell", "1").mtime(1000).symlink("/bin/sh", "dash").symlink("/bin/other", "dash");
    let staged = world.stage(&deb.build()).unwrap();
    world.unpack_staged(std::slice::from_ref(&staged), FIRST);
    for (path, target) in [("bin/sh", "dash"), ("bin/other", "elsewhere")] {
        let path = world.path().join(path);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }
    rootstrap_unpack::after_scripts::restore_links(&world.root, &staged).unwrap();
    let time = |path: &str| fs::symlink_metadata(world.path().join(path)).unwrap().mtime();
    assert_eq!(time("bin/sh"), 1000);
    assert!(time("bin/other") > 1000, "what the script made different stays the script's");
}

#[test]
fn a_later_diversion_moves_what_was_merged() {
    if skipped("a later diversion moves what was merged") {
        return;
    }
    let mut world = World::new();
    let debs = [
        Deb::new("a", "1").file("/bin/tool", 0o755, "a's").dir("/lib", 0o711),
        Deb::new("owner", "1").file("/opt/x", 0o644, ""),
    ];
    let staged: Vec<Staged> = debs.iter().map(|deb| world.stage(&deb.build()).unwrap()).collect();
    world.unpack_staged(&staged, FIRST);
    for (from, to) in [("/bin/tool", "/bin/tool.real"), ("/lib", "/lib.usr-is-merged"), ("/opt/x", "/opt/y")] {
        let diversion = rootstrap_unpack::database::Diversion { to: to.into(), package: "owner".into() };
        rootstrap_unpack::after_scripts::divert_merged(&world.root, from.as_bytes(), &diversion, staged.iter())
            .unwrap();
    }
    let there = |path: &str| fs::symlink_metadata(world.path().join(path)).is_ok();
    assert!(there("bin/tool.real") && !there("bin/tool"));
    assert!(there("lib") && there("lib.usr-is-merged"));
    assert!(there("opt/x") && !there("opt/y"));
}
