//! Why a package could not be unpacked.

use rootstrap_debian::ParseError;
use std::io;

/// Why a package could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive is not what dpkg would accept.
    #[error("cannot unpack {label}: {reason}")]
    Damaged {
        /// The package as its file is called.
        label: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A control file in it cannot be understood.
    #[error("cannot understand the control data of {label}")]
    Control {
        /// The package as its file is called.
        label: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Reading the archive or writing a file body failed.
    #[error("cannot unpack {label}")]
    Io {
        /// The package as its file is called.
        label: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The tree could not be changed.
    #[error("cannot unpack {label}")]
    Tree {
        /// The package as its file is called.
        label: String,
        /// Which place, and the system's reason.
        source: rootstrap_rootfs::Error,
    },
    /// dpkg's database could not be read or written.
    #[error("cannot write dpkg's database")]
    Database(#[from] rootstrap_rootfs::Error),
    /// The user asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl Error {
    /// The system error beneath, to tell a full disk from other reasons.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Tree { source, .. } | Self::Database(source) => Some(source.io()),
            Self::Damaged { .. } | Self::Control { .. } | Self::Cancelled => None,
        }
    }
}
