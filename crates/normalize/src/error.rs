//! The errors of this crate.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a tree could not be normalized. The text is `cannot <verb> <thing>`; the source is the system's reason.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tree cannot be read or changed. The text already has the verb and the path.
    #[error(transparent)]
    Tree(#[from] rootstrap_rootfs::Error),
    /// The root directory itself cannot be changed.
    #[error("cannot {verb} /")]
    Root {
        /// The verb of the text, for example `change mode of`.
        verb: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    pub(crate) fn root(verb: &'static str, source: impl Into<io::Error>) -> Self {
        Self::Root { verb, source: source.into() }
    }

    /// Returns the system's reason, if it has one.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Tree(error) => Some(error.io()),
            Self::Root { source, .. } => Some(source),
            Self::Cancelled => None,
        }
    }
}

/// Fails once `cancel` is set. Every loop over the files of a tree calls this, because a tree can be of any size.
pub(crate) fn go_on(cancel: &AtomicBool) -> Result<()> {
    if cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
}

/// The result of the functions of this crate.
pub type Result<T> = std::result::Result<T, Error>;
