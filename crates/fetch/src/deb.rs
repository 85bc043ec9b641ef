//! Debs: one that an index lists, and one whose bytes were verified.

use crate::error::Error;
use rootstrap_debian::digest::Digest;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A deb to fetch, as a verified index lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedDeb {
    /// What messages call it: `libc6 2.36-9`.
    pub label: String,
    /// Its path below each mirror, from the index's `Filename`.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
    /// Base URIs, tried in this order: [`VerifiedPocket::mirrors`](crate::VerifiedPocket::mirrors) of the pocket whose index lists
    /// it.
    pub mirrors: Vec<String>,
}

/// A deb whose size and digest are what a verified index says. Only this crate can make one.
#[derive(Debug)]
pub struct VerifiedDeb {
    label: String,
    digest: Digest,
    path: PathBuf,
    file: File,
    is_cached: bool,
}

impl VerifiedDeb {
    /// Returns [`ListedDeb::label`].
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns the digest that was verified.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns the file, open for reading at its beginning, and seekable. It stays readable when the cache is removed.
    #[must_use]
    pub fn into_file(self) -> File {
        self.file
    }

    /// Whether the cache had it before: then this is at least its second use.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        self.is_cached
    }

    /// Returns its path in the cache. A private cache is removed with its session.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A verified file in the cache that is not open yet: there may be more of them than a process may have open.
pub(crate) struct CachedDeb {
    /// Its position in the caller's list.
    pub position: usize,
    pub label: String,
    pub digest: Digest,
    pub path: PathBuf,
    pub is_cached: bool,
}

impl CachedDeb {
    /// Opens the file. Returns it with its position.
    pub fn open(self) -> Result<(usize, VerifiedDeb), Error> {
        let Self { position, label, digest, path, is_cached } = self;
        let file = File::open(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        Ok((position, VerifiedDeb { label, digest, path, file, is_cached }))
    }
}
