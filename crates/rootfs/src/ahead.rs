//! Contents of files that are copied while the tree they are in still changes, and used where nothing has changed.

use crate::copy::{BUFFER, copy_contents};
use crate::entry::{Attributes, Kind, Metadata, now};
use crate::place::{Cursor, Place};
use crate::{Error, Result, Root, walk};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, getrlimit};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// Smaller files cost more than they have in them: those of this size on are a quarter of a system's files and have nine
/// tenths of its bytes.
const LEAST: u64 = 16 << 10;

/// Copies of files, without a name: nothing of them is left by whatever ends the process.
pub struct Ahead {
    /// A directory of the filesystem they are in.
    store: Root,
    /// By file.
    copies: HashMap<(u64, u64), Copied>,
}

struct Copied {
    /// When the file had changed.
    changed: i64,
    attributes: Attributes,
    file: File,
}

impl Ahead {
    /// None yet, in the filesystem of `store`.
    #[must_use]
    pub fn new(store: Root) -> Self {
        Self { store, copies: HashMap::new() }
    }

    /// Copies the files of `from` that have changed or come since the last time, largest first, until `stop` is set. What
    /// cannot be read or written now is left to [`copy`](crate::copy()), which tells.
    pub fn copy(&mut self, from: &Root, stop: &AtomicBool) {
        let mut found = Vec::new();
        // What is found until something vanishes under the walk.
        let _ = walk::<Error>(from, &mut |visit| {
            let Metadata { kind, size, .. } = visit.metadata;
            if kind == Kind::File && size >= LEAST && !self.has(&visit.metadata) {
                found.push((Reverse(size), visit.path.to_vec()));
            }
            Ok(!stop.load(Ordering::Relaxed))
        });
        // Each copy is a descriptor, and others need some.
        let room =
            getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit / 2).unwrap_or(0));
        found.sort();
        let mut cursor = Cursor::new(from);
        let mut buffer = vec![0; BUFFER];
        for (_, path) in found {
            if stop.load(Ordering::Relaxed) || self.copies.len() >= room {
                break;
            }
            let Ok(file) = cursor.at(&path).and_then(|place| place.open_unnoticed()) else { continue };
            if self.add(from, file, &mut buffer).is_none() {
                break;
            }
        }
    }

    /// Has the disk hold what was copied; it will be flushed once more at the end.
    pub fn flush(&self) {
        let _ = rustix::fs::syncfs(self.store.fd());
    }

    fn has(&self, metadata: &Metadata) -> bool {
        self.copies.get(&metadata.identity).is_some_and(|copy| copy.changed == metadata.changed)
    }

    /// `None` if no more can be written.
    fn add(&mut self, from: &Root, mut file: File, buffer: &mut [u8]) -> Option<()> {
        let metadata = from.metadata_of(file.as_fd()).ok()?;
        // A change within the tick of the last one could not be told.
        if metadata.kind != Kind::File || metadata.changed >= now() || self.has(&metadata) {
            return Some(());
        }
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let mut copy = File::from(rustix::fs::openat(self.store.fd(), ".", flags, Mode::empty()).ok()?);
        copy_contents(&mut file, &mut copy, metadata.size, buffer).ok()?;
        let Metadata { identity, changed, attributes, .. } = metadata;
        self.store.set_attributes_of(copy.as_fd(), attributes).ok()?;
        self.copies.insert(identity, Copied { changed, attributes, file: copy });
        Some(())
    }

    /// Gives the copy of a file, attributes and all, its name at `place`, if there is one that is still right. `open` gives
    /// the file.
    pub(crate) fn place(
        &self,
        metadata: &Metadata,
        open: impl FnOnce() -> Result<File>,
        place: &Place,
        buffer: &mut [u8],
    ) -> Result<bool> {
        let Some(copy) = self.copies.get(&metadata.identity).filter(|_| self.has(metadata)) else { return Ok(false) };
        // Somebody may have written through a mapping.
        if !metadata.is_unread() {
            let mut original = open()?;
            let is_same = (&copy.file).rewind().and_then(|()| equal(&mut original, &mut &copy.file, buffer));
            if !is_same.map_err(|error| place.error("compare", error))? {
                return Ok(false);
            }
        }
        place.link_file(&copy.file)?;
        // An owner that is kept aside may be told a moment after the change.
        if copy.attributes != metadata.attributes {
            place.set_attributes(metadata.attributes)?;
        }
        Ok(true)
    }
}

/// Whether two files have the same contents from here on.
fn equal(one: &mut impl Read, other: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<bool> {
    let (left, right) = buffer.split_at_mut(buffer.len() / 2);
    loop {
        let (length, second) = (fill(one, left)?, fill(other, right)?);
        if left.get(..length) != right.get(..second) {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

    #[test]
    fn what_has_not_changed_is_not_copied_again() {
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
        // Only what was left alone for a tick of the clock is copied. A file's time may lie beyond the next tick where that
        // one comes late, so a file is asked.
        let wait = || {
            fs::write(path("clock"), "").unwrap();
            let then = Metadata::from(rustix::fs::stat(path("clock")).unwrap()).changed;
            while now() <= then {
                std::hint::spin_loop();
            }
        };
        wait();
        let mut ahead = Ahead::new(root("store"));
        ahead.copy(&root("from"), &AtomicBool::new(false));
        assert_eq!(ahead.copies.len(), names.len());
        wait();
        assert_eq!(fs::read_to_string(path("from/read")).unwrap(), long("before"));
        write("written", "after!");
        fs::remove_file(path("from/gone")).unwrap();
        write("other", "after!");
        fs::rename(path("from/other"), path("from/replaced")).unwrap();
        write("new", "new");
        // As by somebody who writes through a mapping and is not told of.
        let secret = Metadata::from(rustix::fs::stat(path("from/secretly")).unwrap());
        ahead.copies[&secret.identity].file.write_at(b"other!", 0).unwrap();
        assert_eq!(fs::read_to_string(path("from/secretly")).unwrap(), long("before"));
        wait();
        // What is new and what has changed is copied the second time, and nothing else.
        let known = |ahead: &Ahead| -> BTreeSet<((u64, u64), i64)> {
            ahead.copies.iter().map(|(identity, copy)| (*identity, copy.changed)).collect()
        };
        let before = known(&ahead);
        ahead.copy(&root("from"), &AtomicBool::new(false));
        assert_eq!(known(&ahead).difference(&before).count(), 3, "written, replaced and new");
        let copied: BTreeSet<u64> = ahead.copies.values().map(|copy| copy.file.metadata().unwrap().ino()).collect();
        write("written", "at last");

        crate::copy(&root("from"), &root("to"), b"copy", 2, Some(&ahead), &AtomicBool::new(false)).unwrap();
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
    fn a_stopped_one_has_nothing() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("store")).unwrap();
        fs::write(place.path().join("file"), vec![1; LEAST as usize]).unwrap();
        let root = Root::open(place.path()).unwrap();
        let mut ahead = Ahead::new(root.below(b"store").unwrap());
        ahead.copy(&root, &AtomicBool::new(true));
        assert!(ahead.copies.is_empty());
    }
}
