//! Which lock a root is built from.

use rootstrap_lock::Lock;
use std::path::PathBuf;
use std::sync::Arc;

/// The lock that a root is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockChoice {
    /// The lock file, as messages name it too.
    pub path: PathBuf,
    /// What it says, if the caller has read it already, or has just made it.
    pub lock: Option<Arc<Lock>>,
    /// Whether the lock is taken as it is, whatever else is asked for. Otherwise it has to be a lock of this very request.
    pub frozen: bool,
}
