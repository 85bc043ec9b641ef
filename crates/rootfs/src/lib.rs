//! The only door into the target: a directory fd and `openat2(RESOLVE_IN_ROOT)`.
//!
//! Invariant: no path given to this crate reaches anything outside the root it was opened on. Symbolic links
//! are followed as if the root were `/`, `..` stops there, and magic links (`/proc/PID/fd`) and other mounts are
//! refused. The crate knows nothing of packages.

mod ahead;
mod aside;
mod copy;
mod entry;
mod place;
mod root;
pub mod skeleton;
mod walk;

pub use ahead::Ahead;
pub use aside::{Aside, Kept};
pub use copy::copy;
pub use entry::{Attributes, Device, Kind, Metadata, now};
pub use place::{Cursor, Place};
pub use root::Root;
pub use walk::{Visit, walk};

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `cannot <verb> <path>`, the system's reason as its source.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}", path.display())]
pub struct Error {
    verb: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Error {
    pub(crate) fn new(verb: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        Self { verb, path: Path::new(std::ffi::OsStr::from_bytes(path)).to_owned(), source: source.into() }
    }

    /// The system's reason, to tell a full disk from a missing permission.
    #[must_use]
    pub fn io(&self) -> &io::Error {
        &self.source
    }
}

/// What every operation here returns.
pub type Result<T> = std::result::Result<T, Error>;
