//! Why verified bytes cannot be had, and what the user can do about it.

use crate::problem::{KeyringProblem, SignatureProblem};
use rootstrap_debian::ParseError;
use rootstrap_debian::release::format_date;
use rootstrap_http as http;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Why verified bytes cannot be had. The text names the thing; the cause is the source and not part of the text.
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
    #[error(transparent)]
    Http(#[from] http::SetupError),
    #[error("cannot start the download threads")]
    Threads { source: io::Error },
    #[error(transparent)]
    Cache(#[from] rootstrap_cache::Error),
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
    /// Says what the user can do about it, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Mirror { .. } => "a mirror is an http:, https:, file: or copy: URI".to_owned(),
            Self::NoMirror { .. } => "name one with --mirror".to_owned(),
            Self::Http(error) => return error.hint().map(str::to_owned),
            Self::Cache(source) => return source.hint(),
            Self::Keyring { source } => source.hint(),
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
            Self::NoComponent { .. } => "choose among them with --components".to_owned(),
            Self::NoArchitecture { .. } => "choose among them with --arch".to_owned(),
            _ => return None,
        };
        Some(hint)
    }

    /// Whether every mirror answered that it does not have the file.
    pub(crate) fn is_missing(&self) -> bool {
        let missing = |failures: &Failures| failures.0.iter().all(|(_, fault)| matches!(fault, Fault::Missing));
        matches!(self, Self::Fetch { source, .. } if !source.0.is_empty() && missing(source))
    }

    /// Whether bytes were received but cannot be trusted or make no sense: because of a signature, digest, size, expiry, rollback or
    /// wrong suite, or because a signed file is malformed.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Fetch { source, .. } => source.0.iter().any(|(_, fault)| fault.is_mismatch()),
            Self::Signature { .. }
            | Self::Expired { .. }
            | Self::Future { .. }
            | Self::Rollback { .. }
            | Self::WrongSuite { .. }
            | Self::Release { .. }
            | Self::NotText { .. }
            | Self::NoIndex { .. }
            | Self::TooLarge { .. }
            | Self::Decompress { .. } => true,
            _ => false,
        }
    }
}

/// Each URI that was asked, in order, and what it answered.
#[derive(Debug)]
pub struct Failures(pub Vec<(String, Fault)>);

impl Failures {
    fn hint(&self) -> Option<String> {
        let all = |test: fn(&Fault) -> bool| !self.0.is_empty() && self.0.iter().all(|(_, fault)| test(fault));
        if all(|fault| matches!(fault, Fault::Missing)) {
            return Some("check the suite's name and the mirror; ended suites move to another archive".to_owned());
        }
        if let Some(hint) = self.0.iter().find_map(|(_, fault)| fault.login_hint()) {
            return Some(hint);
        }
        let is_unknown = |fault: &Fault| matches!(fault, Fault::Http(http::Error::Certificate(_)));
        if self.0.iter().any(|(_, fault)| is_unknown(fault)) {
            return Some("the file of the authority that signs it can be named with --ca-file".to_owned());
        }
        if self.0.iter().any(|(_, fault)| fault.is_refusal()) {
            return Some(
                "the server refuses this network or wants to be asked less: try later, or another with --mirror"
                    .to_owned(),
            );
        }
        if self.0.iter().any(|(_, fault)| fault.is_mismatch()) {
            return Some(
                "the mirror may be in the middle of an update: try again, or another with --mirror".to_owned(),
            );
        }
        Some("check the network and the proxy, or use another mirror with --mirror".to_owned())
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Mirrors that fail in the same way share its name.
        let mut rest: &[(String, Fault)] = &self.0;
        while let Some((first, fault)) = rest.first() {
            let reason = fault.to_string();
            let alike = rest.iter().take_while(|(_, fault)| fault.to_string() == reason).count();
            let (alike, next) = rest.split_at(alike);
            write!(f, "{first}")?;
            alike.iter().skip(1).try_for_each(|(uri, _)| write!(f, ", {uri}"))?;
            write!(f, ": {reason}{}", if next.is_empty() { "" } else { "; " })?;
            rest = next;
        }
        Ok(())
    }
}

impl std::error::Error for Failures {}

/// What one URI answered instead of the file.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Fault {
    #[error("not found")]
    Missing,
    #[error(transparent)]
    Http(http::Error),
    #[error("{}", if *is_sent { "the server does not accept user and password (401)" } else { "the server wants a user and a password (401)" })]
    Login { is_sent: bool, is_encrypted: bool, left_out: Vec<String> },
    #[error("the server sent another range than the requested one")]
    OtherRange,
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
    /// The file was received and cannot be trusted.
    #[error("{0}")]
    Untrusted(String),
}

impl Fault {
    /// Whether bytes were received and are wrong.
    pub(crate) fn is_mismatch(&self) -> bool {
        matches!(self, Self::Size { .. } | Self::TooLong { .. } | Self::Digest { .. } | Self::Untrusted(_))
    }

    /// Returns how to give a user and a password to the server that wants them.
    fn login_hint(&self) -> Option<String> {
        let Self::Login { is_encrypted, left_out, .. } = self else { return None };
        let place = "put them into auth.conf (apt_auth.conf(5)) or netrc, which --auth-file names";
        let scheme = if *is_encrypted { "" } else { "; an entry without http:// is for https alone" };
        let files: String = left_out.iter().map(|file| format!("; {file}")).collect();
        Some(format!("{place}{scheme}{files}"))
    }

    /// Whether the server does not want to be asked.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Http(http::Error::Status { status: 403 | 429, .. }))
    }

    /// Whether the server refuses this path in a way in which it may serve another one. Object stores answer 403 for a file that does
    /// not exist.
    pub(crate) fn is_about_path(&self) -> bool {
        let is_refusal = |status: u16| (400..500).contains(&status);
        match self {
            Self::Missing | Self::Login { .. } => true,
            Self::Http(http::Error::Status { status, .. }) => is_refusal(*status) && !self.is_transient(),
            _ => false,
        }
    }

    /// Whether another attempt at the same URI may help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            // The next request is for the whole file, so a range that the server refuses (416) is no obstacle to it.
            Self::Http(http::Error::Status { status: 416, .. }) => true,
            Self::Http(error) => error.is_transient(),
            Self::OtherRange | Self::Truncated { .. } => true,
            _ => false,
        }
    }

    /// Whether the mirror was given up because nothing came from it, or too little.
    pub(crate) fn is_slowness(&self) -> bool {
        matches!(self, Self::Http(http::Error::Stalled(_) | http::Error::TooSlow { .. }))
    }

    /// Whether the mirror may have the file for somebody who waits longer.
    pub(crate) fn asks_for_patience(&self) -> bool {
        self.is_slowness() || self.retry_after().is_some()
    }

    /// Whether other files of the same mirror would most likely fail too.
    pub(crate) fn is_about_mirror(&self) -> bool {
        self.is_transient() || matches!(self, Self::Http(error) if error.is_connection())
    }

    /// Returns how long the mirror asked to wait before the next attempt.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Http(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// Why a download from one URI ended.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The URI is to blame: another one may help.
    Fault(Fault),
    /// No other URI will help.
    Fatal(Error),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<http::Error> for Failure {
    fn from(error: http::Error) -> Self {
        Self::Fault(Fault::Http(error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}
