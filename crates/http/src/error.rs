//! Why an exchange fails. No text contains a secret.

use crate::redirect::Refusal;
use crate::resolver::LookupError;
use crate::retry::is_transient_status;
use rustls::CertificateError;
use std::error::Error as StdError;
use std::io;
use std::time::Duration;
use thiserror::Error;

/// Why a client cannot be created.
#[derive(Debug, Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum SetupError {
    /// `uri` is redacted.
    #[error("cannot use proxy {uri:?}: {reason}")]
    Proxy { uri: String, reason: String },
    /// `uri` is redacted.
    #[error(
        "cannot use proxy {uri:?} for a server whose certificate is not verified: the proxy's would not be verified either"
    )]
    UnverifiedProxy { uri: String },
    #[error("cannot use the certificates in {file}: {reason}")]
    Pem { file: String, reason: &'static str },
    #[error("cannot set up HTTP")]
    Client { source: reqwest::Error },
}

impl SetupError {
    /// Says what the user can do about it, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Proxy { .. } => Some("check http_proxy, https_proxy and all_proxy"),
            Self::UnverifiedProxy { .. } => Some("use a proxy whose address begins with http://, or none"),
            Self::Pem { .. } | Self::Client { .. } => None,
        }
    }
}

/// Why one exchange, a request and its answer, failed. The texts do not contain the address, which may hold a secret. The caller
/// shows them after a name for it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    /// The name service knows no such host.
    #[error("there is no host of this name")]
    UnknownHost,
    /// No connection, for another reason.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// The server answers with something else than TLS, most likely with plain HTTP.
    #[error("it does not speak TLS")]
    NotTls,
    #[error("its certificate is not trusted: {0}")]
    Certificate(String),
    /// The exchange broke off.
    #[error("{0}")]
    Network(String),
    /// Nothing was sent or received for this long.
    #[error("nothing moved for {} seconds", .0.as_secs_f64())]
    Stalled(Duration),
    /// The body came more slowly than [`crate::Timeouts::minimum_rate`].
    #[error("only {bytes} bytes came in {} seconds", .window.as_secs())]
    TooSlow { bytes: u64, window: Duration },
    #[error("{0}")]
    Redirect(#[from] Refusal),
    /// The answer has a status that the caller has no use for. `retry_after` is what the server asked for.
    #[error("the server answered {status}")]
    Status { status: u16, retry_after: Option<Duration> },
    /// The answer is longer than the caller reads.
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
}

impl Error {
    /// Whether the same exchange may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => is_transient_status(*status),
            Self::Unreachable(_) | Self::Network(_) | Self::Stalled(_) | Self::TooSlow { .. } => true,
            _ => false,
        }
    }

    /// Whether no request was sent, because there is no connection or none that can be trusted.
    #[must_use]
    pub fn is_connection(&self) -> bool {
        matches!(self, Self::UnknownHost | Self::Unreachable(_) | Self::NotTls | Self::Certificate(_))
    }

    /// How long the server asked to wait before the next attempt.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if let Some(refusal) = find::<Refusal>(&error) {
            return Self::Redirect(*refusal);
        }
        match find::<rustls::Error>(&error) {
            Some(rustls::Error::InvalidMessage(_)) => return Self::NotTls,
            Some(rustls::Error::InvalidCertificate(reason)) => return Self::Certificate(certificate_problem(reason)),
            _ => (),
        }
        if !error.is_connect() {
            return Self::Network(causes(&error));
        }
        if let Some(error) = find::<LookupError>(&error) {
            return match error {
                LookupError::UnknownHost => Self::UnknownHost,
                other => Self::Unreachable(other.to_string()),
            };
        }
        // The causes before the last say no more than that there is no connection.
        Self::Unreachable(last_cause(&error))
    }
}

/// What is wrong with a certificate; the library has identifiers for it.
fn certificate_problem(reason: &CertificateError) -> String {
    let words = match reason {
        CertificateError::UnknownIssuer => "no authority that this machine trusts has signed it",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "it is for another name",
        other => return other.to_string(),
    };
    words.to_owned()
}

/// The cause of type `T`, at whatever depth. An [`io::Error`] does not name what it wraps as its source.
fn find<T: StdError + 'static>(error: &reqwest::Error) -> Option<&T> {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn last_cause(error: &dyn StdError) -> String {
    error.source().map_or_else(|| error.to_string(), last_cause)
}

/// The error and its causes in one line.
fn causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_failures_are_transient() {
        let status = |status| Error::Status { status, retry_after: None };
        let stalled = Error::Stalled(Duration::from_millis(1500));
        assert_eq!(stalled.to_string(), "nothing moved for 1.5 seconds");
        let slow = Error::TooSlow { bytes: 7, window: Duration::from_secs(60) };
        for error in [Error::Unreachable(String::new()), stalled, slow, status(503), status(429)] {
            assert!(error.is_transient(), "{error:?}");
        }
        for error in [Error::UnknownHost, Error::NotTls, Error::Redirect(Refusal::TooMany), status(404)] {
            assert!(!error.is_transient(), "{error:?}");
        }
    }
}
