//! Tiny debs, signed archives and a loopback mirror with faults, for tests.
//!
//! Fixtures are code and results are text: a test composes packages with [`deb::Deb`], puts them into an
//! [`archive::Archive`], serves that with [`server::Server`], and compares what came out with [`tree::dump`].
//! Everything is built in memory. The archive gives a `Files` map and the server takes one, so a test can change any
//! byte of a finished mirror before or while it is served.
//!
//! Fixtures panic on mistakes, because a test can do nothing better with an error than fail.
#![allow(clippy::unwrap_used, reason = "a broken fixture is a failed test")]

pub mod archive;
pub mod base;
pub mod compress;
pub mod deb;
mod digest;
pub mod entry;
pub mod host;
mod hostile_case;
pub mod http;
pub mod keys;
pub mod readers;
pub mod registry;
mod release;
pub mod server;
mod skeleton;
mod skip;
mod slow;
mod store;
pub mod tls;
pub mod tree;

pub use hostile_case::{HostileClass, hostile_case, hostile_extent};
pub use skip::skip;

/// A mirror's content: path below the mirror's root, without a leading slash, to bytes.
pub type Files = std::collections::BTreeMap<String, Vec<u8>>;

/// The default time of every fixture: 2025-01-01 00:00:00 UTC.
///
/// The time is fixed, so that fixtures have the same bytes in every run. It is in the past, so that no program takes a
/// fixture for one from the future.
pub const EPOCH: u64 = 1_735_689_600;
