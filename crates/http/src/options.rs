//! How to speak HTTP, as the caller chooses.

use crate::proxies::Proxies;
use crate::retry::Retries;
use std::fmt;
use std::time::Duration;

/// How to speak HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The proxies to use.
    pub proxies: Proxies,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// When to repeat what failed. The client itself repeats nothing: its users do, because only they know what may be
    /// repeated.
    pub retries: Retries,
    /// How many idle connections to each host stay open for later requests.
    pub connections: usize,
    /// Files with certificates of authorities that are trusted beside those of this machine.
    pub authorities: Vec<Pem>,
    /// The file with the certificate, and its key, that servers get who ask for one.
    pub identity: Option<Pem>,
}

/// A file in PEM form. `Debug` does not show its content.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    /// Its name, for messages.
    pub file: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({})", self.file)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            proxies: Proxies::default(),
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            connections: 16,
            authorities: Vec::new(),
            identity: None,
        }
    }
}

/// How long to wait. Nothing limits how long a transfer takes as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For the next byte of a body. A server has `connect` and `stall` together to send the head of its answer.
    pub stall: Duration,
    /// How long a body may come more slowly than [`Self::minimum_rate`] before it is given up.
    pub rate_window: Duration,
    /// Bytes per second that a body has to reach on average over [`Self::rate_window`]. Without this limit, a server
    /// that sends one byte now and then could hold a transfer for ever.
    pub minimum_rate: u32,
}

impl Timeouts {
    /// Returns these limits, each where `other` has no stricter one.
    #[must_use]
    pub fn at_most(self, other: Self) -> Self {
        Self {
            connect: self.connect.min(other.connect),
            stall: self.stall.min(other.stall),
            rate_window: self.rate_window.min(other.rate_window),
            minimum_rate: self.minimum_rate.max(other.minimum_rate),
        }
    }

    /// How long a server has to send the head of its answer.
    #[must_use]
    pub fn head(&self) -> Duration {
        self.connect.saturating_add(self.stall)
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            rate_window: Duration::from_secs(60),
            minimum_rate: 100,
        }
    }
}
