//! Copies files while their tree still changes. [`copy`](crate::copy()) uses the copies of the files that have not changed
//! since.

use crate::contents;
use crate::cursor::Cursor;
use crate::entry::{Attributes, Kind, Metadata, now};
use crate::error::{Error, Result};
use crate::place::Place;
use crate::root::Root;
use crate::walk::walk;
use rustix::fs::{Advice, Mode, OFlags};
use rustix::process::{Resource, getrlimit};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::File;
use std::io::Seek;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// The least size of a file that is copied early. A smaller file costs more work than its bytes are worth: files from this
/// size on are a quarter of a system's files and have nine tenths of its bytes.
const LEAST: u64 = 16 << 10;

/// Copies of files. The copies have no names, so that nothing is left of them however the process ends.
pub struct Precopy {
    /// A directory of the filesystem that holds the copies.
    store: Root,
    /// The copies by filesystem and inode number of their files.
    copies: HashMap<(u64, u64), Copied>,
}

struct Copied {
    /// The change time of the original when it was copied.
    changed: i64,
    attributes: Attributes,
    file: File,
    is_flushed: bool,
}

impl Precopy {
    /// Creates an empty set of copies. The copies go to the filesystem that holds `store`.
    #[must_use]
    pub fn new(store: Root) -> Self {
        Self { store, copies: HashMap::new() }
    }

    /// Copies the files of `from` that are new or have changed since the last call, largest first, until `stop` is set.
    ///
    /// A file that cannot be read or written now is skipped: [`copy`](crate::copy()) tries it again and reports the error.
    pub fn copy(&mut self, from: &Root, stop: &AtomicBool) {
        let mut found = Vec::new();
        // If an entry vanishes during the walk, the walk fails, and what it has found so far is used.
        let _ = walk::<Error>(from, &mut |visit| {
            let Metadata { kind, size, .. } = visit.metadata;
            if kind == Kind::File && size >= LEAST && !self.has(&visit.metadata) {
                found.push((Reverse(size), visit.path.to_vec()));
            }
            Ok(!stop.load(Ordering::Relaxed))
        });
        // Each copy keeps a descriptor open, and the rest of the process needs some too.
        let room =
            getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit / 2).unwrap_or(0));
        found.sort();
        let mut cursor = Cursor::new(from);
        let mut buffer = vec![0; contents::BUFFER];
        for (_, path) in found {
            if stop.load(Ordering::Relaxed) || self.copies.len() >= room {
                break;
            }
            let Ok(file) = cursor.at(&path).and_then(|place| place.open_without_atime()) else { continue };
            if self.add(from, file, &mut buffer).is_none() {
                break;
            }
        }
    }

    /// Has the kernel begin to write the new copies to disk, so that less is left for the flush at the end of the run. Only
    /// the copies are written: other files of the filesystem, such as downloads, may be removed before the end.
    pub fn flush(&mut self) {
        for copy in self.copies.values_mut().filter(|copy| !copy.is_flushed) {
            // This writes the pages before it drops them (Linux `mm/fadvise.c`), and does not wait for the disk.
            let _ = rustix::fs::fadvise(&copy.file, 0, None, Advice::DontNeed);
            copy.is_flushed = true;
        }
    }

    fn has(&self, metadata: &Metadata) -> bool {
        self.copies.get(&metadata.identity).is_some_and(|copy| copy.changed == metadata.changed)
    }

    /// Copies `file`, unless there is a copy already. `None` if no more can be written.
    fn add(&mut self, from: &Root, mut file: File, buffer: &mut [u8]) -> Option<()> {
        let metadata = from.metadata_of(file.as_fd()).ok()?;
        // A second change within the same tick of the clock would leave the change time as it is.
        if metadata.kind != Kind::File || metadata.changed >= now() || self.has(&metadata) {
            return Some(());
        }
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let mut copy = File::from(rustix::fs::openat(self.store.fd(), ".", flags, Mode::empty()).ok()?);
        contents::copy(&mut file, &mut copy, metadata.size, buffer).ok()?;
        let Metadata { identity, changed, attributes, .. } = metadata;
        self.store.set_attributes_of(copy.as_fd(), attributes).ok()?;
        self.copies.insert(identity, Copied { changed, attributes, file: copy, is_flushed: false });
        Some(())
    }

    /// Gives the copy of the file that has this `metadata` the name `place`, attributes included. Returns `false` if there is
    /// no copy, or if the file has changed since. `open` opens the file.
    pub(crate) fn link(
        &self,
        metadata: &Metadata,
        open: impl FnOnce() -> Result<File>,
        place: &Place,
        buffer: &mut [u8],
    ) -> Result<bool> {
        let Some(copy) = self.copies.get(&metadata.identity).filter(|_| self.has(metadata)) else { return Ok(false) };
        // A process that mapped the file may have written to it without a change of its times.
        if !metadata.is_unread() {
            let mut original = open()?;
            let is_same = (&copy.file).rewind().and_then(|()| contents::equal(&mut original, &mut &copy.file, buffer));
            if !is_same.map_err(|error| place.error("compare", error))? {
                return Ok(false);
            }
        }
        place.link_file(&copy.file)?;
        // A recorded owner may become known a moment after the change (FakeOwnership).
        if copy.attributes != metadata.attributes {
            place.set_attributes(metadata.attributes)?;
        }
        Ok(true)
    }
}

#[cfg(test)]
#[path = "precopy_tests.rs"]
mod tests;
