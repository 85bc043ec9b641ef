//! The errors of this crate.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a tree could not be completed. The text is `cannot <verb> <thing>`; the source is the system's reason.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tree cannot be read or changed. The text already has the verb and the path.
    #[error(transparent)]
    Tree(#[from] rootstrap_rootfs::Error),
    /// The cache of shared libraries cannot be written.
    #[error("cannot write etc/ld.so.cache")]
    LibraryCache(#[source] io::Error),
    /// The caller asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    /// Returns the system's reason, if it has one.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Tree(error) => Some(error.io()),
            Self::LibraryCache(source) => Some(source),
            Self::Cancelled => None,
        }
    }
}

/// Fails once `cancel` is set. Every loop over what packages ship calls this, because there can be any number of it.
pub(crate) fn go_on(cancel: &AtomicBool) -> Result<()> {
    if cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
}

/// The result of the functions of this crate.
pub type Result<T> = std::result::Result<T, Error>;
