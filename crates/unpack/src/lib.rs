//! Many .debs into a root plus dpkg's database, with the same result in any order of work.
//!
//! Invariant: what parallel work produces is only file bodies in a private store; every decision about a path is
//! taken afterwards, one package at a time in plan order, by the rules dpkg itself follows. A package those rules
//! do not cover is not touched but handed back as [`Verdict::ForDpkg`] with the reason. Nothing here runs a
//! program or opens a connection.
//!
//! The three steps: [`stage`] decodes one .deb into the store (any thread, any order), [`merge`] moves it into
//! the root (one thread, plan order), [`database::record`] tells dpkg about it.

pub mod after_scripts;
mod ar;
pub mod claims;
mod control;
pub mod database;
mod decode;
mod entries;
pub mod filters;
pub mod merge;
pub mod payload;
mod stage;
pub mod triggers;

pub use claims::Claims;
pub use control::{Conffile, Control, Member};
pub use entries::{Entry, EntryKind};
pub use merge::{Conffiles, Rules, Verdict, merge};
pub use stage::{Staged, stage, stage_and_keep};

use rootstrap_debian::ParseError;

/// Ceilings for what a .deb may hold, so that a hostile one ends in an error and not in a full machine.
pub mod limits {
    /// Bytes of the whole control.tar once decoded. The largest in Debian is below 4 MiB.
    pub const CONTROL: u64 = 64 << 20;
    /// Files in control.tar. The most in Debian are below 20.
    pub const MEMBERS: usize = 1000;
    /// Bytes of data.tar once decoded. The largest in Debian (debug symbols) is below 16 GiB.
    pub const DATA: u64 = 64 << 30;
    /// Entries of one data.tar.
    pub const ENTRIES: usize = 2_000_000;
    /// Length of one path or link target, the kernel's own ceiling (`PATH_MAX`).
    pub const PATH: u64 = 4096;
    /// Memory of the xz decoder: four times what the strongest preset needs.
    pub const XZ_MEMORY: u64 = 1 << 28;
}

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
        source: std::io::Error,
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
    /// The system error beneath, to tell a full disk from the rest.
    #[must_use]
    pub fn io(&self) -> Option<&std::io::Error> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Tree { source, .. } | Self::Database(source) => Some(source.io()),
            Self::Damaged { .. } | Self::Control { .. } | Self::Cancelled => None,
        }
    }
}
