//! A file that is being received: its bytes are hashed and counted while they are written.

use crate::error::{Error, Failure, Fault};
use crate::hasher::Hasher;
use rootstrap_cache::NewFile;
use rootstrap_debian::digest::Digest;
use rootstrap_http::Url;
use rootstrap_http::header::HeaderValue;
use std::io::{Seek, Write};
use std::time::Duration;

/// How long a file must be or may be, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    Exactly(u64),
    AtMost(u64),
}

/// A file of which some bytes have been received.
pub(crate) struct Partial {
    pub expected: Expected,
    /// Identifies the version of the file that the received bytes belong to.
    pub validator: Option<HeaderValue>,
    /// The address of the last answer, after all redirects. Files of a directory have none.
    pub came_from: Option<Url>,
    /// How long the bytes took, without the wait for the first.
    pub body_time: Duration,
    sink: Sink,
    digest: Option<Digest>,
    hasher: Hasher,
    received: u64,
}

enum Sink {
    Memory(Vec<u8>),
    File(NewFile),
}

impl Partial {
    /// Begins a small file of unknown digest in memory: one whose content proves itself, by a signature.
    pub fn in_memory(limit: u64) -> Self {
        Self::new(Sink::Memory(Vec::new()), Expected::AtMost(limit), None)
    }

    /// Begins a file whose size and digest are known.
    pub fn in_file(file: NewFile, size: u64, digest: Digest) -> Self {
        Self::new(Sink::File(file), Expected::Exactly(size), Some(digest))
    }

    fn new(sink: Sink, expected: Expected, digest: Option<Digest>) -> Self {
        let hasher = Hasher::new(digest.as_ref());
        Self {
            expected,
            validator: None,
            came_from: None,
            body_time: Duration::ZERO,
            sink,
            digest,
            hasher,
            received: 0,
        }
    }

    /// Returns the number of bytes so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether all bytes have been received.
    pub fn is_complete(&self) -> bool {
        matches!(self.expected, Expected::Exactly(size) if self.received == size)
    }

    /// Appends the next bytes.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        let (Expected::Exactly(limit) | Expected::AtMost(limit)) = self.expected;
        let received = self.received.saturating_add(chunk.len() as u64);
        if received > limit {
            return Err(Fault::TooLong { limit }.into());
        }
        match &mut self.sink {
            Sink::Memory(bytes) => bytes.extend_from_slice(chunk),
            Sink::File(file) => file.file().write_all(chunk).map_err(|source| cannot_write(file, source))?,
        }
        self.hasher.update(chunk);
        self.received = received;
        Ok(())
    }

    /// Checks, after the sender's last byte, that none is missing.
    pub fn end(&self) -> Result<(), Fault> {
        match self.expected {
            Expected::Exactly(expected) if self.received < expected => {
                Err(Fault::Truncated { expected, got: self.received })
            }
            _ => Ok(()),
        }
    }

    /// Discards all bytes so far and returns their number.
    pub fn restart(&mut self) -> Result<i64, Failure> {
        match &mut self.sink {
            Sink::Memory(bytes) => bytes.clear(),
            // A filesystem such as ext4 writes a file to the disk when it is closed, if it was ever made empty. An empty file is left alone.
            Sink::File(_) if self.received == 0 => {}
            Sink::File(file) => {
                let emptied = file.file().set_len(0).and_then(|()| file.file().rewind());
                emptied.map_err(|source| cannot_write(file, source))?;
            }
        }
        let lost = i64::try_from(self.received).unwrap_or(i64::MAX);
        self.received = 0;
        self.validator = None;
        self.hasher = Hasher::new(self.digest.as_ref());
        Ok(lost)
    }

    /// Compares size and digest, if they are known.
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

    /// Returns the bytes of a file in memory.
    pub fn into_bytes(self) -> Vec<u8> {
        match self.sink {
            Sink::Memory(bytes) => bytes,
            Sink::File(_) => Vec::new(),
        }
    }

    /// Returns the file of the cache. The caller has called [`Self::check`].
    pub fn into_file(self) -> Option<NewFile> {
        match self.sink {
            Sink::File(file) => Some(file),
            Sink::Memory(_) => None,
        }
    }
}

fn cannot_write(file: &NewFile, source: std::io::Error) -> Error {
    rootstrap_cache::Error::write(&file.temporary_path(), source).into()
}
