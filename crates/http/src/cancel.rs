//! Stopping work when the user interrupts the program.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often the flag is read. Setting a flag wakes nobody, and a user does not notice a delay of this length.
const INTERVAL: Duration = Duration::from_millis(20);

/// Runs `work` until it is done or the flag is set. Returns `None` if the flag was set first; `work` is then dropped.
pub async fn unless_cancelled<T>(cancel: &AtomicBool, work: impl Future<Output = T>) -> Option<T> {
    let cancelled = async {
        while !cancel.load(Ordering::Relaxed) {
            tokio::time::sleep(INTERVAL).await;
        }
    };
    tokio::select! {
        // The flag first: nothing begins after it is set.
        biased;
        () = cancelled => None,
        result = work => Some(result),
    }
}
