//! Hidden directories that a run makes beside its target, and the removal of what killed runs left.

use crate::error::Error;
use crate::staging::hidden_place::{DIRECTORY, Place, is_at, is_ours};
use crate::staging::merge::{Merge, Mounted, join};
use crate::staging::place::{is_filled_in_place, parent};
use crate::staging::space;
use rootstrap_configure::privilege::Janitor;
use rootstrap_rootfs::{Attributes, CopyOptions, Root, walk};
use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Gid, Mode, OFlags, StatVfsMountFlags, Timespec, Timestamps, Uid,
};
use rustix::fs::{flock, fstat, openat, statat, statvfs, unlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// The numbers (statfs(2)) of filesystems that several machines can share. A lock of one machine may mean nothing on another.
const SHARED: [u64; 11] = [
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x6573_5546, // FUSE, virtiofs too
    0x0102_1997, // 9p
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS
    0x7461_636f, // OCFS2
    0x0116_1970, // GFS2
    0x0bd0_0bd0, // Lustre
];

/// A hidden directory of this run that nobody else can enter. Dropping it removes the directory and everything in it.
pub(crate) struct HiddenDirectory {
    place: Place,
    name: OsString,
    held: OwnedFd,
    /// Whether the directory is inside of the target, which has to stay the same directory.
    is_inside: bool,
}

impl HiddenDirectory {
    /// Creates a directory in `place`, named after `stem`.
    pub fn create(place: &Path, stem: &OsStr, janitor: &Janitor) -> Result<Self, Error> {
        let place = Place::open(place, janitor)?;
        let (name, held) = place.under_new_name(stem, "create the staging directory", |name| {
            rustix::fs::mkdirat(&place.directory, name, Mode::from_raw_mode(0o700))?;
            match openat(&place.directory, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(held) => Ok((is_new(&held)? && place.lock(&held, name)?).then_some(held)),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
                Err(errno) => Err(errno),
            }
        })?;
        Ok(Self { place, name, held, is_inside: false })
    }

    /// Creates the directory from which the directory target `path` is filled: inside of a target that has to stay the same directory,
    /// and otherwise beside it.
    pub fn for_target(path: &Path, janitor: &Janitor) -> Result<Self, Error> {
        let is_inside = is_filled_in_place(path);
        let (place, stem) = match is_inside {
            true => (path, OsStr::new("staging")),
            false => (parent(path), path.file_name().unwrap_or(OsStr::new("staging"))),
        };
        let mut directory = Self::create(place, stem, janitor)?;
        directory.is_inside = is_inside;
        Ok(directory)
    }

    /// Returns the absolute path.
    pub fn path(&self) -> PathBuf {
        self.place.path.join(&self.name)
    }

    /// Returns the open directory.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.held.as_fd()
    }

    /// Returns the directory as a tree.
    pub fn root(&self) -> Result<Root, Error> {
        // The tree gets a descriptor of its own, because reading a directory moves the position in it.
        let opened = openat(&self.held, ".", DIRECTORY, Mode::empty());
        opened.map(Root::from).map_err(Error::errno("open", &self.path()))
    }

    /// Moves the tree `root` of the directory to the target `path` that [`Self::for_target`] was called with, and waits for the disk if
    /// `sync` is set. `epoch` is the time of a target that stays the same directory, and of what it has, the files `kept` stay.
    pub fn publish(&self, path: &Path, epoch: i64, kept: &[PathBuf], sync: bool) -> Result<(), Error> {
        const MOVE: &str = "move the finished tree to";
        let target = &self.place.directory;
        self.place.check_same()?;
        if !self.is_inside {
            let name = path.file_name().unwrap_or_default();
            rustix::fs::renameat(&self.held, "root", target, name).map_err(Error::errno(MOVE, path))?;
            return self.place.sync(sync);
        }
        // The hidden directory is inside of the target, so the entries move up one by one.
        let root = self.root()?.below(b"root")?;
        let to = Root::from(openat(target, ".", DIRECTORY, Mode::empty()).map_err(Error::errno("open", path))?);
        let tree = Tree { from: &root, to: &to, path, below: b"" };
        // Everything that can be refused is, before the first entry moves.
        let parts = self.prepare(&tree, kept)?;
        commit(&tree, kept, parts, sync)?;
        let target = openat(target, ".", DIRECTORY, Mode::empty()).map_err(Error::errno("open", path))?;
        let owner = fstat(&target).map_err(Error::errno("inspect", path))?;
        if (owner.st_uid, owner.st_gid) != (0, 0) {
            rustix::fs::fchown(&target, Some(Uid::ROOT), Some(Gid::ROOT))
                .map_err(Error::errno("change the owner of", path))?;
        }
        rustix::fs::fchmod(&target, Mode::from_raw_mode(0o755)).map_err(Error::errno("change the mode of", path))?;
        // Moving the entries changed the time of the directory, and removing the hidden one would change it again.
        let _ = self.root()?.remove_children(b"");
        self.place.remove(&self.held, &self.name, AtFlags::REMOVEDIR);
        let time = Timespec { tv_sec: epoch, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::futimens(&target, &times).map_err(Error::errno("change the time of", path))?;
        self.place.sync(sync)
    }

    /// Copies what belongs into mount points below a directory to hidden directories there.
    fn prepare(&self, tree: &Tree<'_>, kept: &[PathBuf]) -> Result<Vec<Part>, Error> {
        let mut parts = Vec::new();
        for Mounted { child, attributes } in tree.merge(kept).check()? {
            let place = tree.path.join(OsStr::from_bytes(&child));
            // A root does not lead into other filesystems.
            let (from, to, below) = (tree.from.below(&child)?, Root::open(&place)?, join(tree.below, &child));
            let mut part = Part { copy: None, place, to, below, attributes, parts: Vec::new() };
            if !from.list(b"")?.is_empty() {
                check_room(&from, &part.place)?;
                let copy = Self::create(&part.place, OsStr::new("staging"), &self.place.janitor)?;
                let options =
                    CopyOptions { threads: 1, precopy: None, progress: None, cancel: &AtomicBool::new(false) };
                rootstrap_rootfs::copy(&from, &copy.root()?, b"root", options)?;
                part.copy = Some(copy);
                part.parts = self.prepare(&part.tree(&from), kept)?;
            }
            parts.push(part);
        }
        Ok(parts)
    }
}

/// A tree, and the directory that it moves into.
struct Tree<'a> {
    from: &'a Root,
    to: &'a Root,
    path: &'a Path,
    /// The path of both, relative to the target.
    below: &'a [u8],
}

impl<'a> Tree<'a> {
    fn merge(&self, kept: &'a [PathBuf]) -> Merge<'a> {
        let &Self { from, to, path, below } = self;
        Merge { from, to, path, below, kept }
    }
}

/// A part of the tree that belongs into a mount point of the target.
struct Part {
    /// A copy in the mount point; `None` if the tree has nothing there.
    copy: Option<HiddenDirectory>,
    /// The mount point.
    place: PathBuf,
    to: Root,
    below: Vec<u8>,
    attributes: Attributes,
    /// What belongs into mount points below it.
    parts: Vec<Part>,
}

impl Part {
    fn tree<'a>(&'a self, from: &'a Root) -> Tree<'a> {
        Tree { from, to: &self.to, path: &self.place, below: &self.below }
    }
}

/// Moves a tree, and what was prepared of it, and waits for the disk if `sync` is set.
fn commit(tree: &Tree<'_>, kept: &[PathBuf], parts: Vec<Part>, sync: bool) -> Result<(), Error> {
    tree.merge(kept).move_entries()?;
    for mut part in parts {
        let inner = std::mem::take(&mut part.parts);
        if let Some(copy) = part.copy.take() {
            commit(&part.tree(&copy.root()?.below(b"root")?), kept, inner, sync)?;
        }
        // A filesystem that is read-only, or that has no owners and modes, keeps its own.
        match part.to.set_attributes_of(part.to.fd(), part.attributes) {
            Ok(()) | Err(Errno::ROFS | Errno::PERM | Errno::ACCESS | Errno::NOTSUP | Errno::INVAL) => {}
            Err(errno) => return Err(Error::errno("set the owner, mode and time of", &part.place)(errno)),
        }
    }
    let flushed = if sync { rustix::fs::syncfs(tree.to.fd()) } else { Ok(()) };
    flushed.map_err(Error::errno("flush", tree.path))
}

/// Refuses a mount point that has no room for a tree, or on which nothing can be written.
fn check_room(from: &Root, place: &Path) -> Result<(), Error> {
    if is_read_only(place)? {
        let (path, hint) = (place.to_owned(), "mount it with rw, or unmount it");
        return Err(Error::Target { path, reason: "its filesystem is mounted read-only".to_owned(), hint });
    }
    let mut bytes = 0_u64;
    walk(from, &mut |visit| {
        bytes = bytes.saturating_add(visit.metadata.size);
        Ok::<_, Error>(true)
    })?;
    space::enough(place, place, bytes)
}

fn is_read_only(place: &Path) -> Result<bool, Error> {
    let found = statvfs(place).map_err(Error::errno("inspect", place))?;
    Ok(found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// Returns whether a name is that of a hidden directory or file of a run.
pub(crate) fn is_of_run(name: &OsStr) -> bool {
    is_ours(name.as_bytes())
}

/// Returns whether an open directory is empty and this user's, as one is that was just created.
fn is_new(held: &OwnedFd) -> Result<bool, Errno> {
    let is_own = fstat(held)?.st_uid == rustix::process::geteuid().as_raw();
    let mut others = Dir::read_from(held)?
        .filter(|entry| entry.as_ref().map_or(true, |entry| !matches!(entry.file_name().to_bytes(), b"." | b"..")));
    Ok(is_own && others.next().is_none())
}

impl Drop for HiddenDirectory {
    fn drop(&mut self) {
        if let Ok(root) = self.root() {
            // Threads that were just told to stop may still add files, so removing is tried again.
            let _ = (0..3).find(|_| root.remove_children(b"").is_ok());
        }
        self.place.remove(&self.held, &self.name, AtFlags::REMOVEDIR);
    }
}

/// Removes from `place` what killed runs left there, and returns what was removed. Files of other users, files in use and files that
/// cannot be removed stay.
pub(crate) fn sweep(place: &Path) -> Vec<PathBuf> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let Ok(directory) = rustix::fs::open(place, flags, Mode::empty()) else { return Vec::new() };
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "width and sign differ by architecture")]
    let shared = rustix::fs::fstatfs(&directory).is_ok_and(|found| SHARED.contains(&(found.f_type as u32 as u64)));
    let Ok(entries) = Dir::read_from(&directory) else { return Vec::new() };
    if shared {
        return Vec::new();
    }
    let names = entries.filter_map(|entry| Some(OsStr::from_bytes(entry.ok()?.file_name().to_bytes()).to_owned()));
    let found: Vec<OsString> = names.filter(|name| is_ours(name.as_bytes())).collect();
    found.into_iter().filter(|name| remove_leftover(&directory, name).is_some()).map(|name| place.join(name)).collect()
}

/// Removes a hidden directory or file if a run of this user left it and no run holds its lock.
fn remove_leftover(directory: &OwnedFd, name: &OsStr) -> Option<()> {
    let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return None;
    }
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => OFlags::DIRECTORY,
        FileType::RegularFile => OFlags::NONBLOCK,
        _ => return None,
    };
    let flags = kind | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let held = openat(directory, name, flags, Mode::empty()).ok()?;
    flock(&held, FlockOperation::NonBlockingLockExclusive).ok()?;
    // Only the holder of the lock may remove the name.
    if !is_at(&held, directory.as_fd(), name).ok()? {
        return None;
    }
    if kind == OFlags::DIRECTORY {
        let root = Root::from(held);
        root.remove_children(b"").ok()?;
        unlinkat(directory, name, AtFlags::REMOVEDIR).ok()
    } else {
        unlinkat(directory, name, AtFlags::empty()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_of_killed_runs_are_removed_and_those_of_live_runs_stay() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let living = HiddenDirectory::create(place.path(), OsStr::new("root"), &Janitor::default()).unwrap();
        std::fs::create_dir(living.path().join("root")).unwrap();
        // A name that this module does not make, and a link, belong to somebody else.
        for name in [".mine.rootstrap-unfinished-x", "keep"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::fs::write(at("keep/file"), "x").unwrap();
        std::os::unix::fs::symlink("keep", at(".link.rootstrap-unfinished-5")).unwrap();
        std::fs::create_dir_all(at(".root.rootstrap-unfinished-7/root/etc")).unwrap();
        std::fs::write(at(".root.rootstrap-unfinished-7/root/etc/file"), "x").unwrap();
        std::os::unix::fs::symlink(at("keep"), at(".root.rootstrap-unfinished-7/root/link")).unwrap();
        std::fs::write(at(".archive.rootstrap-unfinished-7-2"), "x").unwrap();
        let mut removed = sweep(place.path());
        removed.sort();
        assert_eq!(removed, [at(".archive.rootstrap-unfinished-7-2"), at(".root.rootstrap-unfinished-7")]);
        assert!(living.path().join("root").exists() && at("keep/file").exists());
        for name in [".mine.rootstrap-unfinished-x", ".link.rootstrap-unfinished-5"] {
            assert!(at(name).symlink_metadata().is_ok(), "{name}");
        }
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
    }

    /// Whoever owns the directory beside the target can put something else under a hidden name, or under the path of the directory.
    #[test]
    fn nothing_is_removed_but_what_was_made_here() {
        use rootstrap_testkit::{HostileClass, hostile_case};
        let scene = tempfile::tempdir().unwrap();
        let at = |name: &str| scene.path().join(name);
        let canary = at("victim/canary");
        let swap = |path: &Path, to: &Path| {
            std::fs::rename(path, at("moved")).unwrap();
            std::os::unix::fs::symlink(to, path).unwrap();
        };
        // A directory of somebody else gets the name. It is empty, so that a removal by name would succeed.
        hostile_case(HostileClass::Host, "a hidden name becomes that of another directory");
        std::fs::create_dir(at("place")).unwrap();
        let hidden = HiddenDirectory::create(&at("place"), OsStr::new("root"), &Janitor::default()).unwrap();
        let path = hidden.path();
        std::fs::rename(&path, at("moved")).unwrap();
        std::fs::create_dir(&path).unwrap();
        drop(hidden);
        assert!(path.is_dir());
        for name in ["place", "moved"] {
            std::fs::remove_dir_all(at(name)).unwrap();
        }
        for (case, swaps_place) in [("a hidden name becomes a link", false), ("the place becomes a link", true)] {
            hostile_case(HostileClass::Host, case);
            std::fs::create_dir_all(at("victim")).unwrap();
            std::fs::create_dir_all(at("place")).unwrap();
            std::fs::write(&canary, "canary").unwrap();
            let hidden = HiddenDirectory::create(&at("place"), OsStr::new("root"), &Janitor::default()).unwrap();
            std::fs::create_dir(hidden.path().join("root")).unwrap();
            match swaps_place {
                false => swap(&hidden.path(), &at("victim")),
                true => {
                    let name = hidden.path().file_name().unwrap().to_owned();
                    std::fs::create_dir(at("other")).unwrap();
                    std::os::unix::fs::symlink(at("victim"), at("other").join(name)).unwrap();
                    swap(&at("place"), &at("other"));
                }
            }
            // What is done with the directory is done to the one that was made.
            hidden.root().unwrap().at(b"file").unwrap().create_file().unwrap();
            assert!(!at("victim/file").exists());
            if swaps_place {
                assert!(
                    hidden.publish(&at("place/root"), 0, &[], false).unwrap_err().to_string().contains("cannot use")
                );
            }
            drop(hidden);
            assert_eq!(std::fs::read_to_string(&canary).unwrap(), "canary", "{case}");
            for name in ["place", "moved", "other"] {
                let _ = std::fs::remove_dir_all(at(name)).or_else(|_| std::fs::remove_file(at(name)));
            }
        }
    }

    /// A target that stays the same directory gets the owner of every root.
    #[test]
    fn a_target_that_is_filled_gets_owner_mode_and_time() {
        use std::os::unix::fs::MetadataExt;
        if !rustix::process::geteuid().is_root() {
            return rootstrap_testkit::skip("only root can give a directory away");
        }
        let scene = tempfile::tempdir().unwrap();
        let target = scene.path().join("target");
        std::fs::create_dir(&target).unwrap();
        std::os::unix::fs::chown(&target, Some(4242), Some(4242)).unwrap();
        let mut hidden = HiddenDirectory::create(&target, OsStr::new("staging"), &Janitor::default()).unwrap();
        hidden.is_inside = true;
        std::fs::create_dir_all(hidden.path().join("root/etc")).unwrap();
        hidden.publish(&target, 7, &[], false).unwrap();
        drop(hidden);
        let found = std::fs::metadata(&target).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777, found.mtime()), (0, 0, 0o755, 7));
        assert_eq!(
            std::fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(),
            ["etc"]
        );
    }
}
