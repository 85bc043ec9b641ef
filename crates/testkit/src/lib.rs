//! Tiny debs, signed archives and a loopback mirror with faults, for tests.
//!
//! Fixtures are code and results are text: a test composes packages with [`deb::Deb`], puts them into an
//! [`archive::Archive`], serves that with [`server::Server`], and compares what came out with [`tree::dump`].
//! Everything is built in memory. A `Files` map lies between archive and server, so a test can change any byte
//! of a finished mirror before, or while, it is served.
//!
//! Fixtures panic on their own mistakes: there is no error that a test could handle better than by failing.
#![allow(clippy::unwrap_used, reason = "a broken fixture is a failed test")]

pub mod archive;
mod base;
pub mod compress;
pub mod deb;
mod digest;
pub mod entry;
pub mod host;
pub mod http;
pub mod keys;
pub mod readers;
pub mod registry;
mod release;
pub mod server;
mod skeleton;
pub mod tree;

/// A mirror's content: path below the mirror's root, without a leading slash, to bytes.
pub type Files = std::collections::BTreeMap<String, Vec<u8>>;

/// The default time of every fixture: 2025-01-01 00:00:00 UTC.
///
/// Fixed, so that fixtures are the same bytes in every run; in the past, so that nothing is "from the future".
pub const EPOCH: u64 = 1_735_689_600;
