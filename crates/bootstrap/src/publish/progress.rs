//! How far the writing of an archive is.

use crate::event::{Event, Report};
use std::cell::Cell;

/// Bytes between two reports: few enough that a display moves, and many enough that reports cost nothing.
const STEP: u64 = 1 << 20;

/// Reports that an archive of about `total` bytes begins. Returns what reports the bytes that are written.
pub(crate) fn progress(total: u64, report: Report<'_>) -> impl Fn(u64) {
    report(Event::Packing { bytes: total });
    let waiting = Cell::new(0);
    move |bytes| {
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
        [1, STEP - 2, 1, STEP * 3, 7].into_iter().for_each(written);
        assert_eq!(*seen.lock().unwrap(), [5, STEP, STEP * 3]);
    }
}
