//! One file of a layer: finding it, using it, and writing it.

use crate::directory::{Cache, Directory, Temporary, is_regular, why_not_own};
use crate::error::Error;
use crate::key::Key;
use crate::layout::TMP;
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, fstat, openat, statat};
use rustix::fs::{renameat, unlinkat};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// How often a file is put in its place before that counts as failed: something else may be there, or the directory may be gone.
const ATTEMPTS: usize = 3;

/// The place of one file in the cache, whether the file exists or not.
#[derive(Clone, Debug)]
pub struct CachedFile {
    cache: Cache,
    /// Its directory below `v1`.
    directory: PathBuf,
    name: OsString,
    /// Whether its content is verified whenever it is read. Other content is believed only where nobody else can write.
    is_verified: bool,
    path: PathBuf,
}

impl CachedFile {
    /// Returns the place `DIRECTORY/NAME` of a file that is believed: it is used and written only where nobody but the caller can
    /// write.
    #[must_use]
    pub fn new(cache: &Cache, directory: &str, name: &str) -> Self {
        Self::at(cache, Path::new(directory).to_owned(), name, false)
    }

    /// Returns the place `DIRECTORY/NAME` of a file whose content the caller verifies whenever it reads it.
    #[must_use]
    pub fn verified(cache: &Cache, directory: &str, name: &str) -> Self {
        Self::at(cache, Path::new(directory).to_owned(), name, true)
    }

    /// Returns the place `DIRECTORY/ab/abcd…` of the file whose digest is `hex`. The caller compares the digest whenever it reads the
    /// file.
    #[must_use]
    pub fn by_digest(cache: &Cache, directory: &str, hex: &str) -> Self {
        Self::at(cache, shard(directory, hex), hex, true)
    }

    /// Returns the place `DIRECTORY/ab/FORM-abcd…` of what was made in a `form` (a word) from the file whose digest is `hex`. It is
    /// believed.
    #[must_use]
    pub fn derived(cache: &Cache, directory: &str, form: &str, hex: &str) -> Self {
        Self::at(cache, shard(directory, hex), &format!("{form}-{hex}"), false)
    }

    fn at(cache: &Cache, directory: PathBuf, name: &str, is_verified: bool) -> Self {
        let path = cache.path(&directory).join(name);
        Self { cache: cache.clone(), directory, name: name.into(), is_verified, path }
    }

    /// Returns its path, for messages. Use [`Self::open`] to read it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens its directory, if its files may be used.
    fn directory(&self) -> Option<Directory> {
        let directory = self.cache.open_directory(&self.directory, false).ok()?;
        (self.is_verified || directory.is_own).then_some(directory)
    }

    /// Whether it is a regular file of `size` bytes. A file of another size was damaged after it was written. It is left to be
    /// replaced, because another process may have replaced it already. Looking counts as a use.
    #[must_use]
    pub fn has_size(&self, size: u64) -> bool {
        let Some(directory) = self.directory() else { return false };
        let found = statat(&directory.fd, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        let has_size = found.is_ok_and(|found| is_regular(&found) && found.st_size.cast_unsigned() == size);
        if has_size {
            self.mark(&directory);
        }
        has_size
    }

    /// Opens the file as [`Self::open`] does, or takes it from the store behind the cache, where `key` stands for its content.
    #[must_use]
    pub fn open_or_fetch(&self, key: &Key) -> Option<File> {
        if let Some(file) = self.open() {
            return Some(file);
        }
        let remote = self.cache.remote().filter(|remote| remote.is_own())?;
        let mut new = self.create_private().ok()?;
        if !remote.find_entry(key, new.file()) {
            return None;
        }
        new.keep().ok()?;
        self.open()
    }

    /// Puts the file into the store behind the cache, under a key of all that decided its content.
    pub fn share(&self, key: &Key) {
        let remote = self.cache.remote().filter(|remote| remote.is_own());
        if let (Some(remote), Some(file)) = (remote, self.open()) {
            remote.upload_entry(key, file);
        }
    }

    /// Opens the file for reading, at its beginning, if it exists and is a regular file. This counts as a use.
    #[must_use]
    pub fn open(&self) -> Option<File> {
        let directory = self.directory()?;
        // A pipe in its place must not make this wait.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&directory.fd, &self.name, flags, Mode::empty()).ok()?;
        let found = fstat(&file).ok()?;
        let is_usable = is_regular(&found) && (self.is_verified || why_not_own(&found).is_none());
        if !is_usable {
            return None;
        }
        self.mark(&directory);
        Some(file.into())
    }

    /// Whether nobody but the caller can have written the file since it was verified.
    #[must_use]
    pub fn is_own(&self, file: &File) -> bool {
        let directory = self.cache.open_directory(&self.directory, false);
        directory.is_ok_and(|it| it.is_own) && fstat(file).is_ok_and(|found| why_not_own(&found).is_none())
    }

    /// Sets the modification time to now, which tells pruning that the file is in use. A failure does no harm.
    pub fn mark_used(&self) {
        if let Some(directory) = self.directory() {
            self.mark(&directory);
        }
    }

    fn mark(&self, directory: &Directory) {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        };
        let _ = rustix::fs::utimensat(&directory.fd, &self.name, &times, AtFlags::SYMLINK_NOFOLLOW);
    }

    /// Removes the file, because its content turned out to be damaged. A failure does no harm: the damage will be found again.
    pub fn remove(&self) {
        if let Some(directory) = self.directory() {
            let _ = unlinkat(&directory.fd, &self.name, AtFlags::empty());
        }
    }

    /// Creates a file in `tmp/` that can get this place. Every user may read it.
    ///
    /// # Errors
    /// The file cannot be created, or nobody would believe it there.
    pub fn create(&self) -> Result<NewFile, Error> {
        self.create_with(0o644)
    }

    /// The same, but only the caller may read the file: what was made for one user may tell about that user.
    ///
    /// # Errors
    /// As for [`Self::create`].
    pub fn create_private(&self) -> Result<NewFile, Error> {
        self.create_with(0o600)
    }

    fn create_with(&self, mode: u32) -> Result<NewFile, Error> {
        if !self.is_verified {
            let directory = self.cache.open_directory(&self.directory, true);
            if !directory.map_err(|errno| Error::write(&self.path, errno))?.is_own {
                let reason = io::Error::other("others could have written here");
                return Err(Error::write(&self.path, reason));
            }
        }
        let temporary = self.cache.temporary_file(mode)?;
        Ok(NewFile { temporary, mode, place: self.clone(), is_kept: false })
    }
}

/// Directories with thousands of files are slow on some filesystems, so the first two digits make directories of their own.
fn shard(directory: &str, hex: &str) -> PathBuf {
    Path::new(directory).join(hex.get(..2).unwrap_or_default())
}

/// A file that is being written to `tmp/`. Dropping it removes it.
pub struct NewFile {
    temporary: Temporary,
    mode: u32,
    place: CachedFile,
    is_kept: bool,
}

impl std::fmt::Debug for NewFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("NewFile").field(&self.place.path).finish()
    }
}

impl NewFile {
    /// Returns the file, empty at first.
    pub fn file(&mut self) -> &mut File {
        &mut self.temporary.file
    }

    /// Returns the same for writers that need no exclusive access.
    #[must_use]
    pub fn shared_file(&self) -> &File {
        &self.temporary.file
    }

    /// Returns where it is while it is being written, for messages.
    #[must_use]
    pub fn temporary_path(&self) -> PathBuf {
        self.place.cache.path(Path::new(TMP)).join(&self.temporary.name)
    }

    /// Gives the file its place, in place of anything that is there, and returns the path. The caller has checked the content.
    ///
    /// # Errors
    /// The directory cannot be created, or the file not renamed.
    pub fn keep(mut self) -> Result<PathBuf, Error> {
        let (cache, place) = (self.place.cache.clone(), self.place.clone());
        let fail = |source: io::Error| Error::write(&place.path, source);
        let mut last = Errno::NOENT;
        for _ in 0..ATTEMPTS {
            let directory = match cache.open_directory(&place.directory, true) {
                Ok(directory) => directory.fd,
                Err(errno) => {
                    last = errno;
                    continue;
                }
            };
            let Temporary { directory: from, name, .. } = &self.temporary;
            match renameat(from, name, &directory, &place.name) {
                Ok(()) => {
                    self.is_kept = true;
                    // The disk begins now, so that a run that flushes its target (syncfs) does not wait for the cache at its end. This
                    // writes the pages, drops only those that are on the disk already (Linux `mm/fadvise.c`), and waits for nothing.
                    let _ = rustix::fs::fadvise(&self.temporary.file, 0, None, rustix::fs::Advice::DontNeed);
                    return Ok(place.path.clone());
                }
                // The cache was removed, and with it the name of this file.
                Err(Errno::NOENT) => self.write_again().map_err(fail)?,
                Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => self.set_aside(directory.as_fd()),
                Err(errno) => return Err(fail(errno.into())),
            }
        }
        Err(fail(last.into()))
    }

    /// Copies what was written into a new file in `tmp/`.
    fn write_again(&mut self) -> io::Result<()> {
        let mut new = self.place.cache.temporary_file(self.mode).map_err(io::Error::other)?;
        self.temporary.file.rewind()?;
        io::copy(&mut self.temporary.file, &mut new.file)?;
        self.temporary = new;
        Ok(())
    }

    /// Moves a directory that has the name of the file to `tmp/`, where pruning removes it.
    fn set_aside(&self, directory: BorrowedFd<'_>) {
        if let Ok(tmp) = self.place.cache.open_directory(Path::new(TMP), true) {
            let mut name = self.temporary.name.clone();
            name.push("-aside");
            let _ = renameat(directory, &self.place.name, &tmp.fd, name);
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = unlinkat(&self.temporary.directory, &self.temporary.name, AtFlags::empty());
        }
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
        assert_eq!(std::fs::read_dir(directory.path().join("v1/tmp")).unwrap().count(), 0);
        assert!(place.open().is_some());
        let derived = CachedFile::derived(&cache, "payload", "deb1", &hex);
        assert!(derived.path().ends_with(format!("v1/payload/07/deb1-{hex}")));
    }

    /// What is no regular file counts as missing, even if it leads to the right content.
    #[test]
    fn only_a_regular_file_is_a_file_of_the_cache() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(directory.path()), Path::new("/nowhere")).unwrap();
        let place = CachedFile::by_digest(&cache, "sha256", &"07".repeat(32));
        place.create().unwrap().keep().unwrap();
        assert!(place.open().is_some() && place.has_size(0));
        let path = place.path();
        let target = directory.path().join("target");
        std::fs::write(&target, "").unwrap();
        std::fs::remove_file(path).unwrap();
        std::os::unix::fs::symlink(&target, path).unwrap();
        assert!(place.open().is_none() && !place.has_size(0), "a link");
        std::fs::remove_file(path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert!(place.open().is_none() && !place.has_size(0), "a pipe");
    }
}
