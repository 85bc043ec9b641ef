//! What can go wrong with a path of the tree.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `cannot <verb> <path>`, with the system's reason as its source.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}", path.display())]
pub struct Error {
    verb: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Error {
    pub(crate) fn new(verb: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        Self { verb, path: Path::new(OsStr::from_bytes(path)).to_owned(), source: source.into() }
    }

    /// The system's reason, to tell a full disk from a missing permission.
    #[must_use]
    pub fn io(&self) -> &io::Error {
        &self.source
    }

    /// Whether the entry is missing, or one of its parents is missing or no directory.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    }
}

/// The result of every operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;
