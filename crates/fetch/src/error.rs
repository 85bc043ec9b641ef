//! What can go wrong, in words, with the way out beside it.

use crate::signature::{KeyringProblem, SignatureProblem};
use rootstrap_debian::ParseError;
use rootstrap_debian::release::format_date;
use std::fmt;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why verified bytes could not be had. The text names the thing; the cause is the source, and only there.
#[derive(Debug, Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    #[error("cannot use mirror {uri:?}: {reason}")]
    Mirror { uri: String, reason: &'static str },
    #[error("cannot use {path:?}: it does not stay below the mirror")]
    Path { path: String },
    #[error("cannot fetch {what}: no mirror is known")]
    NoMirror { what: String },
    #[error("cannot use proxy {uri:?}")]
    Proxy { uri: String, source: reqwest::Error },
    #[error("cannot set up HTTP")]
    Http { source: reqwest::Error },
    #[error("cannot start the download threads")]
    Threads { source: io::Error },
    #[error("cannot use the cache {}", path.display())]
    Cache { path: PathBuf, source: io::Error },
    #[error("cannot use {} as a cache: it is none of rootstrap's", path.display())]
    NoCache { path: PathBuf },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot read the keyring")]
    Keyring { source: KeyringProblem },
    #[error("cannot fetch {what}")]
    Fetch { what: String, source: Failures },
    #[error("cannot fetch {what}: it is not in the cache, and downloading is off")]
    Offline { what: String },
    #[error("cannot trust {what}")]
    Signature { what: String, source: SignatureProblem },
    #[error("cannot read {what}")]
    Release { what: String, source: ParseError },
    #[error("cannot trust {what}: it expired at {}, judged at {}", format_date(*valid_until), format_date(*now))]
    Expired { what: String, valid_until: i64, date: i64, now: i64 },
    #[error("cannot trust {what}: it is dated {}, which lies after {}", format_date(*date), format_date(*now))]
    Future { what: String, date: i64, now: i64 },
    #[error("cannot trust {what}: it is dated {}, older than the one seen before ({})",
            format_date(*date), format_date(*seen))]
    Rollback { what: String, date: i64, seen: i64 },
    #[error("cannot trust {what}: it is for suite {suite:?}, codename {codename:?}")]
    WrongSuite { what: String, suite: String, codename: String },
    #[error("cannot use {what}: it has no architecture {wanted:?}, only {}", listed.join(", "))]
    NoArchitecture { what: String, wanted: String, listed: Vec<String> },
    #[error("cannot use {what}: it has no component {wanted:?}, only {}", listed.join(", "))]
    NoComponent { what: String, wanted: String, listed: Vec<String> },
    #[error("cannot use {what}: it lists no {path} in a known compression")]
    NoIndex { what: String, path: String },
    #[error("cannot read {what}: it is larger than {limit} bytes")]
    TooLarge { what: String, limit: u64 },
    #[error("cannot decompress {what}")]
    Decompress { what: String, source: io::Error },
    #[error("cannot read {what}: it is not UTF-8")]
    NotText { what: String },
    #[error("cannot go on: interrupted")]
    Cancelled,
}

impl Error {
    /// What the user can do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Mirror { .. } => "a mirror is an http:, https:, file: or copy: URI".to_owned(),
            Self::NoMirror { .. } => "name one with --mirror".to_owned(),
            Self::Proxy { .. } => "check http_proxy and https_proxy".to_owned(),
            Self::Cache { .. } => "choose another directory with --cache-dir, or do without with --no-cache".to_owned(),
            Self::NoCache { .. } => {
                "`rootstrap cache dir` says where the cache is; --cache-dir names another".to_owned()
            }
            Self::Write { source, path } if source.kind() == io::ErrorKind::StorageFull => format!(
                "the filesystem of {} is full: free some space, or choose another with --cache-dir",
                path.display()
            ),
            Self::Write { .. } => "choose another directory with --cache-dir".to_owned(),
            Self::Keyring { source } => return source.hint(),
            Self::Signature { source, .. } => return source.hint(),
            Self::Fetch { source, .. } => return source.hint(),
            Self::Offline { .. } => "run once without --offline to fill the cache".to_owned(),
            Self::Expired { date, .. } => format!(
                "the mirror is stale: use another with --mirror, or judge it at its own date with --valid-at {}",
                format_date(*date)
            ),
            Self::Future { .. } => "check this machine's clock, or set the moment with --valid-at DATE".to_owned(),
            Self::Rollback { .. } => {
                "use another mirror with --mirror, or accept the older one with --allow-rollback".to_owned()
            }
            Self::WrongSuite { .. } => {
                "the mirror serves something else under this name: use another with --mirror".to_owned()
            }
            _ => return None,
        };
        Some(hint)
    }

    /// Whether every mirror says that there is no such file.
    pub(crate) fn is_missing(&self) -> bool {
        let missing = |failures: &Failures| failures.0.iter().all(|(_, fault)| matches!(fault, Fault::Missing));
        matches!(self, Self::Fetch { source, .. } if !source.0.is_empty() && missing(source))
    }

    /// Whether this says "these bytes are not what their signer vouched for" rather than "they could not be had":
    /// a signature, digest, size, expiry, rollback or wrong suite.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Fetch { source, .. } => source.0.iter().any(|(_, fault)| fault.is_mismatch()),
            Self::Signature { .. }
            | Self::Expired { .. }
            | Self::Future { .. }
            | Self::Rollback { .. }
            | Self::WrongSuite { .. } => true,
            _ => false,
        }
    }
}

/// Each place that was asked, in order, and what it answered.
#[derive(Debug)]
pub struct Failures(pub Vec<(String, Fault)>);

impl Failures {
    fn hint(&self) -> Option<String> {
        let all = |test: fn(&Fault) -> bool| !self.0.is_empty() && self.0.iter().all(|(_, fault)| test(fault));
        if all(|fault| matches!(fault, Fault::Missing)) {
            return Some("check the suite's name and the mirror; ended suites move to another archive".to_owned());
        }
        if self.0.iter().any(|(_, fault)| fault.is_mismatch()) {
            return Some(
                "the mirror may be in the middle of an update: try again, or another with --mirror".to_owned(),
            );
        }
        Some("check the network, or use another mirror with --mirror".to_owned())
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (uri, fault)) in self.0.iter().enumerate() {
            write!(f, "{}{uri}: {fault}", if n == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for Failures {}

/// What one place answered instead of the file.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Fault {
    #[error("not found")]
    Missing,
    #[error("the server answered {0}")]
    Status(u16),
    #[error("{0}")]
    Network(String),
    #[error("nothing came for {0} seconds")]
    Stalled(u64),
    #[error("it ended after {got} of {expected} bytes")]
    Truncated { expected: u64, got: u64 },
    #[error("it has {got} bytes instead of {expected}")]
    Size { expected: u64, got: u64 },
    #[error("it has more than {limit} bytes")]
    TooLong { limit: u64 },
    #[error("its {algorithm} is {got} instead of {expected}")]
    Digest { algorithm: &'static str, expected: String, got: String },
    #[error("{0}")]
    Unreadable(io::Error),
    /// The file came, and could not be trusted.
    #[error("{0}")]
    Untrusted(String),
}

impl Fault {
    /// Whether the bytes were had and are wrong.
    pub(crate) fn is_mismatch(&self) -> bool {
        matches!(self, Self::Size { .. } | Self::TooLong { .. } | Self::Digest { .. } | Self::Untrusted(_))
    }

    /// Whether asking the same place again may help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Status(status) => *status >= 500 || matches!(status, 408 | 416 | 429),
            Self::Network(_) | Self::Stalled(_) | Self::Truncated { .. } => true,
            _ => false,
        }
    }

    /// Whether the place is at fault rather than the one file.
    pub(crate) fn blames_the_mirror(&self) -> bool {
        self.is_transient()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_says_where_and_what_to_do() {
        let error = Error::Write { path: "/c/v1/tmp/x".into(), source: io::ErrorKind::StorageFull.into() };
        assert_eq!(error.to_string(), "cannot write /c/v1/tmp/x");
        assert!(error.hint().unwrap().contains("the filesystem of /c/v1/tmp/x is full"));
        assert!(!error.is_verification());
    }
}
