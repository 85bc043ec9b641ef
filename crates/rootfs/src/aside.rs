//! What the filesystem cannot hold, kept aside: owners where a user namespace has one id only, device nodes where none can
//! be made.
//!
//! On disk such an entry belongs to whoever builds, and a node is an empty file; an [`Aside`] knows the truth. It knows
//! entries by their inode, so that they keep it through renames and second names, and tells a later file with the number
//! of a removed one apart by the inode's generation (name_to_handle_at(2)).
#![allow(unsafe_code, reason = "name_to_handle_at has no safe form")]

use crate::entry::{Device, Kind, Metadata};
use rustix::fs::{self, AtFlags, Gid, Uid};
use rustix::io;
use std::collections::HashMap;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The truth about entries of one tree, for all who read or change it.
#[derive(Debug, Default)]
pub struct Aside {
    owners: bool,
    entries: Mutex<HashMap<(u64, u64), Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    generation: Vec<u8>,
    kept: Kept,
}

/// What is kept of one entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Owner and group, where they are not root's.
    pub owner: Option<(u32, u32)>,
    /// What it is if it is a device node.
    pub node: Option<(Kind, Device)>,
}

impl Kept {
    /// Shows an entry as it is.
    pub fn amend(&self, metadata: &mut Metadata) {
        if let Some((uid, gid)) = self.owner {
            (metadata.attributes.uid, metadata.attributes.gid) = (uid, gid);
        }
        if let Some((kind, device)) = self.node {
            (metadata.kind, metadata.device) = (kind, device);
        }
    }
}

impl Aside {
    /// Nothing kept yet. `owners`: whether owners are kept, and not only device nodes.
    #[must_use]
    pub fn new(owners: bool) -> Self {
        Self { owners, entries: Mutex::default() }
    }

    /// Whether owners are kept, and not only device nodes.
    #[must_use]
    pub fn keeps_owners(&self) -> bool {
        self.owners
    }

    /// Whether anything is kept of the inode that has these numbers, or of an earlier one that had.
    #[must_use]
    pub fn may_know(&self, identity: (u64, u64)) -> bool {
        self.lock().contains_key(&identity)
    }

    /// What is kept of `entry`, which may be open as a path only.
    #[must_use]
    pub fn of(&self, entry: BorrowedFd<'_>) -> Kept {
        let Ok(stat) = fs::fstat(entry) else { return Kept::default() };
        let identity = Metadata::from(stat).identity;
        if !self.may_know(identity) {
            return Kept::default();
        }
        let generation = generation(entry);
        match self.lock().get(&identity) {
            Some(known) if known.generation == generation => known.kept,
            _ => Kept::default(),
        }
    }

    /// chown(2) of `entry`, which may be open as a path only; `None` leaves a number as it is. The kernel takes the
    /// setuid and setgid bits away as it does whenever an owner changes.
    ///
    /// # Errors
    /// The system refuses.
    pub fn change_owner(&self, entry: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        if !self.owners {
            let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
            return fs::chownat(entry, "", uid, gid, AtFlags::EMPTY_PATH);
        }
        fs::chownat(entry, "", uid.map(|_| Uid::ROOT), gid.map(|_| Gid::ROOT), AtFlags::EMPTY_PATH)?;
        let before = self.of(entry);
        let (old_uid, old_gid) = before.owner.unwrap_or_default();
        let owner = (uid.unwrap_or(old_uid), gid.unwrap_or(old_gid));
        self.keep(entry, Kept { owner: (owner != (0, 0)).then_some(owner), ..before })
    }

    /// Takes the empty file `entry` for a device node from now on.
    ///
    /// # Errors
    /// The system refuses to say what it is.
    pub fn make_node(&self, entry: BorrowedFd<'_>, kind: Kind, device: Device) -> io::Result<()> {
        let before = self.of(entry);
        self.keep(entry, Kept { node: Some((kind, device)), ..before })
    }

    /// Amends `metadata` by what is kept, and returns it; `open` gives the entry as a path.
    pub(crate) fn amend(&self, metadata: &mut Metadata, open: impl FnOnce() -> io::Result<OwnedFd>) -> Kept {
        if !self.may_know(metadata.identity) {
            return Kept::default();
        }
        let kept = open().map(|entry| self.of(std::os::fd::AsFd::as_fd(&entry))).unwrap_or_default();
        kept.amend(metadata);
        kept
    }

    fn keep(&self, entry: BorrowedFd<'_>, kept: Kept) -> io::Result<()> {
        let identity = Metadata::from(fs::fstat(entry)?).identity;
        if kept == Kept::default() {
            self.lock().remove(&identity);
        } else {
            self.lock().insert(identity, Entry { generation: generation(entry), kept });
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(u64, u64), Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that no later inode with the same number has. Where the filesystem gives no handles: the time of its making.
fn generation(entry: BorrowedFd<'_>) -> Vec<u8> {
    /// `struct file_handle`, room for the longest one included (`MAX_HANDLE_SZ`).
    #[repr(C)]
    struct Handle {
        length: u32,
        kind: i32,
        bytes: [u8; 128],
    }
    let mut handle = Handle { length: 128, kind: 0, bytes: [0; 128] };
    let mut mount: libc::c_int = 0;
    // SAFETY: all pointers lead to memory of the sizes the call is told or knows, and live through it.
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
mod tests {
    use crate::{Aside, Attributes, Device, Error, Kind, Root, walk};
    use std::sync::Arc;

    fn at(root: &Root, path: &str) -> (Kind, u32, u32, u32) {
        let found = root.metadata(path.as_bytes()).unwrap().unwrap();
        (found.kind, found.attributes.mode, found.attributes.uid, found.attributes.gid)
    }

    #[test]
    fn owners_and_nodes_stay_with_their_inode() {
        let dir = tempfile::tempdir().unwrap();
        if !rustix::process::getuid().is_root() {
            return;
        }
        let root = Root::open(dir.path()).unwrap().keeping(Arc::new(Aside::new(true)));
        root.write(b"file", b"x", 0o640).unwrap();
        root.at(b"file").unwrap().set_owner(0, 42).unwrap();
        let attributes = Attributes { mode: 0o2755, uid: 7, gid: 8, mtime: 5 };
        root.at(b"directory").unwrap().create_directory(attributes).unwrap();
        root.at(b"link").unwrap().create_symlink(b"nowhere", attributes).unwrap();
        let device = Device { major: 1, minor: 3 };
        root.at(b"node").unwrap().create_node(Kind::CharDevice, device, Attributes { mode: 0o666, ..attributes }).ok();
        // On disk all of it is root's.
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

        // What takes the place of a removed file does not inherit its owner, even with its inode number.
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
        let aside = Aside::new(true);
        let path = dir.path().join("file");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o4755)).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        if rustix::process::getuid().is_root() {
            aside.change_owner(std::os::fd::AsFd::as_fd(&file), None, Some(5)).unwrap();
            assert_eq!(aside.of(std::os::fd::AsFd::as_fd(&file)).owner, Some((0, 5)));
            assert_eq!(std::os::unix::fs::MetadataExt::mode(&file.metadata().unwrap()) & 0o7777, 0o755);
        }
    }
}
