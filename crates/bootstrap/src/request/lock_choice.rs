//! Which lock a root is built from.

use std::path::PathBuf;

/// The lock that a root is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockChoice {
    /// The lock file.
    pub path: PathBuf,
    /// Whether the lock is taken as it is, whatever else is asked for. Otherwise it has to be a lock of this very request.
    pub frozen: bool,
}
