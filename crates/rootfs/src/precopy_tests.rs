//! Which files are copied early, and which of the copies are used.

use super::*;
use crate::copy::{CopyOptions, copy};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

#[test]
fn unchanged_files_are_not_copied_again() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    for name in ["from/below", "store", "to"] {
        fs::create_dir_all(path(name)).unwrap();
    }
    let root = |name: &str| Root::open(&path(name)).unwrap();
    let long = |word: &str| word.repeat(LEAST as usize);
    let write = |name: &str, word: &str| fs::write(path("from").join(name), long(word)).unwrap();
    let names = ["read", "same", "below/same", "written", "gone", "replaced", "secretly"];
    for name in names {
        write(name, "before");
    }
    write("empty", "");
    fs::hard_link(path("from/same"), path("from/below/too")).unwrap();
    fs::set_permissions(path("from/same"), fs::Permissions::from_mode(0o751)).unwrap();
    // Only a file that has not changed during one tick of the clock is copied. If the next tick comes late, a file's time may
    // lie beyond it, so the time of a file is compared and not the clock alone.
    let wait = || {
        fs::write(path("clock"), "").unwrap();
        let then = Metadata::from(rustix::fs::stat(path("clock")).unwrap()).changed;
        while now() <= then {
            std::hint::spin_loop();
        }
    };
    wait();
    let mut precopy = Precopy::new(root("store"));
    precopy.copy(&root("from"), &AtomicBool::new(false));
    assert_eq!(precopy.copies.len(), names.len());
    wait();
    assert_eq!(fs::read_to_string(path("from/read")).unwrap(), long("before"));
    write("written", "after!");
    fs::remove_file(path("from/gone")).unwrap();
    write("other", "after!");
    fs::rename(path("from/other"), path("from/replaced")).unwrap();
    write("new", "new");
    // The copy gets other contents, as if the original had been written through a mapping with its times unchanged.
    let secret = Metadata::from(rustix::fs::stat(path("from/secretly")).unwrap());
    precopy.copies[&secret.identity].file.write_at(b"other!", 0).unwrap();
    assert_eq!(fs::read_to_string(path("from/secretly")).unwrap(), long("before"));
    wait();
    // The second call copies the new and the changed files, and no others.
    let known = |precopy: &Precopy| -> BTreeSet<((u64, u64), i64)> {
        precopy.copies.iter().map(|(identity, copy)| (*identity, copy.changed)).collect()
    };
    let before = known(&precopy);
    precopy.copy(&root("from"), &AtomicBool::new(false));
    assert_eq!(known(&precopy).difference(&before).count(), 3, "written, replaced and new");
    let copied: BTreeSet<u64> = precopy.copies.values().map(|copy| copy.file.metadata().unwrap().ino()).collect();
    write("written", "at last");

    let options = CopyOptions { threads: 2, precopy: Some(&precopy), progress: None, cancel: &AtomicBool::new(false) };
    copy(&root("from"), &root("to"), b"copy", options).unwrap();
    let read = |name: &str| fs::read_to_string(path("to/copy").join(name)).unwrap();
    for name in ["read", "same", "below/same", "below/too", "secretly"] {
        assert!(read(name) == long("before"), "{name}");
    }
    for (name, word) in [("replaced", "after!"), ("written", "at last"), ("new", "new")] {
        assert!(read(name) == long(word), "{name}");
    }
    assert_eq!(read("empty"), "");
    assert!(!path("to/copy/gone").exists());
    let found = |name: &str| fs::metadata(path(name)).unwrap();
    for name in names.iter().filter(|name| **name != "gone") {
        let (from, to) = (found(&format!("from/{name}")), found(&format!("to/copy/{name}")));
        assert_eq!((to.mode(), to.mtime()), (from.mode(), from.mtime()), "{name}");
    }
    let inode = |name: &str| found(&format!("to/copy/{name}")).ino();
    assert_eq!(inode("same"), inode("below/too"));
    for name in ["read", "same", "below/same", "replaced", "new"] {
        assert!(copied.contains(&inode(name)), "{name} was copied again");
    }
    assert_eq!(fs::read_dir(path("store")).unwrap().count(), 0);
}

#[test]
fn a_stopped_precopy_is_empty() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir_all(place.path().join("store")).unwrap();
    fs::write(place.path().join("file"), vec![1; LEAST as usize]).unwrap();
    let root = Root::open(place.path()).unwrap();
    let mut precopy = Precopy::new(root.below(b"store").unwrap());
    precopy.copy(&root, &AtomicBool::new(true));
    assert!(precopy.copies.is_empty());
}
