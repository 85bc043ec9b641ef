//! When a failed exchange is repeated.

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use std::time::{Duration, SystemTime};

/// Longest wait that a server can ask for with `Retry-After`.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(120);

/// How often a failed exchange is repeated and how long to wait before. By default 8 times within about 32 seconds,
/// which a server's restart rarely exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Most attempts after the first.
    pub count: u32,
    /// The wait before the second attempt. Every later wait is twice as long as the one before.
    pub first_wait: Duration,
    /// The longest wait, unless the server asks for a longer one.
    pub longest_wait: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { count: 8, first_wait: Duration::from_millis(250), longest_wait: Duration::from_secs(8) }
    }
}

impl Retries {
    /// The same waits for at most `count` further attempts.
    #[must_use]
    pub fn at_most(self, count: u32) -> Self {
        Self { count: self.count.min(count), ..self }
    }

    /// How long to wait after the failure of an attempt before the next one. `attempt` counts from 1; `asked` is what the
    /// server asked for with `Retry-After`. `None`: there is no further attempt.
    #[must_use]
    pub fn wait(&self, attempt: u32, asked: Option<Duration>) -> Option<Duration> {
        if attempt > self.count {
            return None;
        }
        let doubled = self.first_wait.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        let asked = asked.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        Some(doubled.min(self.longest_wait).max(asked))
    }
}

/// Whether a request that was answered with this status may succeed when it is repeated: timeout (408), too early (425),
/// too many requests (429), and every failure of the server (RFC 9110 §15.6).
#[must_use]
pub fn is_transient_status(status: u16) -> bool {
    status >= 500 || matches!(status, 408 | 425 | 429)
}

/// How long the server asks to wait (RFC 9110 §10.2.3): a number of seconds, or a date. A date is compared with the
/// server's own clock where the answer shows it.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let value = text(RETRY_AFTER)?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or_else(SystemTime::now);
    // A moment that has passed asks for no wait.
    Some(httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_outlast_a_restart() {
        let retries = Retries::default();
        let waits: Vec<Duration> = (1..).map_while(|attempt| retries.wait(attempt, None)).collect();
        let expect = [250, 500, 1000, 2000, 4000, 8000, 8000, 8000].map(Duration::from_millis);
        assert_eq!(waits, expect);
        assert!(waits.iter().sum::<Duration>() >= Duration::from_secs(30));
        assert_eq!(retries.at_most(3).wait(3, None), Some(Duration::from_secs(1)));
        assert_eq!(retries.at_most(3).wait(4, None), None);
        assert_eq!(retries.at_most(99), retries);
        let many = Retries { count: u32::MAX, ..retries };
        assert_eq!(many.wait(u32::MAX, None), Some(Duration::from_secs(8)));
    }

    #[test]
    fn servers_can_ask_for_longer_waits() {
        let wait = |asked| Retries::default().wait(1, Some(Duration::from_secs(asked)));
        assert_eq!(wait(0), Some(Duration::from_millis(250)));
        assert_eq!(wait(20), Some(Duration::from_secs(20)));
        assert_eq!(wait(u64::MAX), Some(LONGEST_RETRY_AFTER));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let date = "Fri, 31 Dec 1999 23:59:59 GMT";
        for (value, now, expect) in [
            ("7", date, Some(7)),
            (" 0 ", date, Some(0)),
            ("Sat, 01 Jan 2000 00:01:00 GMT", date, Some(61)),
            ("Fri, 31 Dec 1999 23:00:00 GMT", date, Some(0)),
            // No clock of the server's: ours is later than that.
            ("Sat, 01 Jan 2000 00:01:00 GMT", "", Some(0)),
            ("-1", date, None),
            ("soon", date, None),
        ] {
            let headers = [(RETRY_AFTER, value), (DATE, now)].map(|(name, value)| (name, value.parse().unwrap()));
            let wait = retry_after(&HeaderMap::from_iter(headers));
            assert_eq!(wait, expect.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn only_some_statuses_are_transient() {
        for (status, transient) in
            [(408, true), (425, true), (429, true), (500, true), (503, true), (404, false), (403, false), (416, false)]
        {
            assert_eq!(is_transient_status(status), transient, "{status}");
        }
    }
}
