//! The errors of this crate.

use std::io;

/// Why a tree could not be completed. The text is `cannot <verb> <thing>`; the source is the system's reason.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tree cannot be read or changed. The text already has the verb and the path.
    #[error(transparent)]
    Tree(#[from] rootstrap_rootfs::Error),
    /// The cache of shared libraries cannot be written.
    #[error("cannot write etc/ld.so.cache")]
    LibraryCache(#[source] io::Error),
}

impl Error {
    /// Returns the system's reason.
    #[must_use]
    pub fn io(&self) -> &io::Error {
        match self {
            Self::Tree(error) => error.io(),
            Self::LibraryCache(source) => source,
        }
    }
}

/// The result of the functions of this crate.
pub type Result<T> = std::result::Result<T, Error>;
