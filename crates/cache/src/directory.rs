//! Opening a cache: its directories, its lock, its mark for backup programs, and new files.

use crate::error::Error;
use crate::layout::{LOCK, TAG, TAG_NAME, TMP, VERSION};
use rustix::fs::FlockOperation;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::{NamedTempFile, TempDir};

/// An open cache. It holds the shared lock, so that nobody prunes meanwhile; clones share it, and the lock ends with the last of
/// them.
#[derive(Clone, Debug)]
pub struct Cache(Arc<Directory>);

#[derive(Debug)]
struct Directory {
    /// `DIR/v1`.
    root: PathBuf,
    /// Only held: closing it ends the lock.
    _lock: File,
    /// The directory of a private cache. Dropping it removes the directory.
    _private: Option<TempDir>,
}

impl Cache {
    /// Opens the cache in `directory` and creates what is missing. `None` makes a private cache below `temporary`, which is removed
    /// with the last clone. Blocks while somebody prunes the cache.
    ///
    /// # Errors
    /// The cache cannot be created or written.
    pub fn open(directory: Option<&Path>, temporary: &Path) -> Result<Self, Error> {
        let (root, private) = match directory {
            Some(directory) => (directory.join(VERSION), None),
            None => {
                let private = tempfile::Builder::new().prefix("rootstrap-").tempdir_in(temporary);
                let private = private.map_err(|source| Error::unusable(temporary, source))?;
                (private.path().join(VERSION), Some(private))
            }
        };
        fs::create_dir_all(root.join(TMP)).map_err(|source| Error::unusable(&root, source))?;
        let path = root.join(LOCK);
        let lock = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let lock = lock.map_err(|source| Error::unusable(&path, source))?;
        // Nobody else has the cache open: the files in tmp/ were left by a process that was killed.
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            remove_files(&root.join(TMP));
        }
        rustix::fs::flock(&lock, FlockOperation::LockShared).map_err(|errno| Error::unusable(&path, errno))?;
        let tag = root.join(TAG_NAME);
        if !tag.exists() {
            fs::write(&tag, TAG).map_err(|source| Error::unusable(&tag, source))?;
        }
        let cache = Self(Arc::new(Directory { root, _lock: lock, _private: private }));
        // A cache that cannot be written is reported here rather than after the first download.
        cache.temporary_file(0o600).map_err(|error| match error {
            Error::Write { path, source } => Error::Unusable { path, source },
            other => other,
        })?;
        Ok(cache)
    }

    /// Returns the path of a directory of a layer. The directory need not exist.
    #[must_use]
    pub fn directory(&self, name: &str) -> PathBuf {
        self.0.root.join(name)
    }

    /// Creates an empty file in `tmp/` with these permissions, less the umask. Dropping it removes the file.
    pub(crate) fn temporary_file(&self, mode: u32) -> Result<NamedTempFile, Error> {
        let directory = self.directory(TMP);
        tempfile::Builder::new()
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(&directory)
            .map_err(|source| Error::write(&directory, source))
    }
}

/// Removes the files of a directory, as far as that is possible.
fn remove_files(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
