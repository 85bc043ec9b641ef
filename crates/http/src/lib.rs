//! One HTTP client for every crate that speaks HTTP: proxies, TLS, redirects, deadlines, retries, interrupts, and the
//! redaction of secrets.
//!
//! Invariant: no request leaves encryption because a server says so, no credential reaches an origin that it was not
//! given for, no wait lacks a limit, and no error text contains a secret. This crate knows nothing of archives and
//! registries.
//!
//! It does not read the environment: callers fill [`Options`], for example with [`Proxies::from_environment`]. The one
//! exception is the TLS library, which looks for the machine's certificates where `SSL_CERT_FILE` and `SSL_CERT_DIR` say.
//!
//! To read: [`Client`], [`Response`], [`Error`], then the rules in [`redirect`], [`Retries`] and [`redact`].

mod cancel;
mod client;
mod error;
mod options;
mod proxies;
pub mod redact;
pub mod redirect;
mod resolver;
mod response;
mod retry;
mod runtime;

pub use cancel::unless_cancelled;
pub use client::{Certificates, Client, Redirects, use_tls};
pub use error::{Error, SetupError};
pub use options::{Options, Pem, Timeouts};
pub use proxies::Proxies;
pub use reqwest::{Body, Method, RequestBuilder, StatusCode, Url, header};
pub use resolver::{LookupError, lookup};
pub use response::Response;
pub use retry::{LONGEST_RETRY_AFTER, Retries, is_transient_status};
pub use runtime::runtime;
