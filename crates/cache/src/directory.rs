//! Opening a cache: its directories, its lock, its mark for backup programs, and new files.
//!
//! `DIR/v1` is opened once. Everything below is opened by descriptors, one name after the other, and no link is followed.

use crate::error::Error;
use crate::layout::{LOCK, TAG, TAG_NAME, TMP, VERSION};
use crate::remote::Remote;
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::fs::{fstat, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;

/// The permissions of directories, less the umask.
const DIRECTORY_MODE: u32 = 0o755;

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::RDONLY).union(OFlags::CLOEXEC);

/// An open cache. It holds the shared lock, so that nobody prunes meanwhile; clones share it, and the lock ends with the last of
/// them. If the directory is removed meanwhile, it is made again.
#[derive(Clone, Debug)]
pub struct Cache {
    shared: Arc<Shared>,
    remote: Option<Remote>,
}

#[derive(Debug)]
struct Shared {
    /// `DIR`.
    directory: PathBuf,
    /// The directory that holds `DIR`, and the name of `DIR` in it.
    parent: Option<(OwnedFd, OsString)>,
    version: Mutex<Arc<Version>>,
    /// Numbers the files in `tmp/`.
    next: AtomicU64,
    /// The directory of a private cache. Dropping it removes the directory.
    _private: Option<TempDir>,
}

/// The open directory `DIR/v1`.
#[derive(Debug)]
struct Version {
    root: OwnedFd,
    /// Only held: closing it ends the lock.
    _lock: File,
    distrust: Option<String>,
}

/// An open directory of the cache.
pub(crate) struct Directory {
    pub fd: OwnedFd,
    /// Whether nobody but the caller can have written here.
    pub is_own: bool,
}

/// A new file in `tmp/`.
pub(crate) struct Temporary {
    pub directory: OwnedFd,
    pub name: OsString,
    pub file: File,
}

impl Cache {
    /// Opens the cache in `directory` and creates what is missing. `None` makes a private cache below `temporary`, which is removed
    /// with the last clone. Blocks while somebody prunes the cache.
    ///
    /// # Errors
    /// The cache cannot be created or written, or a link or a file is in the place of one of its directories.
    pub fn open(directory: Option<&Path>, temporary: &Path) -> Result<Self, Error> {
        let (directory, private) = match directory {
            Some(directory) => (directory.to_owned(), None),
            None => {
                let private = tempfile::Builder::new().prefix("rootstrap-").tempdir_in(temporary);
                let private = private.map_err(|source| Error::unusable(temporary, source))?;
                (private.path().to_owned(), Some(private))
            }
        };
        let unusable = |source: io::Error| Error::unusable(&directory.join(VERSION), source);
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&directory).map_err(unusable)?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let top = rustix::fs::open(&directory, flags, Mode::empty()).map_err(|errno| unusable(errno.into()))?;
        let version = Mutex::new(Arc::new(Version::open(&directory, &top)?));
        let (parent, next) = (parent_of(&directory), AtomicU64::new(0));
        let shared = Arc::new(Shared { directory, parent, version, next, _private: private });
        let cache = Self { shared, remote: None };
        // A cache that cannot be written is reported here rather than after the first download.
        let probe = cache.temporary_file(0o600).and_then(|probe| {
            let path = cache.path(Path::new(TMP));
            unlinkat(&probe.directory, &probe.name, AtFlags::empty()).map_err(|errno| Error::write(&path, errno))
        });
        probe.map_err(|error| match error {
            Error::Write { path, source } => Error::Unusable { path, source },
            other => other,
        })?;
        Ok(cache)
    }

    /// Returns this cache with a store behind it.
    #[must_use]
    pub fn with_remote(self, remote: Option<Remote>) -> Self {
        Self { remote, ..self }
    }

    /// Returns the store behind this cache.
    #[must_use]
    pub fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    /// Says why files of this cache that nothing else vouches for are neither used nor written: somebody else could have written
    /// them. `None` if the cache is the caller's own.
    #[must_use]
    pub fn distrust(&self) -> Option<String> {
        self.version().distrust.clone()
    }

    /// Returns the path of something below `v1`, for messages.
    pub(crate) fn path(&self, below: &Path) -> PathBuf {
        self.shared.directory.join(VERSION).join(below)
    }

    /// Returns the open `v1`. If it was removed since it was opened, it is made again, in the directory that held it.
    fn version(&self) -> Arc<Version> {
        let Shared { directory, parent, version, .. } = &*self.shared;
        let mut version = version.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((parent, name)) = parent else { return Arc::clone(&version) };
        let path = Path::new(name).join(VERSION);
        let named = statat(parent, &path, AtFlags::SYMLINK_NOFOLLOW).map(|found| identity(&found));
        let is_same = fstat(&version.root).is_ok_and(|held| named == Ok(identity(&held)));
        if !is_same
            && let Ok(top) = open_or_make(parent.as_fd(), name)
            && let Ok(new) = Version::open(directory, &top)
        {
            *version = Arc::new(new);
        }
        Arc::clone(&version)
    }

    /// Opens the directory `path` below `v1`. With `create`, makes what is missing.
    pub(crate) fn open_directory(&self, path: &Path, create: bool) -> Result<Directory, Errno> {
        let version = self.version();
        let mut is_own = version.distrust.is_none();
        let mut fd = rustix::io::fcntl_dupfd_cloexec(&version.root, 3)?;
        for name in path {
            if create {
                make_directory(fd.as_fd(), name)?;
            }
            fd = openat(&fd, name, DIRECTORY, Mode::empty())?;
            is_own &= why_not_own(&fstat(&fd)?).is_none();
        }
        Ok(Directory { fd, is_own })
    }

    /// Returns the names in the directory `path` below `v1`.
    #[must_use]
    pub fn names(&self, path: &str) -> Vec<OsString> {
        let names = self.open_directory(Path::new(path), false).and_then(|directory| names(directory.fd.as_fd()));
        names.unwrap_or_default()
    }

    /// Creates an empty file in `tmp/` with these permissions, less the umask, for writing and reading.
    pub(crate) fn temporary_file(&self, mode: u32) -> Result<Temporary, Error> {
        let fail = |errno| Error::write(&self.path(Path::new(TMP)), errno);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut is_gone = false;
        loop {
            let directory = self.open_directory(Path::new(TMP), true).map_err(fail)?.fd;
            let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
            let name = OsString::from(format!("{}-{number}", std::process::id()));
            match openat(&directory, &name, flags, Mode::from_raw_mode(mode)) {
                Ok(file) => return Ok(Temporary { directory, name, file: file.into() }),
                // A process of the same number, in another container, has the name.
                Err(Errno::EXIST) => {}
                // The directory was removed just now.
                Err(Errno::NOENT) if !is_gone => is_gone = true,
                Err(errno) => return Err(fail(errno)),
            }
        }
    }
}

impl Version {
    /// Opens `v1` in the cache `directory`, which is open as `top`.
    fn open(directory: &Path, top: &OwnedFd) -> Result<Self, Error> {
        let root_path = directory.join(VERSION);
        let unusable = |errno: Errno| Error::unusable(&root_path, errno);
        let root =
            open_or_make(top.as_fd(), OsStr::new(VERSION)).map_err(|source| Error::unusable(&root_path, source))?;
        let tmp = open_or_make(root.as_fd(), OsStr::new(TMP))
            .map_err(|source| Error::unusable(&root_path.join(TMP), source))?;
        let lock = open_lock(root.as_fd(), &root_path.join(LOCK))?;
        // Nobody else has the cache open: the files in tmp/ were left by a process that was killed.
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            for name in names(tmp.as_fd()).unwrap_or_default() {
                let _ = unlinkat(&tmp, name, AtFlags::empty());
            }
        }
        rustix::fs::flock(&lock, FlockOperation::LockShared).map_err(unusable)?;
        write_tag(root.as_fd(), tmp.as_fd()).map_err(|source| Error::unusable(&root_path.join(TAG_NAME), source))?;
        let reason = |directory: &OwnedFd| fstat(directory).ok().and_then(|stat| why_not_own(&stat));
        let distrust = reason(top).or_else(|| reason(&root));
        let distrust = distrust.map(|reason| format!("{}: {reason}", directory.display()));
        Ok(Self { root, _lock: lock, distrust })
    }
}

/// Opens the directory that holds `directory`. Returns it with the name of `directory`; `None` for a path without a name.
fn parent_of(directory: &Path) -> Option<(OwnedFd, OsString)> {
    let absolute = std::path::absolute(directory).ok()?;
    let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
    let parent = rustix::fs::open(absolute.parent()?, flags, Mode::empty()).ok()?;
    Some((parent, absolute.file_name()?.to_owned()))
}

/// Opens the file whose lock every open cache shares.
pub(crate) fn open_lock(root: BorrowedFd<'_>, path: &Path) -> Result<File, Error> {
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let lock = openat(root, LOCK, flags, Mode::from_raw_mode(0o644)).map_err(|errno| Error::unusable(path, errno))?;
    let stat = fstat(&lock).map_err(|errno| Error::unusable(path, errno))?;
    match is_regular(&stat) {
        true => Ok(lock.into()),
        false => Err(Error::unusable(path, io::Error::other("it is not a regular file"))),
    }
}

/// Marks the directory as a cache. A tag that a full disk cut off is written again.
fn write_tag(root: BorrowedFd<'_>, tmp: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut text = Vec::new();
    match openat(root, TAG_NAME, flags, Mode::empty()) {
        Ok(tag) if is_regular(&fstat(&tag)?) => {
            File::from(tag).take(TAG.len() as u64).read_to_end(&mut text)?;
            if text == TAG || !TAG.starts_with(&text) {
                return Ok(());
            }
        }
        Ok(_) | Err(Errno::LOOP) => return Err(io::Error::other("it is not a regular file")),
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    let (name, new) = new_tag(tmp)?;
    let written = File::from(new).write_all(TAG).and_then(|()| Ok(rustix::fs::renameat(tmp, &name, root, TAG_NAME)?));
    if written.is_err() {
        let _ = unlinkat(tmp, &name, AtFlags::empty());
    }
    written
}

/// Creates a file in `tmp` under a name that no other opener of the cache has, be it a thread of this process or a process of another
/// container with the same number.
fn new_tag(tmp: BorrowedFd<'_>) -> Result<(String, OwnedFd), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut number = 0u32;
    loop {
        let name = format!("{TAG_NAME}-{}-{number}", std::process::id());
        match openat(tmp, &name, flags, Mode::from_raw_mode(0o644)) {
            Ok(new) => return Ok((name, new)),
            Err(Errno::EXIST) => number = number.checked_add(1).ok_or(Errno::EXIST)?,
            Err(errno) => return Err(errno),
        }
    }
}

fn make_directory(parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    match mkdirat(parent, name, Mode::from_raw_mode(DIRECTORY_MODE)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn open_or_make(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    make_directory(parent, name)?;
    openat(parent, name, DIRECTORY, Mode::empty()).map_err(|errno| match errno {
        // O_DIRECTORY and O_NOFOLLOW: what Linux says of a link, and what POSIX says.
        Errno::NOTDIR | Errno::LOOP => io::Error::other("it is a link or no directory"),
        errno => errno.into(),
    })
}

/// Returns the names in a directory but `.` and `..`.
fn names(directory: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Device and inode number.
#[allow(clippy::useless_conversion, reason = "the widths of numbers differ by architecture")]
pub(crate) fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev.into(), stat.st_ino.into())
}

pub(crate) fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Says why somebody else than the caller could have written a file or directory; `None` if nobody could.
pub(crate) fn why_not_own(stat: &Stat) -> Option<String> {
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Some("it belongs to another user".to_owned());
    }
    (stat.st_mode & 0o022 != 0).then(|| "other users can write to it".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;
    use crate::file::CachedFile;
    use crate::key::KeyBuilder;
    use rootstrap_testkit::{HostileClass, hostile_case};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn leftovers_are_removed_when_nobody_else_has_the_cache_open() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Cache::open(Some(directory.path()), Path::new("/nowhere")).unwrap();
        let first = open();
        let leftover = directory.path().join("v1/tmp/leftover");
        fs::write(&leftover, "x").unwrap();
        let second = open();
        assert!(leftover.exists(), "the first may still be writing it");
        drop((first, second));
        open();
        assert!(!leftover.exists());
    }

    #[test]
    fn a_private_cache_is_removed_with_its_last_clone() {
        let temporary = tempfile::tempdir().unwrap();
        let cache = Cache::open(None, temporary.path()).unwrap();
        let clone = cache.clone();
        drop(cache);
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
        drop(clone);
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_cache_that_cannot_be_created_says_where_and_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Cache::open(Some(&file.join("cache")), Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().contains("file/cache"), "{error}");
        assert!(error.hint().unwrap().contains("--cache-dir"));
    }

    /// Whoever prepares a cache for somebody else may put links, pipes and directories into it.
    #[test]
    fn no_link_of_a_cache_is_followed() {
        for link in ["v1", "v1/tmp", "v1/lock", "v1/CACHEDIR.TAG"] {
            hostile_case(HostileClass::Host, &format!("cache: {link} is a link"));
            let place = tempfile::tempdir().unwrap();
            let (cache, victim) = (place.path().join("cache"), place.path().join("victim"));
            fs::create_dir_all(cache.join(link).parent().unwrap()).unwrap();
            fs::create_dir(&victim).unwrap();
            fs::write(victim.join("canary"), "canary").unwrap();
            let new_file = victim.join("new");
            symlink(if link.ends_with("tmp") || link == "v1" { &victim } else { &new_file }, cache.join(link)).unwrap();
            Cache::open(Some(&cache), Path::new("/nowhere")).unwrap_err();
            assert_eq!(names_of(&victim), ["canary"], "{link}");
        }
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_is_no_wait() {
        for name in ["lock", "CACHEDIR.TAG"] {
            hostile_case(HostileClass::Host, &format!("cache: {name} is a pipe"));
            let place = tempfile::tempdir().unwrap();
            fs::create_dir(place.path().join("v1")).unwrap();
            make_pipe(&place.path().join("v1").join(name));
            Cache::open(Some(place.path()), Path::new("/nowhere")).unwrap_err();
        }
    }

    #[test]
    fn a_new_cache_can_be_opened_by_many_at_once() {
        for _ in 0..50 {
            let place = tempfile::tempdir().unwrap();
            std::thread::scope(|scope| {
                let open = || Cache::open(Some(place.path()), place.path()).map(drop);
                let all: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
                all.into_iter().for_each(|opened| opened.join().unwrap().unwrap());
            });
        }
    }

    #[test]
    fn a_tag_that_was_cut_off_is_written_again() {
        let place = tempfile::tempdir().unwrap();
        let tag = place.path().join("v1/CACHEDIR.TAG");
        fs::create_dir(place.path().join("v1")).unwrap();
        for text in ["", "Signature: 8a47"] {
            fs::write(&tag, text).unwrap();
            Cache::open(Some(place.path()), Path::new("/nowhere")).unwrap();
            assert_eq!(fs::read(&tag).unwrap(), TAG);
        }
        fs::write(&tag, "Signature: another program's").unwrap();
        Cache::open(Some(place.path()), Path::new("/nowhere")).unwrap();
        assert_ne!(fs::read(&tag).unwrap(), TAG);
    }

    #[test]
    fn what_others_can_write_is_not_believed() {
        let key = KeyBuilder::new("test", &[0; 32]).finish();
        for (case, below, mode) in [
            ("the cache", "", 0o777),
            ("the version", "v1", 0o775),
            ("the layer", "v1/archive", 0o777),
            ("the file", "v1/archive/KEY", 0o666),
        ] {
            hostile_case(HostileClass::Host, &format!("cache: others can write {case}"));
            let place = tempfile::tempdir().unwrap();
            let open = || Cache::open(Some(place.path()), Path::new("/nowhere")).unwrap();
            let entry = |cache: &Cache| Entry::new(cache, "archive", &key);
            let cache = open();
            entry(&cache).create().unwrap().keep(b"notes").unwrap();
            assert!(entry(&cache).find().is_some() && cache.distrust().is_none());
            let below = below.replace("KEY", &key.to_string());
            fs::set_permissions(place.path().join(&below), Permissions::from_mode(mode)).unwrap();
            let cache = open();
            assert!(entry(&cache).find().is_none(), "{case}");
            assert_eq!(cache.distrust().is_some(), !below.contains("archive"), "{case}");
            assert_eq!(entry(&cache).create().is_err(), !below.contains(&key.to_string()), "{case}");
            // What is verified whenever it is read is used all the same.
            CachedFile::by_digest(&cache, "sha256", "07").create().unwrap().keep().unwrap();
            assert!(CachedFile::by_digest(&cache, "sha256", "07").open().is_some(), "{case}");
        }
    }

    #[test]
    fn what_is_no_file_is_absent() {
        let place = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(place.path()), Path::new("/nowhere")).unwrap();
        let file = CachedFile::by_digest(&cache, "sha256", "07");
        let path = place.path().join("v1/sha256/07/07");
        for what in ["pipe", "directory", "link"] {
            hostile_case(HostileClass::Host, &format!("cache: a {what} in the place of a file"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match what {
                "pipe" => make_pipe(&path),
                "directory" => fs::create_dir_all(path.join("inside")).unwrap(),
                _ => symlink("/etc/passwd", &path).unwrap(),
            }
            assert!(file.open().is_none() && !file.has_size(0), "{what}");
            file.create().unwrap().keep().unwrap();
            assert!(file.open().is_some(), "{what}");
            fs::remove_dir_all(place.path().join("v1/sha256")).unwrap();
        }
    }

    /// Somebody removes the cache, or a part of it, while a run uses it.
    #[test]
    fn a_cache_that_is_removed_is_made_again() {
        for gone in ["", "v1", "v1/tmp", "v1/sha256"] {
            hostile_case(HostileClass::Host, &format!("cache: DIR/{gone} is removed during the run"));
            let place = tempfile::tempdir().unwrap();
            let directory = place.path().join("cache");
            let cache = Cache::open(Some(&directory), Path::new("/nowhere")).unwrap();
            let file = CachedFile::by_digest(&cache, "sha256", "07");
            let mut new = file.create().unwrap();
            new.file().write_all(b"content").unwrap();
            fs::remove_dir_all(directory.join(gone)).ok();
            new.keep().unwrap();
            let mut text = String::new();
            file.open().unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "content", "{gone}");
            fs::remove_dir_all(directory.join(gone)).unwrap();
            assert_eq!(file.open().is_some(), gone == "v1/tmp");
            file.create().unwrap().keep().unwrap();
            assert!(file.open().is_some());
        }
    }

    /// Whoever owns the directory that holds the cache can put a link in the cache's place during the run.
    #[test]
    fn a_link_in_the_place_of_an_open_cache_is_not_followed() {
        hostile_case(HostileClass::Host, "cache: DIR becomes a link during the run");
        let place = tempfile::tempdir().unwrap();
        let (directory, victim) = (place.path().join("cache"), place.path().join("victim"));
        let cache = Cache::open(Some(&directory), Path::new("/nowhere")).unwrap();
        fs::create_dir(&victim).unwrap();
        fs::rename(&directory, place.path().join("moved")).unwrap();
        symlink(&victim, &directory).unwrap();
        CachedFile::by_digest(&cache, "sha256", "07").create().unwrap().keep().unwrap();
        assert!(names_of(&victim).is_empty());
        assert!(place.path().join("moved/v1/sha256/07/07").exists());
    }

    #[test]
    fn directories_are_not_open_to_all() {
        let place = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(&place.path().join("a/cache")), Path::new("/nowhere")).unwrap();
        CachedFile::by_digest(&cache, "sha256", "07").create().unwrap().keep().unwrap();
        for below in ["a", "a/cache", "a/cache/v1", "a/cache/v1/tmp", "a/cache/v1/sha256", "a/cache/v1/sha256/07"] {
            let mode = fs::metadata(place.path().join(below)).unwrap().permissions().mode();
            assert_eq!(mode & 0o022, 0, "{below}");
        }
    }

    fn names_of(directory: &Path) -> Vec<String> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn make_pipe(path: &Path) {
        rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }
}
