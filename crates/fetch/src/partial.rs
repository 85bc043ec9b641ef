//! A file on its way in: hashed and measured while it is written, and nothing until it is whole and right.

use crate::download::Failure;
use crate::error::{Error, Fault};
use reqwest::header::HeaderValue;
use rootstrap_debian::digest::Digest;
use sha2::{Digest as _, Sha256, Sha512};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::Path;
use std::time::Duration;
use tempfile::NamedTempFile;

/// How long a file must or may be, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    Exactly(u64),
    AtMost(u64),
}

/// What has come of a file so far.
pub(crate) struct Partial {
    pub expected: Expected,
    /// What identifies the version of the file that the bytes so far belong to.
    pub validator: Option<HeaderValue>,
    /// How long the bytes took, without the waiting for the first.
    pub body_time: Duration,
    sink: Sink,
    digest: Option<Digest>,
    hasher: Hasher,
    received: u64,
}

enum Sink {
    Memory(Vec<u8>),
    File(NamedTempFile),
}

impl Partial {
    /// A small file of unknown digest, kept in memory: one that carries its own proof.
    pub fn in_memory(limit: u64) -> Self {
        Self::new(Sink::Memory(Vec::new()), Expected::AtMost(limit), None)
    }

    /// A file whose size and digest are known.
    pub fn in_file(file: NamedTempFile, size: u64, digest: Digest) -> Self {
        Self::new(Sink::File(file), Expected::Exactly(size), Some(digest))
    }

    fn new(sink: Sink, expected: Expected, digest: Option<Digest>) -> Self {
        let hasher = Hasher::new(digest.as_ref());
        Self { expected, validator: None, body_time: Duration::ZERO, sink, digest, hasher, received: 0 }
    }

    /// Bytes so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether as many bytes are here as there must be.
    pub fn is_complete(&self) -> bool {
        matches!(self.expected, Expected::Exactly(size) if self.received == size)
    }

    /// Takes the next bytes.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        let (Expected::Exactly(limit) | Expected::AtMost(limit)) = self.expected;
        let received = self.received.saturating_add(chunk.len() as u64);
        if received > limit {
            return Err(Fault::TooLong { limit }.into());
        }
        match &mut self.sink {
            Sink::Memory(bytes) => bytes.extend_from_slice(chunk),
            Sink::File(file) => file
                .as_file_mut()
                .write_all(chunk)
                .map_err(|source| Error::Write { path: file.path().to_owned(), source })?,
        }
        self.hasher.update(chunk);
        self.received = received;
        Ok(())
    }

    /// Checks that the last byte was the last.
    pub fn end(&self) -> Result<(), Fault> {
        match self.expected {
            Expected::Exactly(expected) if self.received < expected => {
                Err(Fault::Truncated { expected, got: self.received })
            }
            _ => Ok(()),
        }
    }

    /// Forgets what came so far, and says how many bytes that was.
    pub fn restart(&mut self) -> Result<i64, Failure> {
        match &mut self.sink {
            Sink::Memory(bytes) => bytes.clear(),
            Sink::File(file) => {
                let emptied = file.as_file().set_len(0).and_then(|()| file.as_file_mut().rewind());
                emptied.map_err(|source| Error::Write { path: file.path().to_owned(), source })?;
            }
        }
        let lost = i64::try_from(self.received).unwrap_or(i64::MAX);
        self.received = 0;
        self.validator = None;
        self.hasher = Hasher::new(self.digest.as_ref());
        Ok(lost)
    }

    /// Compares size and digest, where they are known.
    pub fn check(&self) -> Result<(), Fault> {
        self.end()?;
        let Some(expected) = self.digest else { return Ok(()) };
        let got = self.hasher.digest();
        if got == expected {
            return Ok(());
        }
        let (expected, got, algorithm) = (expected.to_string(), got.to_string(), expected.algorithm());
        Err(Fault::Digest { algorithm, expected, got })
    }

    /// The bytes of a file kept in memory.
    pub fn into_bytes(self) -> Vec<u8> {
        match self.sink {
            Sink::Memory(bytes) => bytes,
            Sink::File(_) => Vec::new(),
        }
    }

    /// The checked file and its digest.
    pub fn into_file(self) -> Option<(NamedTempFile, Digest)> {
        match (self.sink, self.digest) {
            (Sink::File(file), Some(digest)) => Some((file, digest)),
            _ => None,
        }
    }
}

/// Hashes with the algorithm of a digest.
#[derive(Clone)]
enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    fn new(like: Option<&Digest>) -> Self {
        match like {
            Some(Digest::Sha512(_)) => Self::Sha512(Sha512::new()),
            _ => Self::Sha256(Sha256::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of what came so far; more may follow.
    fn digest(&self) -> Digest {
        match self.clone() {
            Self::Sha256(hasher) => Digest::Sha256(hasher.finalize().into()),
            Self::Sha512(hasher) => Digest::Sha512(hasher.finalize().into()),
        }
    }
}

/// Whether the file still has the digest it had when it was written. One that cannot be read has not.
pub(crate) fn is_intact(path: &Path, digest: &Digest) -> bool {
    let Ok(mut file) = File::open(path) else { return false };
    let mut hasher = Hasher::new(Some(digest));
    let mut buffer = vec![0; 1 << 17];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return hasher.digest() == *digest,
            Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

/// The digest of `bytes`, by the algorithm of `like`.
pub(crate) fn digest_of(bytes: &[u8], like: &Digest) -> Digest {
    let mut hasher = Hasher::new(Some(like));
    hasher.update(bytes);
    hasher.digest()
}
