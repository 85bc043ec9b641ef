//! Documents that say what a root filesystem is made of and where it came from, for other programs to read.
//!
//! Invariant: pure functions from [`Facts`] to text. No IO, no clock, no randomness: the same facts give the same bytes.
//! Unknown values are left out, or written as unknown (`NOASSERTION`); they are never guessed.
//!
//! Read `facts` first: what has to be known of a build. `spdx`, `cyclonedx` and `statement` write one format each; `purl`,
//! `person` and `text` make the words that they share.

mod cyclonedx;
mod facts;
mod person;
mod purl;
mod spdx;
mod statement;
mod text;

pub use cyclonedx::cyclonedx;
pub use facts::{Facts, Package, Release};
pub use purl::uri;
pub use spdx::spdx;
pub use statement::{BUILD_TYPE, BUILDER, LOCK_TYPE, Subject, statement_lock, statement_provenance, statement_spdx};

#[cfg(test)]
#[path = "fixture_tests.rs"]
mod fixture;
