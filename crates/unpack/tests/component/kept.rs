//! The stored payload of a deb is the same package again, and damage to it is noticed.

use crate::world::{LATER, World, open, same};
use rootstrap_testkit::compress::Compression;
use rootstrap_testkit::deb::{Deb, ar};
use rootstrap_unpack::{Staged, payload, stage_and_keep};
use std::fs::{self, File};
use std::sync::atomic::AtomicBool;

fn deb(compression: Compression) -> Deb {
    let body: Vec<u8> = (0..60_000u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
    let deb = Deb::new("kept", "1")
        .file("/opt/body", 0o4755, &body)
        .file("/opt/odd", 0o600, "odd")
        .conffile("/etc/kept", "x");
    // dpkg does not know a control.tar in these two formats, and neither does this crate.
    let deb = match compression {
        Compression::Bz2 | Compression::Lzma => deb,
        other => deb.control_compression(other),
    };
    deb.symlink("/opt/link", "body").script("preinst", "#!/bin/sh\n").data_compression(compression)
}

/// Stages a deb and stores its payload in the open file `kept`.
fn keep(world: &mut World, deb: &[u8], kept: &mut File) -> (Staged, bool) {
    let (path, slot) = world.file(deb);
    stage_and_keep(open(path), &world.store, slot, &AtomicBool::new(false), kept).unwrap()
}

fn kept(world: &mut World, deb: &[u8]) -> (Staged, bool, Vec<u8>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (staged, whole) = keep(world, deb, &mut file.reopen().unwrap());
    (staged, whole, fs::read(file.path()).unwrap())
}

fn is_whole(bytes: &[u8]) -> bool {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    payload::is_whole(&mut file.reopen().unwrap())
}

#[test]
fn the_payload_is_the_same_package_for_every_compression() {
    for compression in Compression::ALL {
        let deb = deb(compression);
        let (mut first, mut second) = (World::new(), World::new());
        let (staged, whole, bytes) = kept(&mut first, &deb.build());
        assert!(whole && is_whole(&bytes), "{compression:?}");
        let plain =
            ar(&[("debian-binary", b"2.0\n"), ("control.tar", &deb.control_tar()), ("data.tar", &deb.data_tar())], 0);
        assert_eq!(bytes.len(), plain.len() + 60 + 64, "{compression:?}");
        let again = second.stage(&bytes).unwrap();
        assert_eq!(format!("{:?}", staged.control), format!("{:?}", again.control));
        assert_eq!((&staged.entries, staged.bytes), (&again.entries, again.bytes));
        first.unpack_staged(&[staged], LATER);
        second.unpack_staged(&[again], LATER);
        same("kept", &first.dump(&[]), &second.dump(&[]));
    }
}

#[test]
fn damage_is_noticed() {
    let (_, whole, bytes) = kept(&mut World::new(), &deb(Compression::Xz).build());
    assert!(whole);
    let length = bytes.len();
    for at in [0, 8, 40, 70, 1000, length / 2, length - 125, length - 124, length - 70, length - 64, length - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(!is_whole(&damaged), "byte {at} of {length}");
    }
    for cut in [0, 1, 123, 124, length / 2, length - 1] {
        assert!(!is_whole(&bytes[..cut]), "{cut} bytes");
    }
    assert!(!is_whole(&[&bytes[..], b"x"].concat()));
    assert!(!is_whole(&deb(Compression::None).build()), "a deb without a digest of its own");
}

#[test]
fn a_payload_that_cannot_be_written_does_not_stop_staging() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut world = World::new();
    let (staged, whole) = keep(&mut world, &deb(Compression::Xz).build(), &mut File::open(file.path()).unwrap());
    assert!(staged.entries.is_ok() && !whole, "it cannot be written");
    world.unpack_staged(&[staged], LATER);
    let left_to_dpkg = Deb::new("foreign", "1").file("/../x", 0o644, "x");
    let (staged, whole, _) = kept(&mut world, &left_to_dpkg.build());
    assert!(staged.entries.is_err() && !whole, "it was not read to its end");
}
