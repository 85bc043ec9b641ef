//! An answer: its head, and its body under the limits of time and rate.

use crate::error::Error;
use crate::options::Timeouts;
use crate::retry::retry_after;
use bytes::Bytes;
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{StatusCode, Url};
use std::time::{Duration, Instant};

/// An answer whose head was received. It can have any status.
#[derive(Debug)]
pub struct Response {
    inner: reqwest::Response,
    stall: Duration,
    pace: Pace,
}

impl Response {
    pub(crate) fn new(inner: reqwest::Response, timeouts: Timeouts) -> Self {
        Self { inner, stall: timeouts.stall, pace: Pace::new(timeouts.rate_window, timeouts.minimum_rate) }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// The address that the answer came from, after all redirects.
    #[must_use]
    pub fn url(&self) -> &Url {
        self.inner.url()
    }

    /// The length of the body in bytes, where the server says it.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.inner.content_length()
    }

    /// The address that `Location` names, which may be relative to that of the answer.
    #[must_use]
    pub fn location(&self) -> Option<Url> {
        let location = self.headers().get(LOCATION)?.to_str().ok()?;
        self.inner.url().join(location).ok()
    }

    /// How long the server asks to wait before the next attempt.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after(self.headers())
    }

    /// The status as an error.
    #[must_use]
    pub fn status_error(&self) -> Error {
        Error::Status { status: self.status().as_u16(), retry_after: self.retry_after() }
    }

    /// Waits for the next part of the body; `None` at its end.
    ///
    /// # Errors
    /// The body broke off, nothing came for [`Timeouts::stall`], or it comes too slowly.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        self.pace.check()?;
        let begun = Instant::now();
        let chunk = tokio::time::timeout(self.stall, self.inner.chunk()).await;
        let chunk = chunk.map_err(|_| Error::Stalled(self.stall))??;
        self.pace.add(begun.elapsed(), chunk.as_ref().map_or(0, Bytes::len));
        Ok(chunk)
    }

    /// Reads the body to its end.
    ///
    /// # Errors
    /// As for [`Self::chunk`], or the body has more than `limit` bytes.
    pub async fn read(mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > limit {
                return Err(Error::TooLong(limit));
            }
        }
        Ok(bytes)
    }
}

/// How fast a body comes. Only the time spent waiting for the network counts: a slow disk is not the server's fault.
#[derive(Debug)]
struct Pace {
    window: Duration,
    minimum_rate: u32,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    fn new(window: Duration, minimum_rate: u32) -> Self {
        Self { window, minimum_rate, waited: Duration::ZERO, bytes: 0 }
    }

    fn add(&mut self, waited: Duration, bytes: usize) {
        self.waited = self.waited.saturating_add(waited);
        self.bytes = self.bytes.saturating_add(bytes.try_into().unwrap_or(u64::MAX));
    }

    /// Checks the rate if the window has passed, and begins the next one.
    fn check(&mut self) -> Result<(), Error> {
        if self.waited < self.window {
            return Ok(());
        }
        let enough = u128::from(self.minimum_rate).saturating_mul(self.waited.as_millis()) / 1000;
        if u128::from(self.bytes) < enough {
            return Err(Error::TooSlow { bytes: self.bytes, window: self.waited });
        }
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_was_too_slow_ends_the_transfer() {
        let mut pace = Pace::new(Duration::from_secs(60), 100);
        // A window is only judged when it has passed.
        pace.add(Duration::from_secs(59), 1);
        assert_eq!(pace.check(), Ok(()));
        pace.add(Duration::from_secs(1), 5999);
        assert_eq!(pace.check(), Ok(()));
        // Every window is judged alone.
        pace.add(Duration::from_secs(80), 7999);
        assert_eq!(pace.check(), Err(Error::TooSlow { bytes: 7999, window: Duration::from_secs(80) }));
    }
}
