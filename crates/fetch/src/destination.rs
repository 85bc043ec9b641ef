//! The place of a download in the cache.

use crate::error::Error;
use crate::hasher::file_has_digest;
use rootstrap_cache::{Cache, CachedFile, DownloadLock, NewFile};
use rootstrap_debian::digest::Digest;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a waiting download looks whether the lock is free: another process cannot wake it.
const LOCK_INTERVAL: Duration = Duration::from_millis(25);

/// The place in the cache of a file of known size and digest.
#[derive(Clone)]
pub(crate) struct Destination {
    cache: Cache,
    file: CachedFile,
    pub size: u64,
    pub digest: Digest,
}

impl Destination {
    pub fn new(cache: &Cache, size: u64, digest: Digest) -> Self {
        // "sha256" or "sha512", the directories of `layers::DOWNLOADS`.
        let directory = digest.algorithm().to_ascii_lowercase();
        let file = CachedFile::by_digest(cache, &directory, &digest.to_string());
        Self { cache: cache.clone(), file, size, digest }
    }

    /// Whether a file of the right size is there. Its content may be damaged.
    pub fn has_file(&self) -> bool {
        self.file.has_size(self.size)
    }

    /// Opens the file if one of the right size is there. Its content may be damaged.
    pub fn open_unverified(&self) -> Option<File> {
        let file = self.file.open()?;
        file.metadata().is_ok_and(|found| found.len() == self.size).then_some(file)
    }

    /// Returns the path of the file if it is there and has the right digest. It is hashed again, because a disk may have lost bytes
    /// since it was written, and hashing costs less than using a damaged file.
    pub async fn verified_path(&self) -> Option<PathBuf> {
        let (mut file, digest) = (self.open_unverified()?, self.digest);
        let is_right = move || file_has_digest(&mut file, &digest, &mut std::io::sink());
        let is_right = tokio::task::spawn_blocking(is_right).await.unwrap_or(false);
        is_right.then(|| self.file.path().to_owned())
    }

    /// Opens the file that this run has verified. Where somebody else can write to the cache, the bytes may be others by now: there
    /// they are copied into memory, and the copy is verified. `None` if the file is gone or not the same any more.
    pub fn open_verified(&self) -> Option<File> {
        let mut file = self.open_unverified()?;
        if self.file.is_own(&file) {
            return Some(file);
        }
        let memory = rustix::fs::memfd_create("download", rustix::fs::MemfdFlags::CLOEXEC).ok()?;
        let mut copy = File::from(memory);
        let is_right = file_has_digest(&mut (&mut file).take(self.size), &self.digest, &mut copy);
        (is_right && copy.rewind().is_ok()).then_some(copy)
    }

    /// Returns its path, for messages.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Removes the file, because it is damaged.
    pub fn remove(&self) {
        self.file.remove();
    }

    /// Creates a temporary file that can get this place.
    pub fn create(&self) -> Result<NewFile, Error> {
        Ok(self.file.create()?)
    }

    /// Takes the lock of this download. Returns `None` while somebody else has it.
    pub fn try_lock(&self) -> Result<Option<DownloadLock>, Error> {
        Ok(DownloadLock::try_acquire(&self.cache, &self.digest.to_string())?)
    }

    /// Takes the lock of this download as soon as nobody else has it.
    pub async fn lock(&self) -> Result<DownloadLock, Error> {
        loop {
            if let Some(lock) = self.try_lock()? {
                return Ok(lock);
            }
            tokio::time::sleep(LOCK_INTERVAL).await;
        }
    }
}
