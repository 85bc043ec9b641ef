//! Puts an image into a registry, or gets one from there, by the OCI distribution API.
//!
//! Invariant: this crate uploads the bytes that it is handed and nothing else; it never looks at the target tree. The
//! registry gets the end of a blob only if the bytes have the blob's digest, and a tag moves only after everything below
//! it is stored.
//!
//! The credentials are looked up before the push and apart from it ([`credentials::find`]): they belong to the user who
//! started the program, and the push may run as somebody else. This crate does not read the environment.
//!
//! To read: [`push()`] and [`pull()`] (the order of things), [`find()`] (what is there already), `upload` (attempts), `session` (addresses, redirects, authorization), `auth`,
//! and `blob` (why a damaged file cannot get in).

#[doc(hidden)]
pub mod answers;
mod auth;
mod blob;
mod clients;
pub mod credentials;
mod error;
mod find;
mod limits;
mod message;
mod pull;
mod push;
mod reference;
mod referrers;
mod request;
mod response;
mod session;
mod upload;

pub use blob::Blob;
pub use credentials::Credentials;
pub use error::{CredentialProblem, Error, Failure, Fault};
pub use find::{find, statements};
pub use pull::pull;
pub use push::{check, push};
pub use reference::Reference;
pub use request::{Event, Manifest, Options, Push, Pushed};
