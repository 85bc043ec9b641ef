//! One file of a layer: finding it, using it, and writing it.

use crate::directory::Cache;
use crate::error::Error;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The place of one file in the cache, whether the file exists or not.
#[derive(Clone, Debug)]
pub struct CachedFile {
    cache: Cache,
    path: PathBuf,
}

impl CachedFile {
    /// Returns the place `DIRECTORY/NAME`.
    #[must_use]
    pub fn new(cache: &Cache, directory: &str, name: &str) -> Self {
        Self { cache: cache.clone(), path: cache.directory(directory).join(name) }
    }

    /// Returns the place `DIRECTORY/ab/abcd…` of the file whose digest is `hex`.
    #[must_use]
    pub fn by_digest(cache: &Cache, directory: &str, hex: &str) -> Self {
        Self::sharded(cache, directory, hex, hex)
    }

    /// Returns the place `DIRECTORY/ab/FORM-abcd…` of what was made in a `form` (a word) from the file whose digest is `hex`.
    #[must_use]
    pub fn derived(cache: &Cache, directory: &str, form: &str, hex: &str) -> Self {
        Self::sharded(cache, directory, hex, &format!("{form}-{hex}"))
    }

    /// Directories with thousands of files are slow on some filesystems, so the first two digits make directories of their own.
    fn sharded(cache: &Cache, directory: &str, hex: &str, name: &str) -> Self {
        let shard = hex.get(..2).unwrap_or_default();
        Self { cache: cache.clone(), path: cache.directory(directory).join(shard).join(name) }
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a regular file of `size` bytes. A file of another size was damaged after it was written. It is left to be
    /// replaced, because another process may have replaced it already. Looking counts as a use.
    #[must_use]
    pub fn has_size(&self, size: u64) -> bool {
        let has_size = fs::symlink_metadata(&self.path).is_ok_and(|found| found.is_file() && found.len() == size);
        if has_size {
            self.mark_used();
        }
        has_size
    }

    /// Opens the file for reading, at its beginning, if it exists. This counts as a use.
    #[must_use]
    pub fn open(&self) -> Option<File> {
        let file = File::open(&self.path).ok()?;
        self.mark_used();
        Some(file)
    }

    /// Sets the modification time to now, which tells pruning that the file is in use. A failure does no harm.
    pub fn mark_used(&self) {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        };
        let _ = rustix::fs::utimensat(CWD, &self.path, &times, AtFlags::SYMLINK_NOFOLLOW);
    }

    /// Removes the file, because its content turned out to be damaged. A failure does no harm: the damage will be found again.
    pub fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Creates a file in `tmp/` that can get this place. Every user may read it.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn create(&self) -> Result<NewFile, Error> {
        self.create_with(0o644)
    }

    /// The same, but only the caller may read the file: what was made for one user may tell about that user.
    pub(crate) fn create_private(&self) -> Result<NewFile, Error> {
        self.create_with(0o600)
    }

    fn create_with(&self, mode: u32) -> Result<NewFile, Error> {
        Ok(NewFile { file: self.cache.temporary_file(mode)?, path: self.path.clone() })
    }
}

/// A file that is being written to `tmp/`. Dropping it removes it.
#[derive(Debug)]
pub struct NewFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl NewFile {
    /// Returns the file, empty at first.
    pub fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Returns the same for writers that need no exclusive access.
    #[must_use]
    pub fn shared_file(&self) -> &File {
        self.file.as_file()
    }

    /// Returns where it is while it is being written, for messages.
    #[must_use]
    pub fn temporary_path(&self) -> &Path {
        self.file.path()
    }

    /// Gives the file its place, in place of any older file, and returns the path. The caller has checked the content.
    ///
    /// # Errors
    /// The directory cannot be created, or the file not renamed.
    pub fn keep(self) -> Result<PathBuf, Error> {
        let Self { file, path } = self;
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(|source| Error::write(&path, source))?;
        }
        file.persist(&path).map_err(|error| Error::write(&path, error.error))?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn files_are_found_by_digest_and_size() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(directory.path()), Path::new("/nowhere")).unwrap();
        let hex = "07".repeat(32);
        let place = CachedFile::by_digest(&cache, "sha256", &hex);
        assert!(!place.has_size(3) && place.open().is_none());
        let mut new = place.create().unwrap();
        new.file().write_all(b"abc").unwrap();
        let path = new.keep().unwrap();
        assert!(path.ends_with(format!("v1/sha256/07/{hex}")) && path == place.path());
        assert!(place.has_size(3) && !place.has_size(4));
        assert_eq!(fs::read_dir(directory.path().join("v1/tmp")).unwrap().count(), 0);
        let derived = CachedFile::derived(&cache, "payload", "deb1", &hex);
        assert!(derived.path().ends_with(format!("v1/payload/07/deb1-{hex}")));
    }
}
