//! `--staging`, for all commands that make roots.

use clap::ValueEnum;
use rootstrap_bootstrap::StagingPlace;

/// Where the root grows.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Staging {
    /// In memory if half of the available memory suffices, otherwise on disk
    Auto,
    /// In memory
    Memory,
    /// Beside a directory; for archives in TMPDIR
    Disk,
}

impl From<Staging> for StagingPlace {
    fn from(staging: Staging) -> Self {
        match staging {
            Staging::Auto => Self::Auto,
            Staging::Memory => Self::Memory,
            Staging::Disk => Self::Disk,
        }
    }
}
