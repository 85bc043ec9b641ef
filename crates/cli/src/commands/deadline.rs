//! `--deadline`: a run that takes too long is stopped.

use rootstrap_bootstrap::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The deadline of a run that has begun.
pub(super) struct Deadline {
    seconds: u32,
    has_passed: Arc<AtomicBool>,
}

impl Deadline {
    /// Sets `cancel` once `seconds` have passed. `None` is no deadline.
    pub(super) fn begin(seconds: Option<u32>, cancel: &Arc<AtomicBool>) -> Self {
        let has_passed = Arc::new(AtomicBool::new(false));
        let deadline = Self { seconds: seconds.unwrap_or_default(), has_passed: has_passed.clone() };
        let cancel = cancel.clone();
        if let Some(seconds) = seconds {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(seconds.into()));
                // A run that was stopped by a signal before ends as an interrupted one.
                has_passed.store(!cancel.load(Ordering::Relaxed), Ordering::Relaxed);
                cancel.store(true, Ordering::Relaxed);
            });
        }
        deadline
    }

    /// Returns the reason why the run failed, if that was the deadline; otherwise `error`.
    pub(super) fn or(&self, error: Error) -> Error {
        let is_reason = error.is_cancelled() && self.has_passed.load(Ordering::Relaxed);
        if is_reason { Error::Deadline { seconds: self.seconds } } else { error }
    }
}
