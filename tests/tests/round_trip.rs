//! Archives that the crate `image` writes, unpacked by the crate `unpack`. Neither of the two may import the other.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use rootstrap_image::tar::{Options, write};
use rootstrap_rootfs::{Attributes, Root};
use std::sync::atomic::AtomicBool;

#[test]
fn a_written_archive_is_unpacked_with_its_attributes() {
    if !rustix::process::getuid().is_root() {
        rootstrap_testkit::skip("owners need root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    std::fs::create_dir(dir.path().join("d".repeat(120))).unwrap();
    std::fs::write(dir.path().join(&long), "x").unwrap();
    // Capabilities are binary, and some readers of PAX records stop at a line end in a value.
    let value = b"a\nb\0c\n12 x=y\n".to_vec();
    let place = root.at(long.as_bytes()).unwrap();
    place.set_attributes(Attributes { mode: 0o4755, uid: 3_000_000, gid: 4_000_000, mtime: -5 }).unwrap();
    if !place.set_xattrs(&[(b"user.note".to_vec(), value)]).unwrap() {
        rootstrap_testkit::skip("this filesystem has no extended attributes");
        return;
    }
    let archive = |root: &Root| {
        let mut bytes = Vec::new();
        write(root, &mut bytes, &Options::new(i64::MAX)).unwrap();
        bytes
    };
    let first = archive(&root);
    let copy = tempfile::tempdir().unwrap();
    let again = Root::open(copy.path()).unwrap();
    rootstrap_unpack::archive::extract(&first[..], &again, &AtomicBool::new(false)).unwrap();
    let unpacked = again.at(long.as_bytes()).unwrap().metadata().unwrap().unwrap();
    assert_eq!(unpacked.attributes, Attributes { mode: 0o4755, uid: 3_000_000, gid: 4_000_000, mtime: -5 });
    assert!(first == archive(&again), "a second archive differs from the first");
}
