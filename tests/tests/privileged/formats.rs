//! Archives: every compression contains the same tar, whose bytes are the same for every user and in every run.

use crate::{probe, watcher};
use rootstrap_tests::base::{self, Layout};
use rootstrap_tests::machine::User;
use rootstrap_tests::world::World;
use rootstrap_tests::{machine, need};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

const PACKAGES: &str = "--include=probe,watcher,hello";

fn build(world: &World, user: Option<&User>, name: &str, more: &[&str]) -> Vec<u8> {
    let target = world.target(name);
    let arguments = [&[target.as_str(), PACKAGES], more].concat();
    match user {
        Some(user) => world.finish(&mut world.command_as(user, &arguments)).expect(0),
        None => world.run(&arguments).expect(0),
    };
    fs::read(&target).unwrap()
}

#[test]
fn every_form_holds_the_same_tar() {
    need!(machine::root());
    let world = World::new(&need!(base::archive(Layout::Merged, [probe(), watcher()])));
    let plain = build(&world, None, "a.tar", &[]);
    let mut from_gz = Vec::new();
    let gz = build(&world, None, "a.tar.gz", &[]);
    flate2::read::MultiGzDecoder::new(gz.as_slice()).read_to_end(&mut from_gz).unwrap();
    assert!(from_gz == plain, "gz");
    let mut from_xz = Vec::new();
    let xz = build(&world, None, "a.tar.xz", &[]);
    xz2::read::XzDecoder::new_multi_decoder(xz.as_slice()).read_to_end(&mut from_xz).unwrap();
    assert!(from_xz == plain, "xz");
    let zst = build(&world, None, "a.tar.zst", &[]);
    assert!(zstd::decode_all(zst.as_slice()).unwrap() == plain, "zst");
    let out = world.run(&["-", PACKAGES]).expect(0);
    assert!(out.stdout == plain, "standard output");
    assert!(out.stderr.contains("in standard output\n"), "{}", out.stderr);
    base::assert_nothing_left(&world, &["a.tar", "a.tar.gz", "a.tar.xz", "a.tar.zst"]);
}

#[test]
fn root_and_user_make_the_same_bytes_again_and_again() {
    need!(machine::root());
    let user = need!(machine::user());
    for layout in [Layout::Merged, Layout::Split] {
        let world = World::new(&need!(base::archive(layout, [probe(), watcher()])));
        let first = build(&world, None, "a.tar", &[]);
        assert!(first == build(&world, None, "b.tar", &["--no-cache"][..0]), "a second run");
        assert!(first == build(&world, None, "c.tar", &["--jobs=1"]), "one download at a time");
        assert!(first == build(&world, Some(&user), "d.tar", &[]), "a user");
        let image = |user: Option<&User>, name| build(&world, user, name, &["--image"]);
        let root_image = image(None, "e.tar");
        assert!(root_image == image(Some(&user), "f.tar"), "an image by a user");
        assert!(root_image != first);
        base::assert_nothing_left(&world, &["a.tar", "b.tar", "c.tar", "d.tar", "e.tar", "f.tar"]);
    }
}

#[test]
fn a_tar_says_who_owns_what() {
    let builder = need!(machine::user());
    let world = World::new(&need!(base::archive(Layout::Merged, [probe(), watcher()])));
    let bytes = build(&world, Some(&builder), "a.tar", &[]);
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut seen = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let name = String::from_utf8(entry.path_bytes().to_vec()).unwrap();
        let name = name.trim_start_matches("./").trim_end_matches('/').to_owned();
        let about = (header.mode().unwrap() & 0o7777, header.uid().unwrap(), header.gid().unwrap());
        assert!(header.mtime().unwrap() <= rootstrap_testkit::EPOCH, "{name} is younger than the archive");
        assert!(seen.insert(name.clone(), about).is_none(), "{name} is there twice");
    }
    assert_eq!(seen["usr/bin/suid"], (0o4755, 0, 0));
    assert_eq!(seen["usr/bin/sgid"], (0o2755, 0, 42));
    assert_eq!(seen["srv/mail/box"], (0o600, 8, 8));
    assert_eq!(seen["var/local"], (0o2775, 0, 50));
    assert_eq!(seen["dev/null"], (0o666, 0, 0));
    assert!(!seen.keys().any(|name| name.starts_with("proc/") || name.starts_with("sys/")), "{seen:?}");
}
