//! Disks that fill up at many moments of a run: in the cache, in the directory for temporary files, beside the target, and under the
//! growing root while scripts write to it.

use crate::host::{case, honest, large, small, small_world, within};
use crate::unharmed::Before;
use rootstrap_testkit::hostile_extent;
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::transcript::Outcome;
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use std::fs;

/// Returns the limits of a filesystem that is too small for `bytes` in `files`, as options of a tmpfs. With the smallest limits it fills
/// while the first small files are made, with a limit on files while the next one is made, with the largest while large files are written.
fn moments(bytes: usize, files: usize) -> Vec<String> {
    let (small, parts) = hostile_extent((1, 1), (5, 10));
    let pages = (1..=small).map(|pages| format!("size={}", 4096 * pages));
    // The top directory is a file too.
    let files = (1..=small.min(files)).map(|files| format!("size=64m,nr_inodes={files}"));
    let parts = (1..=parts).map(|part| format!("size={}", bytes * part / (parts + 1) / 4096 * 4096));
    pages.chain(files).chain(parts).collect()
}

/// What an incompressible package takes at least.
const BYTES: usize = 2_900_000;

/// Runs with a small filesystem at `place`, and again after it has grown. Returns how the first run ended, which has to fail. The second
/// has to succeed.
fn run_on_full_disk(world: &World, place: &str, options: &str, name: &str, arguments: &[&str]) -> Outcome {
    let script = format!(
        "mount -t tmpfs -o mode=0755,{options} none {place} || exit 99\n\
         \"$@\"; code=$?\nls -A out\n\
         mount -o remount,size=512m,nr_inodes=100000 {place} || exit 98\n\
         \"$@\" --quiet >/dev/null || exit 97\ntest -e out/{name} || exit 96\nrm -r out/{name}\nexit $code"
    );
    world.forget();
    fs::create_dir_all(world.path("cache")).unwrap();
    let before = Before::of(world);
    let outcome = world.finish(&mut within(world, &script, arguments));
    let target = format!("{place} with {options}");
    assert_eq!(outcome.code, Some(1), "{target}: {}", outcome.stderr);
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "", "{target}: something is left: {}", outcome.stderr);
    let errors = outcome.stderr.lines().filter(|line| line.starts_with("error: cannot ")).count();
    assert_eq!(errors, 1, "{target}: {}", outcome.stderr);
    before.check(world, &[]);
    outcome
}

#[test]
fn a_disk_that_is_full() {
    need!(machine::root());
    let world = small_world();
    for (place, name, staging, files) in [
        ("cache", "root.tar", "memory", 5),
        ("tmp", "root.tar", "disk", 5),
        ("out", "root.tar", "memory", 1),
        ("out", "root", "disk", 5),
        ("out", "root", "memory", 5),
        ("out", "root.oci.tar", "memory", 1),
        ("out", "root.oci", "memory", 5),
        ("out", "root.tar.gz", "memory", 1),
        ("out", "root.cpio", "memory", 1),
        ("out", "root.ext4", "memory", 1),
    ] {
        for options in moments(BYTES, files) {
            case(&format!("a disk with {options} in {place}, target {name}, staging in {staging}"));
            let (target, staging) = (world.target(name), format!("--staging={staging}"));
            let outcome = run_on_full_disk(&world, place, &options, name, &small(&target, &[&staging]));
            let said = &outcome.transcript;
            assert!(said.contains("No space left on device"), "{place} with {options}: {said}");
            let names = [&format!("DIR/{place}"), "TMPDIR"];
            assert!(names.iter().any(|name| said.contains(name)), "{place} with {options}: no place is named: {said}");
            let hints = ["is full: free some space", "choose another directory with --cache-dir"];
            assert!(hints.iter().any(|hint| said.contains(hint)), "{place} with {options}: {said}");
        }
    }
    honest(&world);
}

/// The program that makes squashfs images says it in its own way.
#[test]
fn a_disk_that_is_full_of_a_squashfs_image() {
    need!(machine::root());
    if !machine::has("sqfstar") && !machine::has("tar2sqfs") {
        return rootstrap_tests::skip("neither sqfstar nor tar2sqfs is installed");
    }
    let world = small_world();
    for options in moments(BYTES, 1) {
        case(&format!("a disk with {options} in out, target root.squashfs"));
        let target = world.target("root.squashfs");
        let outcome = run_on_full_disk(&world, "out", &options, "root.squashfs", &small(&target, &[]));
        let says = ["squashfs image", "No space left on device"];
        assert!(says.iter().any(|text| outcome.stderr.contains(text)), "{options}: {}", outcome.stderr);
    }
}

/// An older result stays as it is when the disk is too full for a new one.
#[test]
fn a_disk_that_is_full_keeps_the_old_result() {
    need!(machine::root());
    let world = small_world();
    for name in ["root.tar", "root.oci.tar", "root.ext4"] {
        for options in moments(BYTES, 0).iter().skip(1) {
            case(&format!("a disk with {options} in out, which has an old {name}"));
            let before = Before::of(&world);
            let script = format!(
                "mount -t tmpfs -o mode=0755,{options} none out && echo old >out/{name} || exit 99\n\
                 \"$@\"; code=$?\nls -A out; cat out/{name}\nexit $code"
            );
            let target = world.target(name);
            let outcome = world.finish(&mut within(&world, &script, &small(&target, &[]))).expect(1);
            assert_eq!(String::from_utf8_lossy(&outcome.stdout), format!("{name}\nold\n"), "{}", outcome.stderr);
            before.check(&world, &[]);
        }
    }
    honest(&world);
}

/// A whole system grows on a disk that is too small for it. Scripts and dpkg meet the full disk too.
#[test]
fn a_disk_that_is_full_of_a_whole_system() {
    need!(machine::root());
    let world = World::new(&need!(base::archive(Layout::Merged, [large()])));
    // This fills the cache and measures the tree.
    world.run(&[&world.target("root"), "--include=large", "--sync=no"]).expect(0);
    let needed: u64 = crate::unharmed::files_below(&world.path("out/root"))
        .iter()
        .map(|path| fs::symlink_metadata(path).unwrap().len().next_multiple_of(4096))
        .sum();
    fs::remove_dir_all(world.path("out/root")).unwrap();
    let parts = hostile_extent(3, 20);
    for part in 1..=parts {
        let options = format!("size={}", needed / 4096 * part / (parts + 1) * 4096);
        for (place, name) in [("tmp", "root.tar"), ("out", "root")] {
            case(&format!("part {part} of {parts} of the disk that a whole system needs in {place}"));
            let target = world.target(name);
            let arguments = [target.as_str(), "--include=large", "--staging=disk", "--sync=no"];
            let outcome = run_on_full_disk(&world, place, &options, name, &arguments);
            assert!(outcome.stderr.contains("No space left on device"), "{options}: {}", outcome.stderr);
        }
    }
}
