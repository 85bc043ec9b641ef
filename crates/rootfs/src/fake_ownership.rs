//! Owners and device nodes that the filesystem cannot hold, recorded in memory: owners where a user namespace has only one
//! id, device nodes where none can be made.
//!
//! On disk such an entry belongs to the user who builds, and a device node is an empty file. [`FakeOwnership`] records what
//! the entry is meant to be, as fakeroot does. It identifies entries by inode, so that a record survives renames and applies
//! to all names of a file. An inode number that is used again after a removal is recognised by the inode's generation
//! (name_to_handle_at(2)).
#![allow(unsafe_code, reason = "name_to_handle_at has no safe form")]

use crate::entry::{Device, Kind, Metadata};
use rustix::fs::{self, AtFlags, Gid, Uid};
use rustix::io;
use std::collections::HashMap;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The recorded owners and device nodes of one tree, shared by all who read or change the tree.
#[derive(Debug, Default)]
pub struct FakeOwnership {
    fakes_owners: bool,
    entries: Mutex<HashMap<(u64, u64), Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    generation: Vec<u8>,
    faked: Faked,
}

/// What is recorded about one entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faked {
    /// Owner and group, unless both are root's.
    pub owner: Option<(u32, u32)>,
    /// Type and numbers, if the entry is a device node.
    pub node: Option<(Kind, Device)>,
}

impl Faked {
    /// Changes `metadata`, read from the filesystem, to what is recorded.
    pub fn amend(&self, metadata: &mut Metadata) {
        if let Some((uid, gid)) = self.owner {
            (metadata.attributes.uid, metadata.attributes.gid) = (uid, gid);
        }
        if let Some((kind, device)) = self.node {
            (metadata.kind, metadata.device) = (kind, device);
        }
    }
}

impl FakeOwnership {
    /// Creates an empty record. `fakes_owners` says whether it records owners, and not only device nodes.
    #[must_use]
    pub fn new(fakes_owners: bool) -> Self {
        Self { fakes_owners, entries: Mutex::default() }
    }

    /// Whether owners are recorded, and not only device nodes.
    pub(crate) fn fakes_owners(&self) -> bool {
        self.fakes_owners
    }

    /// Whether anything is recorded about the inode with these numbers, or about an earlier inode that had them.
    fn may_know(&self, identity: (u64, u64)) -> bool {
        self.lock().contains_key(&identity)
    }

    /// What is recorded about `entry`, which may be open with `O_PATH`.
    #[must_use]
    pub fn of(&self, entry: BorrowedFd<'_>) -> Faked {
        let Ok(stat) = fs::fstat(entry) else { return Faked::default() };
        let identity = Metadata::from(stat).identity;
        if !self.may_know(identity) {
            return Faked::default();
        }
        let generation = generation(entry);
        match self.lock().get(&identity) {
            Some(known) if known.generation == generation => known.faked,
            _ => Faked::default(),
        }
    }

    /// Changes the owner of `entry`, which may be open with `O_PATH`, as chown(2) does; `None` leaves a number as it is. The
    /// kernel clears the setuid and setgid bits, as it does whenever an owner changes.
    ///
    /// # Errors
    /// The system refuses.
    pub fn change_owner(&self, entry: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        if !self.fakes_owners {
            let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
            return fs::chownat(entry, "", uid, gid, AtFlags::EMPTY_PATH);
        }
        fs::chownat(entry, "", uid.map(|_| Uid::ROOT), gid.map(|_| Gid::ROOT), AtFlags::EMPTY_PATH)?;
        let before = self.of(entry);
        let (old_uid, old_gid) = before.owner.unwrap_or_default();
        let owner = (uid.unwrap_or(old_uid), gid.unwrap_or(old_gid));
        self.record(entry, Faked { owner: (owner != (0, 0)).then_some(owner), ..before })
    }

    /// Records that the empty file `entry` is a device node.
    ///
    /// # Errors
    /// The system refuses to identify the file.
    pub fn make_node(&self, entry: BorrowedFd<'_>, kind: Kind, device: Device) -> io::Result<()> {
        let before = self.of(entry);
        self.record(entry, Faked { node: Some((kind, device)), ..before })
    }

    /// Changes `metadata` to what is recorded about the entry, and returns the record. `open` opens the entry with `O_PATH`.
    pub(crate) fn amend(&self, metadata: &mut Metadata, open: impl FnOnce() -> io::Result<OwnedFd>) -> Faked {
        if !self.may_know(metadata.identity) {
            return Faked::default();
        }
        let faked = open().map(|entry| self.of(std::os::fd::AsFd::as_fd(&entry))).unwrap_or_default();
        faked.amend(metadata);
        faked
    }

    fn record(&self, entry: BorrowedFd<'_>, faked: Faked) -> io::Result<()> {
        let identity = Metadata::from(fs::fstat(entry)?).identity;
        if faked == Faked::default() {
            self.lock().remove(&identity);
        } else {
            self.lock().insert(identity, Entry { generation: generation(entry), faked });
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(u64, u64), Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that no later inode with the same number has. Where the filesystem gives no handles, the time of creation serves.
fn generation(entry: BorrowedFd<'_>) -> Vec<u8> {
    /// `struct file_handle` with room for the longest handle (`MAX_HANDLE_SZ`).
    #[repr(C)]
    struct Handle {
        length: u32,
        kind: i32,
        bytes: [u8; 128],
    }
    let mut handle = Handle { length: 128, kind: 0, bytes: [0; 128] };
    let mut mount: libc::c_int = 0;
    // SAFETY: all pointers lead to live memory of the sizes that the call is told or knows.
    let result = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            entry.as_raw_fd(),
            c"".as_ptr(),
            &raw mut handle,
            &raw mut mount,
            libc::AT_EMPTY_PATH,
        )
    };
    let length = usize::try_from(handle.length).unwrap_or_default();
    if result == 0 {
        return handle.bytes.get(..length).unwrap_or_default().to_vec();
    }
    match fs::statx(entry, "", AtFlags::EMPTY_PATH, fs::StatxFlags::BTIME) {
        Ok(found) if found.stx_mask & fs::StatxFlags::BTIME.bits() != 0 => {
            let time = found.stx_btime;
            [&time.tv_sec.to_ne_bytes()[..], &time.tv_nsec.to_ne_bytes()].concat()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[path = "fake_ownership_tests.rs"]
mod tests;
