//! Places that cannot be a target are refused before anything is fetched, and stay as they were.

use crate::{EXTRACT, trixie, unlisted};
use rootstrap_testkit::tree;
use rootstrap_tests::{machine, need};
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn places_that_cannot_be_filled() {
    need!(machine::builder());
    let world = unlisted();
    let out = world.path("out");
    fs::create_dir_all(out.join("full/inner")).unwrap();
    fs::write(out.join("full/inner/file"), "precious").unwrap();
    fs::write(out.join("file"), "precious").unwrap();
    fs::create_dir(out.join("directory.tar")).unwrap();
    symlink("full", out.join("link")).unwrap();
    symlink("nothing", out.join("dangling")).unwrap();
    let before = tree::dump(&out);
    for (target, reason, hint) in [
        ("full", "it is not empty", "remove it first, or choose another directory"),
        (
            "file",
            "it exists and is not a directory",
            "choose another name; an archive is written to names ending in .tar, .tar.gz, .tar.xz or .tar.zst",
        ),
        // A link to a directory is that directory.
        ("link", "it is not empty", "remove it first, or choose another directory"),
        ("link/", "it is not empty", "remove it first, or choose another directory"),
        ("full/..", "it is not empty", "remove it first, or choose another directory"),
        (
            "dangling",
            "it exists and is not a directory",
            "choose another name; an archive is written to names ending in .tar, .tar.gz, .tar.xz or .tar.zst",
        ),
        ("directory.tar", "it exists and is not a regular file", "choose another name"),
        ("file/x", "its parent is not a directory", "choose another place"),
    ] {
        let target = world.target(target);
        let outcome = world.run(&[&target, "--variant=extract"]).expect(2);
        let place = target.replace(world.path("").to_str().unwrap(), "DIR");
        assert_eq!(outcome.transcript, format!("error: cannot use {place} as the target: {reason}\nhint: {hint}\n"));
    }
    assert_eq!(tree::dump(&out), before);
    assert!(world.server.requests().is_empty());
}

#[test]
fn parents_of_the_target_are_made() {
    need!(machine::builder());
    let world = trixie();
    for target in ["a/b/root", "a/c/root.tar"] {
        let path = world.target(target);
        world.run(&[&[path.as_str()], &EXTRACT[..]].concat()).expect(0);
        assert!(fs::metadata(path).is_ok(), "{target}");
    }
    world.run(&[&[&*world.target("a/d/e/root"), "--include=none"], &EXTRACT[..]].concat()).expect(1);
    assert_eq!(world.names("out/a"), ["b", "c"], "what was made for a run that fails is removed");
}

#[test]
fn an_empty_directory_is_filled_and_an_old_archive_replaced() {
    need!(machine::builder());
    let world = trixie();
    let (directory, archive) = (world.target("empty"), world.target("old.tar"));
    fs::create_dir(&directory).unwrap();
    fs::write(&archive, "old").unwrap();
    for target in [&directory, &archive] {
        world.run(&[&[target.as_str()], &EXTRACT[..]].concat()).expect(0);
    }
    assert_eq!(fs::read_to_string(world.path("out/empty/etc/motd")).unwrap(), "hello\n");
    assert!(fs::metadata(&archive).unwrap().len() > 10_000);
    assert_eq!(world.names("out"), ["empty", "old.tar"]);
}

/// `script` gives the run a terminal for its standard output.
#[test]
fn no_archive_to_a_terminal() {
    if !machine::has("script") {
        return rootstrap_tests::skip("script is not installed");
    }
    let world = unlisted();
    let program = rootstrap_tests::program::path().to_str().unwrap();
    for target in ["-", "--image"] {
        let line = format!("{program} trixie {target}");
        let mut command = std::process::Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).stdin(std::process::Stdio::null());
        let outcome = world.finish(command.env("HOME", world.path("home")).env("NO_COLOR", "1")).expect(2);
        let said = String::from_utf8_lossy(&outcome.stdout).replace('\r', "");
        assert_eq!(
            said,
            "error: cannot write an archive to a terminal\n\
             hint: pipe it (| docker import - NAME) or name a TARGET\n"
        );
    }
}

#[test]
fn a_filesystem_has_the_size_label_and_uuid_that_are_asked_for() {
    need!(machine::builder());
    let world = trixie();
    let target = world.target("root.ext4");
    let run = |more: &[&str]| world.run(&[&[target.as_str()], &EXTRACT[..], more].concat());
    run(&["--fs-size=100M", "--fs-label=rootfs", "--fs-uuid=01234567-89ab-cdef-0123-456789abcdef"]).expect(0);
    let image = fs::read(&target).unwrap();
    // The superblock begins at 1024 (ext4(5): s_uuid, s_volume_name).
    let field = |at: usize, length: usize| image[1024 + at..][..length].to_vec();
    assert_eq!(image.len(), 100 << 20);
    assert_eq!(field(0x78, 16), b"rootfs\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(field(0x68, 16), 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes());
    for (option, code, said) in [
        ("--fs-label=seventeen-letters", 2, "cannot use --fs-label: \"seventeen-letters\" has more than 16 bytes"),
        ("--fs-uuid=x", 2, "it must be as 01234567-89ab"),
        ("--fs-size=64K", 1, "cannot make an ext4 image of 65536 bytes: this tree needs "),
    ] {
        run(&[option]).expect(code).says(&[said]);
    }
    let tar = world.target("root.tar");
    world.run(&[&tar, "--fs-size=1G"]).expect(2).says(&["cannot use --fs-size: only an ext4 filesystem has this"]);
    assert_eq!(fs::read(&target).unwrap().len(), image.len(), "what was there stays");
}
