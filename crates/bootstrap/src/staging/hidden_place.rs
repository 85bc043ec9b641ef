//! Hidden names, and the directory that they are in. The run locks what has such a name while it lives, so the next run can tell what a
//! killed run left behind.

use crate::error::Error;
use rootstrap_configure::privilege::Janitor;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, Stat};
use rustix::fs::{flock, fstat, openat, statat, unlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What follows the dot and the stem in every hidden name. The number of the thread follows it. It is so long that nobody else comes up
/// with such a name, because the next run removes what has one.
const MARK: &str = ".rootstrap-unfinished-";

/// How directories are opened, and how files are.
pub(super) const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC);
pub(super) const FILE: OFlags = OFlags::RDWR.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The longest stem, in bytes, that leaves room for the rest of a name, which has at most 255 bytes.
const LONGEST_STEM: usize = 190;

/// Returns names to try. Several are needed: runs in different containers can have the same numbers, and a killed run may have
/// left its name. Each thread has names of its own: platforms are built at once, and a thread that finds the name of another one taken
/// would tell the janitor to keep it.
pub(super) fn names(stem: &OsStr) -> impl Iterator<Item = OsString> {
    let stem = if stem.len() > LONGEST_STEM { OsStr::new("staging") } else { stem };
    let mut start = OsString::from(".");
    start.push(stem);
    start.push(format!("{MARK}{}", rustix::thread::gettid().as_raw_nonzero()));
    (0..1000).map(move |number| {
        let mut name = start.clone();
        if number > 0 {
            name.push(format!("-{number}"));
        }
        name
    })
}

/// Returns whether [`names`] could have made this name.
pub(super) fn is_ours(name: &[u8]) -> bool {
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
pub(super) struct Place {
    pub path: PathBuf,
    pub directory: OwnedFd,
    pub janitor: Janitor,
}

impl Place {
    pub fn open(path: &Path, janitor: &Janitor) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(Error::io("find", path))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&path, flags, Mode::empty()).map_err(Error::errno("open", &path))?;
        Ok(Self { path, directory, janitor: janitor.clone() })
    }

    /// Tries names until `make` succeeds under one. `make` returns `None` where the name is taken.
    pub fn under_new_name<T: AsFd>(
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
    pub fn create_file(&self, stem: &str, mode: Mode) -> Result<(OsString, OwnedFd), Error> {
        self.under_new_name(OsStr::new(stem), "create", |name| {
            let file = openat(&self.directory, name, FILE | OFlags::CREATE | OFlags::EXCL, mode)?;
            Ok(self.lock(&file, name)?.then_some(file))
        })
    }

    /// Takes the lock of what was just created as `name` and opened as `file`. Returns `false` if another run took it for a leftover
    /// and was quicker.
    pub fn lock(&self, file: impl AsFd, name: &OsStr) -> Result<bool, Errno> {
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
    pub fn remove(&self, file: impl AsFd, name: &OsStr, flags: AtFlags) {
        if self.has(file, name) == Ok(true) {
            let _ = unlinkat(&self.directory, name, flags);
        }
    }

    /// Refuses to go on if the path leads to another directory by now, because nobody would find the result there.
    pub fn check_same(&self) -> Result<(), Error> {
        if is_at(&self.directory, CWD, &self.path).map_err(Error::errno("inspect", &self.path))? {
            return Ok(());
        }
        let reason = "the directory was moved or replaced during the run";
        Err(Error::io("use", &self.path)(std::io::Error::other(reason)))
    }

    /// Waits until the disk holds the names of the directory, if `sync` is set.
    pub fn sync(&self, sync: bool) -> Result<(), Error> {
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
pub(super) fn is_at(file: impl AsFd, directory: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<bool, Errno> {
    let identity = |stat: Stat| (stat.st_dev, stat.st_ino);
    let held = identity(fstat(file)?);
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(identity(stat) == held),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn two_threads_never_try_the_same_name() {
        let tried = || names(OsStr::new("staging")).take(3).collect::<Vec<_>>();
        let own = tried();
        let others = std::thread::scope(|scope| scope.spawn(tried).join()).unwrap();
        assert!(others.iter().all(|name| !own.contains(name)), "{others:?}");
    }

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
}
