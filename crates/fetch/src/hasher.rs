//! Hashing with whichever algorithm a listed digest has.

use rootstrap_cache::for_each_chunk;
use rootstrap_debian::digest::Digest;
use sha2::{Digest as _, Sha256, Sha512};
use std::io::{Read, Write};

/// Hashes with the algorithm of a given digest.
#[derive(Clone)]
pub(crate) enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// Begins to hash with the algorithm of `like`; with SHA-256 if there is none.
    pub fn new(like: Option<&Digest>) -> Self {
        match like {
            Some(Digest::Sha512(_)) => Self::Sha512(Sha512::new()),
            _ => Self::Sha256(Sha256::new()),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// Returns the digest of all bytes so far. More may follow.
    pub fn digest(&self) -> Digest {
        match self.clone() {
            Self::Sha256(hasher) => Digest::Sha256(hasher.finalize().into()),
            Self::Sha512(hasher) => Digest::Sha512(hasher.finalize().into()),
        }
    }
}

/// Whether all that is left of `file` has this digest. A file that cannot be read has not. Everything that is read goes to `copy`.
pub(crate) fn file_has_digest(file: &mut impl Read, digest: &Digest, copy: &mut dyn Write) -> bool {
    let mut hasher = Hasher::new(Some(digest));
    let read = for_each_chunk(file, |chunk| {
        hasher.update(chunk);
        copy.write_all(chunk)
    });
    read.is_ok() && hasher.digest() == *digest
}

/// Whether the bytes have this digest.
pub(crate) fn bytes_have_digest(bytes: &[u8], digest: &Digest) -> bool {
    let mut hasher = Hasher::new(Some(digest));
    hasher.update(bytes);
    hasher.digest() == *digest
}
