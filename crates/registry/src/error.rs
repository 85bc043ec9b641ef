//! Why a push fails, and what the user can do about it.

use rootstrap_http as http;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Why an image could not be pushed. The text names what could not be used; the cause is in `source` only. No text
/// contains a secret.
#[derive(Debug, Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    #[error("cannot use image name {name:?}: {reason}")]
    Name { name: String, reason: &'static str },
    #[error("cannot get the credentials for {registry}")]
    Credentials { registry: String, source: CredentialProblem },
    #[error("cannot take over credentials: they are damaged")]
    DamagedCredentials,
    #[error(transparent)]
    Http(#[from] rootstrap_http::SetupError),
    #[error("cannot start the uploads")]
    Threads { source: io::Error },
    #[error("cannot push to {reference}")]
    Push { reference: String, registry: String, source: Box<Failure> },
    #[error("cannot fetch {reference}")]
    Pull { reference: String, registry: String, source: Box<Failure> },
    #[error("cannot go on: interrupted")]
    Cancelled,
}

impl Error {
    /// Says what the user can do about it, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Name { .. } => Some("an image is named REGISTRY/NAME:TAG".to_owned()),
            Self::Credentials { source, .. } => source.hint(),
            Self::Http(error) => error.hint().map(str::to_owned),
            Self::Push { registry, source, .. } | Self::Pull { registry, source, .. } => source.fault.hint(registry),
            _ => None,
        }
    }
}

/// Why the credentials could not be read.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum CredentialProblem {
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot use {}: {reason}", path.display())]
    Malformed { path: PathBuf, reason: &'static str },
    /// The file at `path` names the helper.
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

/// One thing that could not be pushed, and why.
#[derive(Debug)]
pub struct Failure {
    /// `blob sha256:…`, `manifest sha256:…`, `tag latest`, or the registry itself.
    pub what: String,
    /// How the last attempt failed.
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
    /// A request to the registry itself failed.
    #[error(transparent)]
    Http(http::Error),
    /// A request failed to another host that the registry named: its token server or its storage.
    #[error("{host}, which the registry names: {source}")]
    OtherHost { host: String, source: http::Error },
    /// The registry wants credentials, or other ones than it got: 401, or 403 from a token server.
    #[error("authentication failed ({})", Said(.0))]
    Unauthorized(String),
    /// The user is known and may not push there: 403.
    #[error("access denied ({})", Said(.0))]
    Denied(String),
    /// The registry has no such repository and does not create it: 404.
    #[error("the registry knows no such name ({})", Said(.0))]
    UnknownName(String),
    #[error("the registry answered {status} ({})", Said(message))]
    Status { status: u16, message: String, retry_after: Option<Duration> },
    /// The registry does not know an upload that it began.
    #[error("the registry has lost the upload")]
    LostUpload,
    /// The registry breaks the rules of the distribution API.
    #[error("the registry {0}")]
    Protocol(&'static str),
    #[error("the registry took it for {theirs} instead of {ours}")]
    OtherDigest { ours: String, theirs: String },
    /// The bytes to push do not have their digest.
    #[error("its content has digest {0}")]
    Damaged(String),
    #[error("its content does not have {0} bytes")]
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
            Self::Http(error) | Self::OtherHost { source: error, .. } => error.is_transient(),
            // Every digest is compared before it is sent. A registry on a plain filesystem says so while another push writes the same content.
            Self::Status { status: 400, message, .. } if message.starts_with("DIGEST_INVALID") => true,
            // A range that does not fit (416) is an upload of which the registry has lost a part.
            Self::Status { status, .. } => *status == 416 || http::is_transient_status(*status),
            Self::LostUpload => true,
            _ => false,
        }
    }

    /// How long the registry asked to wait before the next attempt.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Http(error) | Self::OtherHost { source: error, .. } => error.retry_after(),
            _ => None,
        }
    }

    fn hint(&self, registry: &str) -> Option<String> {
        let name = if registry == "docker.io" { "" } else { registry };
        let login = format!("docker login {name}");
        let login = login.trim_end();
        let hint = match self {
            Self::OtherHost { host, source: http::Error::UnknownHost | http::Error::Unreachable(_) } => {
                format!("check the name {host}, the network and https_proxy")
            }
            Self::Http(http::Error::UnknownHost | http::Error::Unreachable(_)) => {
                format!("check the name {registry}, the network and https_proxy")
            }
            Self::Http(http::Error::NotTls) => {
                format!("if {registry} is meant to be without encryption, allow that with --insecure-registry")
            }
            Self::Http(http::Error::Certificate(_)) => format!(
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
            Self::OtherHost { source: http::Error::Certificate(_), .. } => {
                "name the file of the authority that signed it in SSL_CERT_FILE".to_owned()
            }
            Self::Http(error) | Self::OtherHost { source: error, .. } if error.is_transient() => {
                "check the network, then try again".to_owned()
            }
            Self::LostUpload => "check the network, then try again".to_owned(),
            _ => return None,
        };
        Some(hint)
    }
}

/// Displays the reason that a registry gave, which may be empty.
struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "without saying why" } else { self.0 })
    }
}
