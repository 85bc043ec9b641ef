//! Recorded owners and device nodes follow their inode.

use super::FakeOwnership;
use crate::entry::{Attributes, Device, Kind};
use crate::error::Error;
use crate::root::Root;
use crate::walk::walk;
use std::sync::Arc;

fn at(root: &Root, path: &str) -> (Kind, u32, u32, u32) {
    let found = root.metadata(path.as_bytes()).unwrap().unwrap();
    (found.kind, found.attributes.mode, found.attributes.uid, found.attributes.gid)
}

#[test]
fn owners_and_nodes_stay_with_their_inode() {
    let dir = tempfile::tempdir().unwrap();
    if !rustix::process::getuid().is_root() {
        return rootstrap_testkit::skip("only root can give files away");
    }
    let root = Root::open(dir.path()).unwrap().with_fake_ownership(Arc::new(FakeOwnership::new(true)));
    root.write(b"file", b"x", 0o640).unwrap();
    root.at(b"file").unwrap().set_owner(0, 42).unwrap();
    let attributes = Attributes { mode: 0o2755, uid: 7, gid: 8, mtime: 5 };
    root.at(b"directory").unwrap().create_directory(attributes).unwrap();
    root.at(b"link").unwrap().create_symlink(b"nowhere", attributes).unwrap();
    let device = Device { major: 1, minor: 3 };
    root.at(b"node").unwrap().create_node(Kind::CharDevice, device, Attributes { mode: 0o666, ..attributes }).ok();
    // On disk everything belongs to root.
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(dir.path().join("file")).unwrap().gid(), 0);

    root.at(b"file").unwrap().rename_to(&root.at(b"renamed").unwrap()).unwrap();
    root.at(b"second").unwrap().create_link(&root.at(b"renamed").unwrap()).unwrap();
    assert_eq!(at(&root, "renamed"), (Kind::File, 0o640, 0, 42));
    assert_eq!(at(&root, "second"), (Kind::File, 0o640, 0, 42));
    assert_eq!(at(&root, "directory"), (Kind::Directory, 0o2755, 7, 8));
    assert_eq!(at(&root, "link").2, 7);
    let mut seen = Vec::new();
    walk::<Error>(&root, &mut |visit| {
        seen.push((visit.path.to_vec(), visit.metadata.attributes.uid));
        Ok(true)
    })
    .unwrap();
    assert!(seen.contains(&(b"directory".to_vec(), 7)), "{seen:?}");

    // A new file does not inherit the owner of a removed one, even if it gets the same inode number.
    root.remove(b"renamed").unwrap();
    root.remove(b"second").unwrap();
    for number in 0..64 {
        let path = format!("new-{number}");
        std::fs::write(dir.path().join(&path), "").unwrap();
        assert_eq!(at(&root, &path).3, 0);
    }
}

#[test]
fn a_change_of_owner_takes_setuid_away() {
    let dir = tempfile::tempdir().unwrap();
    let fake_ownership = FakeOwnership::new(true);
    let path = dir.path().join("file");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o4755)).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    if rustix::process::getuid().is_root() {
        fake_ownership.change_owner(std::os::fd::AsFd::as_fd(&file), None, Some(5)).unwrap();
        assert_eq!(fake_ownership.of(std::os::fd::AsFd::as_fd(&file)).owner, Some((0, 5)));
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&file.metadata().unwrap()) & 0o7777, 0o755);
    } else {
        rootstrap_testkit::skip("only root can give files away");
    }
}
