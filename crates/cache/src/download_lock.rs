//! Locks of downloads: one process at a time downloads a file, and the others wait and find it.
//!
//! A lock is an flock(2) on a file of its own, so it ends with its holder, however the holder ends. The holder removes the lock
//! file; a process that locks a file whose name was removed meanwhile tries again. A download holds only its own lock while it
//! waits for nothing but bytes, so no two processes wait for each other.

use crate::directory::{Cache, identity};
use crate::error::Error;
use crate::layout::TMP;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fstat, openat, statat, unlinkat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The right to download one file. Dropping it gives the right back.
#[derive(Debug)]
pub struct DownloadLock {
    tmp: OwnedFd,
    name: String,
    /// Only held: closing it ends the lock.
    _lock: OwnedFd,
}

impl DownloadLock {
    /// Takes the lock of the file called `name`, its digest in hexadecimal. Returns `None` while another holder has it.
    ///
    /// # Errors
    /// The lock file cannot be created or locked.
    pub fn try_acquire(cache: &Cache, name: &str) -> Result<Option<Self>, Error> {
        let name = format!("{name}.lock");
        let path = cache.path(Path::new(TMP)).join(&name);
        let fail = |errno: Errno| Error::write(&path, errno);
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut is_gone = false;
        loop {
            let tmp = cache.open_directory(Path::new(TMP), true).map_err(fail)?.fd;
            let lock = match openat(&tmp, &name, flags, Mode::from_raw_mode(0o644)) {
                Ok(lock) => lock,
                // The directory was removed just now.
                Err(Errno::NOENT) if !is_gone => {
                    is_gone = true;
                    continue;
                }
                Err(errno) => return Err(fail(errno)),
            };
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(fail(errno)),
            }
            let held = identity(&fstat(&lock).map_err(fail)?);
            match statat(&tmp, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(named) if identity(&named) == held => return Ok(Some(Self { tmp, name, _lock: lock })),
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(fail(errno)),
            }
        }
    }
}

impl Drop for DownloadLock {
    /// Removes the file before the lock ends: later, the name could belong to the lock file of the next holder.
    fn drop(&mut self) {
        let _ = unlinkat(&self.tmp, &self.name, AtFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_lock_has_one_holder_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Cache::open(Some(directory.path()), Path::new("/nowhere")).unwrap();
        let (one, other) = (open(), open());
        let lock = DownloadLock::try_acquire(&one, "07").unwrap().unwrap();
        for cache in [&one, &other] {
            assert!(DownloadLock::try_acquire(cache, "07").unwrap().is_none());
        }
        assert!(DownloadLock::try_acquire(&other, "08").unwrap().is_some(), "another file");
        drop(lock);
        assert_eq!(fs::read_dir(directory.path().join("v1/tmp")).unwrap().count(), 0);
        assert!(DownloadLock::try_acquire(&other, "07").unwrap().is_some());
    }

    /// Many threads at once, each of which removes the lock file that the others have open already.
    #[test]
    fn no_two_holders_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let (inside, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let cache = Cache::open(Some(directory.path()), Path::new("/nowhere")).unwrap();
                    let mut left = 300;
                    while left > 0 {
                        let Some(lock) = DownloadLock::try_acquire(&cache, "07").unwrap() else { continue };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                        left -= 1;
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(done.into_inner(), 4);
    }
}
