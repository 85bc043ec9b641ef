//! Stops writing when a flag is set.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Returns an error once `cancel` is set. Its text is never shown: callers report
/// [`Error::Cancelled`](crate::Error::Cancelled) instead.
pub(crate) fn go_on(cancel: &AtomicBool) -> io::Result<()> {
    if cancel.load(Ordering::Relaxed) { Err(io::Error::other("interrupted")) } else { Ok(()) }
}

/// A writer that refuses to write once `cancel` is set.
#[derive(Debug)]
pub struct StoppableWriter<'c, W> {
    /// The writer that gets the bytes.
    pub inner: W,
    /// The flag that another thread sets.
    pub cancel: &'c AtomicBool,
}

impl<W: Write> Write for StoppableWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        go_on(self.cancel)?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
