//! What can go wrong, in words, with the way out beside it.

use rustls::CertificateError;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Why an image is not in the registry. The text names the thing; the cause is the source, and only there. No text has
/// a secret in it.
#[derive(Debug, Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    #[error("cannot use image name {name:?}: {reason}")]
    Name { name: String, reason: &'static str },
    #[error("cannot get the credentials for {registry}")]
    Credentials { registry: String, source: CredentialProblem },
    #[error("cannot take over credentials: they are damaged")]
    Handed,
    #[error("cannot use proxy {uri:?}")]
    Proxy { uri: String, source: reqwest::Error },
    #[error("cannot set up HTTP")]
    Http { source: reqwest::Error },
    #[error("cannot start the uploads")]
    Threads { source: io::Error },
    #[error("cannot push to {reference}")]
    Push { reference: String, registry: String, source: Box<Failure> },
    #[error("cannot go on: interrupted")]
    Cancelled,
}

impl Error {
    /// What the user can do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Name { .. } => Some("an image is named REGISTRY/NAME:TAG".to_owned()),
            Self::Credentials { source, .. } => source.hint(),
            Self::Proxy { .. } => Some("check http_proxy and https_proxy".to_owned()),
            Self::Push { registry, source, .. } => source.fault.hint(registry),
            _ => None,
        }
    }
}

/// Why credentials could not be had.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum CredentialProblem {
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot use {}: {reason}", path.display())]
    Malformed { path: PathBuf, reason: &'static str },
    /// The file names the helper.
    #[error("cannot use {helper}, which {} names: {reason}", path.display())]
    Helper { helper: String, path: PathBuf, reason: String },
}

impl CredentialProblem {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Helper { helper, path, .. } => {
                Some(format!("see to it that {helper} runs, or take it out of {}", path.display()))
            }
            _ => None,
        }
    }
}

/// One thing that could not be brought to the registry, and why.
#[derive(Debug)]
pub struct Failure {
    /// `blob sha256:…`, `manifest sha256:…`, `tag latest`, or the registry itself.
    pub what: String,
    /// What happened to it in the last attempt.
    pub fault: Fault,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.fault)
    }
}

impl StdError for Failure {}

/// What went wrong with one request.
#[derive(Debug, Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Fault {
    /// No connection: no such name, nobody who listens, no way there.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// What answers speaks something else than TLS, most likely plain HTTP.
    #[error("it does not speak TLS")]
    NotTls,
    #[error("its certificate is not trusted: {0}")]
    Certificate(String),
    /// It wants to know who this is, or knows and is not content. 401, or 403 of who gives out tokens.
    #[error("authentication failed ({})", Said(.0))]
    Unauthorized(String),
    /// It knows who this is, and says no. 403.
    #[error("access denied ({})", Said(.0))]
    Denied(String),
    /// It has no such repository, and does not make one. 404.
    #[error("the registry knows no such name ({})", Said(.0))]
    UnknownName(String),
    #[error("the registry answered {status} ({})", Said(words))]
    Status { status: u16, words: String, retry_after: Option<Duration> },
    #[error("{0}")]
    Network(String),
    #[error("nothing moved for {0} seconds")]
    Stalled(u64),
    /// It broke the distribution API's rules.
    #[error("the registry {0}")]
    Protocol(&'static str),
    #[error("the registry took it for {theirs} instead of {ours}")]
    OtherDigest { ours: String, theirs: String },
    /// The bytes handed in are not those of the digest.
    #[error("its content has digest {0}")]
    Damaged(String),
    #[error("its content has not the {0} bytes it should have")]
    Size(u64),
    #[error("no digest of the form sha256:HEX")]
    NoDigest,
    #[error("there is no manifest to push")]
    NoManifest,
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
}

impl Fault {
    /// Whether another attempt may help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status >= 500 || matches!(status, 408 | 416 | 429),
            Self::Unreachable(_) | Self::Network(_) | Self::Stalled(_) => true,
            _ => false,
        }
    }

    fn hint(&self, registry: &str) -> Option<String> {
        let name = if registry == "docker.io" { "" } else { registry };
        let login = format!("docker login {name}");
        let login = login.trim_end();
        let hint = match self {
            Self::Unreachable(_) => format!("check the name {registry}, the network and https_proxy"),
            Self::NotTls => {
                format!("if {registry} is meant to be without encryption, allow that with --insecure-registry")
            }
            Self::Certificate(_) => format!(
                "name the file of the authority that signed it in SSL_CERT_FILE, or trust {registry} unseen with \
                 --insecure-registry"
            ),
            Self::Unauthorized(_) => format!("log in with `{login}`"),
            Self::Denied(_) => format!("log in with `{login}` as a user who may push there, or choose another name"),
            Self::UnknownName(_) => "create the repository first, or choose another name".to_owned(),
            Self::Status { status: 413, .. } => {
                "the registry, or a proxy before it, takes no files of this size".to_owned()
            }
            Self::Status { status: 429, .. } => "wait a while before the next attempt".to_owned(),
            Self::Network(_) | Self::Stalled(_) => "check the network, then try again".to_owned(),
            _ => return None,
        };
        Some(hint)
    }
}

/// A registry's words, or the lack of them.
struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "without saying why" } else { self.0 })
    }
}

impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Self {
        // URLs of uploads hold what lets anybody write there.
        let error = error.without_url();
        match tls_cause(&error) {
            Some(rustls::Error::InvalidMessage(_)) => Self::NotTls,
            Some(rustls::Error::InvalidCertificate(reason)) => Self::Certificate(in_words(reason)),
            _ if error.is_connect() => Self::Unreachable(root(&error)),
            _ => Self::Network(flat(&error)),
        }
    }
}

/// What is wrong with a certificate; the library has identifiers for it.
fn in_words(reason: &CertificateError) -> String {
    let words = match reason {
        CertificateError::UnknownIssuer => "nobody this machine trusts has signed it",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "it is for another name",
        other => return other.to_string(),
    };
    words.to_owned()
}

/// The TLS library's own error, at whatever depth; an [`io::Error`] does not name what it wraps as its source.
fn tls_cause(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The last of the causes: the ones before it say no more than that there was no connection.
fn root(error: &dyn StdError) -> String {
    error.source().map_or_else(|| error.to_string(), root)
}

/// The chain of causes in one line.
fn flat(error: &dyn StdError) -> String {
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
