//! Debs: one that an index lists, and one whose bytes were verified.

use crate::destination::Destination;
use rootstrap_debian::digest::Digest;
use std::fs::File;
use std::path::Path;

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

/// A deb whose size and digest are what a verified index says. Only this crate can make one. It is in the cache and not open: there may
/// be more of them than a process may have open.
#[derive(Clone)]
pub struct VerifiedDeb {
    pub(crate) label: String,
    pub(crate) destination: Destination,
    pub(crate) is_cached: bool,
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
        &self.destination.digest
    }

    /// Opens the verified file for reading at its beginning. It is seekable, and stays readable when the cache is removed. `None` if
    /// the cache has lost the file since it was verified: then [`Session::debs`](crate::Session::debs) has to fetch it again.
    #[must_use]
    pub fn open(&self) -> Option<File> {
        self.destination.open_verified()
    }

    /// Whether the cache had it before: then this is at least its second use.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        self.is_cached
    }

    /// Returns its path in the cache, for messages. A private cache is removed with its session.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.destination.path()
    }
}
