//! How far the writing of an archive is.

use crate::event::{Event, Report};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes between two reports: few enough that a display moves, and many enough that reports cost nothing.
const STEP: u64 = 1 << 20;

/// Returns what reports the bytes that are written of an archive or a directory of about `total` bytes, which begins with the first of them.
pub(crate) fn progress(total: u64, report: Report<'_>) -> impl Fn(u64) + Sync {
    let (has_begun, waiting) = (AtomicBool::new(false), AtomicU64::new(0));
    move |bytes| {
        if !has_begun.swap(true, Ordering::Relaxed) {
            report(Event::Packing { bytes: total });
        }
        let bytes = waiting.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if bytes >= STEP {
            // Another thread may have added some meanwhile, which count too.
            report(Event::Packed { bytes: waiting.swap(0, Ordering::Relaxed) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn reports_come_once_for_each_step() {
        let seen = Mutex::new(Vec::new());
        let report = |event| match event {
            Event::Packing { bytes } | Event::Packed { bytes } => seen.lock().unwrap().push(bytes),
            _ => {}
        };
        let written = progress(5, &report);
        assert!(seen.lock().unwrap().is_empty());
        [1, STEP - 2, 1, STEP * 3, 7].into_iter().for_each(written);
        assert_eq!(*seen.lock().unwrap(), [5, STEP, STEP * 3]);
    }
}
