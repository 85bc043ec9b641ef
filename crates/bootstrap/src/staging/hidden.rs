//! Hidden directories and files that a run makes beside its target. The run locks each of them while it lives, so the next run can
//! tell what a killed run left behind.

use crate::error::Error;
use rootstrap_configure::privilege::Janitor;
use rootstrap_rootfs::Root;
use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, openat, statat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What follows the dot and the stem in every hidden name. The number of the process follows it.
const MARK: &str = ".rootstrap-";

/// The longest stem, in bytes, that leaves room for the rest of a name, which has at most 255 bytes.
const LONGEST_STEM: usize = 200;

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
fn names(place: &Path, stem: &OsStr) -> impl Iterator<Item = PathBuf> {
    let stem = if stem.len() > LONGEST_STEM { OsStr::new("staging") } else { stem };
    let mut start = OsString::from(".");
    start.push(stem);
    start.push(format!("{MARK}{}", std::process::id()));
    let place = place.to_owned();
    (0..1000).map(move |number| {
        let mut name = start.clone();
        if number > 0 {
            name.push(format!("-{number}"));
        }
        place.join(name)
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

/// Tries names until `make` succeeds under one. `make` returns `None` where the name is taken.
fn under_new_name<T>(
    place: &Path,
    stem: &OsStr,
    verb: &'static str,
    janitor: &Janitor,
    make: impl Fn(&Path) -> Result<Option<T>, Errno>,
) -> Result<(PathBuf, T), Error> {
    let mut last = place.to_owned();
    for path in names(place, stem) {
        if path.symlink_metadata().is_ok() {
            last = path;
            continue;
        }
        // The janitor is told before the file exists, because a kill may follow right after.
        janitor.remove_on_death(&path);
        match make(&path) {
            Ok(Some(made)) => return Ok((path, made)),
            Ok(None) | Err(Errno::EXIST) => {
                janitor.keep(&path);
                last = path;
            }
            Err(errno) => {
                janitor.keep(&path);
                return Err(Error::errno(verb, &path)(errno));
            }
        }
    }
    Err(Error::errno(verb, &last)(Errno::EXIST))
}

/// Takes the lock of what was just created at `path` and opened as `file`. Returns `false` if another run took it for a leftover and
/// was quicker.
fn lock(file: impl AsFd, path: &Path) -> Result<bool, Errno> {
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => is_at(&file, CWD, path),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
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
    path: PathBuf,
    held: OwnedFd,
}

impl HiddenDirectory {
    /// Creates a directory in `place`, named after `stem`.
    pub fn create(place: &Path, stem: &OsStr, janitor: &Janitor) -> Result<Self, Error> {
        let place = std::path::absolute(place).map_err(Error::io("find", place))?;
        let (path, held) = under_new_name(&place, stem, "create the staging directory", janitor, |path| {
            rustix::fs::mkdir(path, Mode::from_raw_mode(0o700))?;
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
            match rustix::fs::open(path, flags, Mode::empty()) {
                Ok(held) => Ok(lock(&held, path)?.then_some(held)),
                Err(Errno::NOENT) => Ok(None),
                Err(errno) => Err(errno),
            }
        })?;
        Ok(Self { path, held })
    }

    /// Returns the absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the open directory.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.held.as_fd()
    }

    /// Returns the directory as a tree.
    pub fn root(&self) -> Result<Root, Error> {
        // The tree gets a descriptor of its own, because reading a directory moves the position in it.
        Ok(Root::open(&self.path)?)
    }
}

impl Drop for HiddenDirectory {
    fn drop(&mut self) {
        if let Ok(root) = self.root() {
            // Threads that were just told to stop may still add files, so removing is tried again.
            let _ = (0..3).find(|_| root.remove_children(b"").is_ok());
        }
        let _ = std::fs::remove_dir(&self.path);
    }
}

/// A file that gets its name when it is complete. Until then it has no name, where the filesystem supports that.
pub(crate) struct NewFile {
    /// The file, open for writing.
    pub file: File,
    name: Option<PathBuf>,
    janitor: Janitor,
}

/// Creates a file in `place` that never gets a name, for writing and reading.
pub(crate) fn nameless_file(place: &Path, janitor: &Janitor) -> Result<File, Error> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o600);
    if let Ok(file) = rustix::fs::open(place, flags | OFlags::TMPFILE, mode) {
        return Ok(file.into());
    }
    let (path, file) = under_new_name(place, OsStr::new("layer"), "create", janitor, |path| {
        let file = rustix::fs::open(path, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
        Ok(lock(&file, path)?.then_some(file))
    })?;
    std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    Ok(file.into())
}

impl NewFile {
    /// Creates a file that is published in the directory `place` later.
    pub fn create(place: &Path, janitor: &Janitor) -> Result<Self, Error> {
        let mode = Mode::from_raw_mode(0o666);
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        if let Ok(file) = rustix::fs::open(place, flags | OFlags::TMPFILE, mode)
            && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            return Ok(Self { file: file.into(), name: None, janitor: janitor.clone() });
        }
        let (name, file) = under_new_name(place, OsStr::new("archive"), "create", janitor, |path| {
            let file = rustix::fs::open(path, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
            Ok(lock(&file, path)?.then_some(file))
        })?;
        Ok(Self { file: file.into(), name: Some(name), janitor: janitor.clone() })
    }

    /// Waits until the disk holds the file, if `sync` is set. `path` is for messages.
    pub fn sync(&self, sync: bool, path: &Path) -> Result<(), Error> {
        if sync { self.file.sync_all().map_err(Error::io("write", path)) } else { Ok(()) }
    }

    /// Gives the file its name. It replaces what has that name now.
    pub fn publish(mut self, path: &Path) -> Result<(), Error> {
        if self.name.is_none() {
            // AT_EMPTY_PATH needs a capability; this way does not (linkat(2)).
            let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            let link = |to: &Path| rustix::fs::linkat(CWD, &own, CWD, to, AtFlags::SYMLINK_FOLLOW);
            match link(path) {
                Ok(()) => return Ok(()),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Error::errno("give the finished file the name", path)(errno)),
            }
            let place = path.parent().unwrap_or(path);
            let linked =
                under_new_name(place, OsStr::new("archive"), "create", &self.janitor, |name| link(name).map(Some))?;
            self.name = Some(linked.0);
        }
        if let Some(name) = &self.name {
            std::fs::rename(name, path).map_err(Error::io("move the finished file to", path))?;
        }
        self.name = None;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = std::fs::remove_file(name);
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
        rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR).ok()
    } else {
        rustix::fs::unlinkat(directory, name, AtFlags::empty()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_made_here_count_as_ours() {
        let own = names(Path::new(""), OsStr::from_bytes(b"ro\xff ot")).take(3);
        let longest = "x".repeat(255);
        let long = names(Path::new(""), OsStr::new(&longest)).take(1);
        for name in own.chain(long) {
            assert!(is_ours(name.as_os_str().as_bytes()), "{}", name.display());
            assert!(name.as_os_str().len() < 255);
        }
        for name in [
            "root",
            ".root",
            "root.rootstrap-1",
            ".rootstrap-1",
            ".root.rootstrap-",
            ".root.rootstrap-01",
            ".root.rootstrap-0",
            ".root.rootstrap-+1",
            ".root.rootstrap-1-",
            ".root.rootstrap-1-2-3",
            ".root.rootstrap-1.bak",
            ".root.rootstrap-1a",
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
        for name in [".mine.rootstrap-x", "keep"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::fs::write(at("keep/file"), "x").unwrap();
        std::os::unix::fs::symlink("keep", at(".link.rootstrap-5")).unwrap();
        std::fs::create_dir_all(at(".root.rootstrap-7/root/etc")).unwrap();
        std::fs::write(at(".root.rootstrap-7/root/etc/file"), "x").unwrap();
        std::os::unix::fs::symlink(at("keep"), at(".root.rootstrap-7/root/link")).unwrap();
        std::fs::write(at(".archive.rootstrap-7-2"), "x").unwrap();
        let mut removed = sweep(place.path());
        removed.sort();
        assert_eq!(removed, [at(".archive.rootstrap-7-2"), at(".root.rootstrap-7")]);
        assert!(living.path().join("root").exists() && at("keep/file").exists());
        for name in [".mine.rootstrap-x", ".link.rootstrap-5"] {
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
            new.publish(&path).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        drop(NewFile::create(place.path(), &Janitor::default()).unwrap());
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
