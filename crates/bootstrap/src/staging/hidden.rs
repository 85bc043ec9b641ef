//! Hidden directories and files that a run makes beside its target. The run locks each of them while it lives, so the next run can
//! tell what a killed run left behind.

use crate::error::Error;
use crate::staging::place::{is_filled_in_place, parent};
use rootstrap_configure::privilege::Janitor;
use rootstrap_rootfs::Root;
use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::fs::{flock, fstat, openat, statat, unlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What follows the dot and the stem in every hidden name. The number of the process follows it. It is so long that nobody else comes up
/// with such a name, because the next run removes what has one.
const MARK: &str = ".rootstrap-unfinished-";

/// How directories are opened, and how files are.
const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC);
const FILE: OFlags = OFlags::RDWR.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The longest stem, in bytes, that leaves room for the rest of a name, which has at most 255 bytes.
const LONGEST_STEM: usize = 190;

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

/// Returns names to try. Several are needed: runs in different containers can have the same process number, and a killed run may have
/// left its name.
fn names(stem: &OsStr) -> impl Iterator<Item = OsString> {
    let stem = if stem.len() > LONGEST_STEM { OsStr::new("staging") } else { stem };
    let mut start = OsString::from(".");
    start.push(stem);
    start.push(format!("{MARK}{}", std::process::id()));
    (0..1000).map(move |number| {
        let mut name = start.clone();
        if number > 0 {
            name.push(format!("-{number}"));
        }
        name
    })
}

/// Returns whether [`names`] could have made this name.
fn is_ours(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    let Some((stem, numbers)) = text.rsplit_once(MARK) else { return false };
    let is_number = |text: &str| text.parse::<u32>().is_ok_and(|number| number > 0 && number.to_string() == text);
    let mut numbers = numbers.split('-');
    stem.len() > 1 && stem.starts_with('.') && numbers.next().is_some_and(is_number) && {
        let (second, third) = (numbers.next(), numbers.next());
        second.is_none_or(is_number) && third.is_none()
    }
}

/// The directory that hidden names are in. It is opened once: if it belongs to another user, its path may lead elsewhere later.
struct Place {
    path: PathBuf,
    directory: OwnedFd,
    janitor: Janitor,
}

impl Place {
    fn open(path: &Path, janitor: &Janitor) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(Error::io("find", path))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&path, flags, Mode::empty()).map_err(Error::errno("open", &path))?;
        Ok(Self { path, directory, janitor: janitor.clone() })
    }

    /// Tries names until `make` succeeds under one. `make` returns `None` where the name is taken.
    fn under_new_name<T: AsFd>(
        &self,
        stem: &OsStr,
        verb: &'static str,
        make: impl Fn(&OsStr) -> Result<Option<T>, Errno>,
    ) -> Result<(OsString, T), Error> {
        let mut last = self.path.clone();
        for name in names(stem) {
            let path = self.path.join(&name);
            if statat(&self.directory, &name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                last = path;
                continue;
            }
            // The janitor is told before the file exists, because a kill may follow right after.
            self.janitor.remove_on_death(self.directory.as_fd(), &path);
            match make(&name) {
                Ok(Some(made)) => {
                    self.janitor.made(&path, made.as_fd());
                    return Ok((name, made));
                }
                Ok(None) | Err(Errno::EXIST) => {
                    self.janitor.keep(&path);
                    last = path;
                }
                Err(errno) => {
                    self.janitor.keep(&path);
                    return Err(Error::errno(verb, &path)(errno));
                }
            }
        }
        Err(Error::errno(verb, &last)(Errno::EXIST))
    }

    /// Creates a hidden file. Returns its name and the file, whose lock this run holds.
    fn create_file(&self, stem: &str, mode: Mode) -> Result<(OsString, OwnedFd), Error> {
        self.under_new_name(OsStr::new(stem), "create", |name| {
            let file = openat(&self.directory, name, FILE | OFlags::CREATE | OFlags::EXCL, mode)?;
            Ok(self.lock(&file, name)?.then_some(file))
        })
    }

    /// Takes the lock of what was just created as `name` and opened as `file`. Returns `false` if another run took it for a leftover
    /// and was quicker.
    fn lock(&self, file: impl AsFd, name: &OsStr) -> Result<bool, Errno> {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => self.has(file, name),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Returns whether `name` still names what is open as `file`.
    fn has(&self, file: impl AsFd, name: &OsStr) -> Result<bool, Errno> {
        is_at(file, self.directory.as_fd(), name)
    }

    /// Removes `name` if it still names what is open as `file`.
    fn remove(&self, file: impl AsFd, name: &OsStr, flags: AtFlags) {
        if self.has(file, name) == Ok(true) {
            let _ = unlinkat(&self.directory, name, flags);
        }
    }

    /// Refuses to go on if the path leads to another directory by now, because nobody would find the result there.
    fn check_same(&self) -> Result<(), Error> {
        if is_at(&self.directory, CWD, &self.path).map_err(Error::errno("inspect", &self.path))? {
            return Ok(());
        }
        let reason = "the directory was moved or replaced during the run";
        Err(Error::io("use", &self.path)(std::io::Error::other(reason)))
    }

    /// Waits until the disk holds the names of the directory, if `sync` is set.
    fn sync(&self, sync: bool) -> Result<(), Error> {
        if !sync {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(&self.directory, ".", flags, Mode::empty()) {
            Ok(directory) => rustix::fs::fsync(&directory).map_err(Error::errno("flush", &self.path)),
            // A directory that the caller may change and not read can only be flushed with its whole filesystem.
            Err(_) => Ok(()),
        }
    }
}

/// Returns whether `name` still names what is open as `file`.
fn is_at(file: impl AsFd, directory: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<bool, Errno> {
    let identity = |stat: Stat| (stat.st_dev, stat.st_ino);
    let held = identity(fstat(file)?);
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(identity(stat) == held),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

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
    /// `sync` is set. `epoch` is the time of a target that stays the same directory.
    pub fn publish(&self, path: &Path, epoch: i64, sync: bool) -> Result<(), Error> {
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
        for name in root.list(b"")? {
            let name = OsStr::from_bytes(&name);
            rustix::fs::renameat(root.fd(), name, target, name).map_err(Error::errno(MOVE, &path.join(name)))?;
        }
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

/// A file that gets its name when it is complete. Until then it has no name, where the filesystem supports that.
pub(crate) struct NewFile {
    /// The file, open for writing and reading.
    pub file: File,
    place: Arc<Place>,
    name: Option<OsString>,
}

/// A file that has got its name.
pub(crate) struct PublishedFile {
    /// The file that was written, whatever has its name by now.
    pub file: File,
    place: Arc<Place>,
    path: PathBuf,
}

/// Creates a file in `place` that never gets a name, for writing and reading.
pub(crate) fn nameless_file(place: &Path, janitor: &Janitor) -> Result<File, Error> {
    let (place, mode) = (Place::open(place, janitor)?, Mode::from_raw_mode(0o600));
    if let Ok(file) = openat(&place.directory, ".", FILE | OFlags::TMPFILE, mode) {
        return Ok(file.into());
    }
    let (name, file) = place.create_file("layer", mode)?;
    place.remove(&file, &name, AtFlags::empty());
    Ok(file.into())
}

impl NewFile {
    /// Creates a file that is published in the directory `place` later.
    pub fn create(place: &Path, janitor: &Janitor) -> Result<Self, Error> {
        let (place, mode) = (Arc::new(Place::open(place, janitor)?), Mode::from_raw_mode(0o666));
        if let Ok(file) = openat(&place.directory, ".", FILE | OFlags::TMPFILE, mode)
            && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            return Ok(Self { file: file.into(), place, name: None });
        }
        let (name, file) = place.create_file("archive", mode)?;
        Ok(Self { file: file.into(), place, name: Some(name) })
    }

    /// Waits until the disk holds the file, if `sync` is set. `path` is for messages.
    pub fn sync(&self, sync: bool, path: &Path) -> Result<(), Error> {
        if sync { self.file.sync_all().map_err(Error::io("write", path)) } else { Ok(()) }
    }

    /// Gives the file the name of `path`, in the directory in which it was created. It replaces what has that name now. With `sync`,
    /// waits until the disk holds the name.
    pub fn publish(mut self, path: &Path, sync: bool) -> Result<PublishedFile, Error> {
        let final_name = path.file_name().unwrap_or_default();
        self.place.check_same()?;
        let file = self.file.try_clone().map_err(Error::io("open", path))?;
        // AT_EMPTY_PATH needs a capability; this way does not (linkat(2)).
        let own = format!("/proc/self/fd/{}", file.as_raw_fd());
        let directory = &self.place.directory;
        let link = |to: &OsStr| rustix::fs::linkat(CWD, &own, directory, to, AtFlags::SYMLINK_FOLLOW);
        let mut is_linked = false;
        if self.name.is_none() {
            match link(final_name) {
                Ok(()) => is_linked = true,
                Err(Errno::EXIST) => {
                    let linked = self
                        .place
                        .under_new_name(OsStr::new("archive"), "create", |name| link(name).map(|()| Some(&file)));
                    self.name = Some(linked?.0);
                }
                Err(errno) => return Err(Error::errno("give the finished file the name", path)(errno)),
            }
        }
        if let (false, Some(name)) = (is_linked, &self.name) {
            rustix::fs::renameat(directory, name, directory, final_name)
                .map_err(Error::errno("move the finished file to", path))?;
        }
        self.name = None;
        self.place.sync(sync)?;
        Ok(PublishedFile { file, place: Arc::clone(&self.place), path: path.to_owned() })
    }

    /// Has the janitor remove the file under the name of `path` if this run is killed, until [`PublishedFile::keep`] is called.
    pub fn remove_on_death(&self, path: &Path) {
        self.place.janitor.remove_on_death(self.place.directory.as_fd(), path);
        self.place.janitor.made(path, self.file.as_fd());
    }
}

impl PublishedFile {
    /// Returns the path whose name it got.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the name again, if the file still has it.
    pub fn remove(&self) {
        self.place.remove(&self.file, self.path.file_name().unwrap_or_default(), AtFlags::empty());
    }

    /// Ends what [`NewFile::remove_on_death`] began: the file is part of the result.
    pub fn keep(&self) {
        self.place.janitor.keep(&self.path);
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            self.place.remove(&self.file, name, AtFlags::empty());
        }
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
    fn only_names_made_here_count_as_ours() {
        let own = names(OsStr::from_bytes(b"ro\xff ot")).take(3);
        let longest = "x".repeat(255);
        let long = names(OsStr::new(&longest)).take(1);
        for name in own.chain(long) {
            assert!(is_ours(name.as_bytes()), "{}", name.display());
            assert!(name.len() < 255);
        }
        for name in [
            "root",
            ".root",
            ".my.rootstrap-4242",
            "root.rootstrap-unfinished-1",
            ".rootstrap-unfinished-1",
            ".root.rootstrap-unfinished-",
            ".root.rootstrap-unfinished-01",
            ".root.rootstrap-unfinished-0",
            ".root.rootstrap-unfinished-+1",
            ".root.rootstrap-unfinished-1-",
            ".root.rootstrap-unfinished-1-2-3",
            ".root.rootstrap-unfinished-1.bak",
            ".root.rootstrap-unfinished-1a",
        ] {
            assert!(!is_ours(name.as_bytes()), "{name}");
        }
    }

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

    #[test]
    fn a_new_file_takes_its_name_when_it_is_published() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("x.tar");
        for text in ["first", "second"] {
            use std::io::Write;
            let mut new = NewFile::create(place.path(), &Janitor::default()).unwrap();
            new.file.write_all(text.as_bytes()).unwrap();
            assert_eq!(sweep(place.path()), [""; 0].map(PathBuf::from), "a live run's");
            new.publish(&path, false).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        drop(NewFile::create(place.path(), &Janitor::default()).unwrap());
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
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
                assert!(hidden.publish(&at("place/root"), 0, false).unwrap_err().to_string().contains("cannot use"));
            }
            drop(hidden);
            assert_eq!(std::fs::read_to_string(&canary).unwrap(), "canary", "{case}");
            for name in ["place", "moved", "other"] {
                let _ = std::fs::remove_dir_all(at(name)).or_else(|_| std::fs::remove_file(at(name)));
            }
        }
    }

    #[test]
    fn a_file_without_nameless_files_is_removed_only_if_it_is_still_its_own() {
        let place = tempfile::tempdir().unwrap();
        let opened = Place::open(place.path(), &Janitor::default()).unwrap();
        let (name, file) = opened.create_file("archive", Mode::from_raw_mode(0o600)).unwrap();
        let new = NewFile { file: file.into(), place: Arc::new(opened), name: Some(name.clone()) };
        let path = place.path().join(name);
        std::fs::rename(&path, place.path().join("moved")).unwrap();
        std::fs::write(&path, "somebody else's").unwrap();
        drop(new);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody else's");
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
        hidden.publish(&target, 7, false).unwrap();
        drop(hidden);
        let found = std::fs::metadata(&target).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777, found.mtime()), (0, 0, 0o755, 7));
        assert_eq!(
            std::fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(),
            ["etc"]
        );
    }
}
