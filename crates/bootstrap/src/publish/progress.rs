//! How far the writing of an archive is.

use crate::event::{Event, Report};
use std::cell::Cell;

/// Bytes between two reports: few enough that a display moves, and many enough that reports cost nothing.
const STEP: u64 = 1 << 20;

/// Returns what reports the bytes that are written of an archive of about `total` bytes, which begins with the first of them.
pub(crate) fn progress(total: u64, report: Report<'_>) -> impl Fn(u64) {
    let (has_begun, waiting) = (Cell::new(false), Cell::new(0));
    move |bytes| {
        if !has_begun.replace(true) {
            report(Event::Packing { bytes: total });
        }
        let bytes = waiting.get() + bytes;
        waiting.set(if bytes < STEP { bytes } else { 0 });
        if bytes >= STEP {
            report(Event::Packed { bytes });
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
