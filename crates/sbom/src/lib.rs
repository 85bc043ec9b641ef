//! What a root filesystem is made of and where it came from, as documents that other programs read.
//!
//! Invariant: pure functions from [`Facts`] to text. No IO, no clock, no randomness: the same facts give the same bytes.
//! What is not known is left out or said to be unknown (`NOASSERTION`), never guessed.
//!
//! To read: `facts` (what has to be known), then `spdx`, `cyclonedx` and `statement`, one per format; `purl` and `person`
//! are the words they share.

mod cyclonedx;
mod facts;
mod person;
mod purl;
mod spdx;
mod statement;

pub use cyclonedx::cyclonedx;
pub use facts::{Facts, Package, Release};
pub use purl::uri;
pub use spdx::spdx;
pub use statement::{BUILD_TYPE, BUILDER, Subject, statement_provenance, statement_spdx};

/// Strings, numbers, lists and maps with text for keys always have a JSON form.
fn pretty(document: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(document).unwrap_or_default() + "\n"
}

/// What stands for the text of a licence: where that text is.
fn licence_text(path: &str) -> String {
    format!("The licence of this package is stated in the file {path}, which the package installs.")
}

#[cfg(test)]
#[path = "fixture_tests.rs"]
mod fixture;
