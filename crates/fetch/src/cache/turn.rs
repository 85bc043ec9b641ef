//! Whose turn it is to fetch a file: one download at a time, in whatever process.
//!
//! A turn is a lock (flock(2)) on a file of its own, so it ends with its holder however that ends. The holder removes the
//! file; whoever locks a file that has lost its name meanwhile tries again. A download holds its own turn alone while it waits
//! for nothing but bytes, so nobody waits in a circle.

use super::Cache;
use crate::error::Error;
use rootstrap_debian::digest::Digest;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

/// How often somebody who waits looks: a flag of another process cannot wake him.
const LOOK: Duration = Duration::from_millis(25);

/// The right to fetch one file, given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    path: PathBuf,
    /// Held, not read: closing it ends the lock.
    _lock: File,
}

impl Drop for Turn {
    /// While the lock is held: a name removed later could be that of the next holder.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Cache {
    /// Takes the turn to fetch the file with this digest; `None` while somebody else has it.
    pub fn try_turn(&self, digest: &Digest) -> Result<Option<Turn>, Error> {
        let path = self.root.join("tmp").join(format!("{digest}.lock"));
        let fail = |source| Error::Write { path: path.clone(), source };
        loop {
            let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(fail(errno.into())),
            }
            let inode = lock.metadata().map_err(fail)?.ino();
            match fs::symlink_metadata(&path) {
                Ok(named) if named.ino() == inode => return Ok(Some(Turn { path, _lock: lock })),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(fail(error)),
            }
        }
    }

    /// Takes the turn as soon as whoever has it is done.
    pub async fn turn(&self, digest: &Digest) -> Result<Turn, Error> {
        loop {
            if let Some(turn) = self.try_turn(digest)? {
                return Ok(turn);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const DIGEST: Digest = Digest::Sha256([7; 32]);

    #[test]
    fn a_turn_is_had_once_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Cache::open(Some(directory.path()), Path::new("/nowhere")).unwrap();
        let (one, other) = (open(), open());
        let turn = one.try_turn(&DIGEST).unwrap().unwrap();
        assert!(one.try_turn(&DIGEST).unwrap().is_none() && other.try_turn(&DIGEST).unwrap().is_none());
        assert!(other.try_turn(&Digest::Sha256([8; 32])).unwrap().is_some(), "another file");
        drop(turn);
        assert_eq!(fs::read_dir(directory.path().join("v1/tmp")).unwrap().count(), 0);
        assert!(other.try_turn(&DIGEST).unwrap().is_some());
    }

    /// Many at once, each removing the file that the others have open already.
    #[test]
    fn no_two_have_it_together() {
        let directory = tempfile::tempdir().unwrap();
        let (inside, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let cache = Cache::open(Some(directory.path()), Path::new("/nowhere")).unwrap();
                    let mut left = 300;
                    while left > 0 {
                        let Some(turn) = cache.try_turn(&DIGEST).unwrap() else { continue };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(turn);
                        left -= 1;
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(done.into_inner(), 4);
    }
}
