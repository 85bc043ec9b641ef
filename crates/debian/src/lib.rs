//! Parses and compares the contents of Debian's files.
//!
//! Invariant: no threads and no clock, and the crate opens nothing: no file, no connection, no program. Every function takes
//! text or bytes and returns a value; only [`compression`] reads, and it reads only from the reader that its caller hands it.
//! No input makes a function panic. Parsers borrow from their input; the caller keeps the text alive.

pub mod apt_conf;
pub mod arch;
pub mod auth_conf;
pub mod compression;
pub mod control;
pub mod digest;
mod error;
pub mod fnmatch;
mod package;
pub mod packages;
pub mod preferences;
pub mod relation;
pub mod release;
pub mod sources;
mod table;
pub mod version;

pub use error::ParseError;
