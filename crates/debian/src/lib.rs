//! The vocabulary: parse and compare what Debian's files say.
//!
//! Invariant: no IO, no threads, no clock. Every function takes text or bytes and returns a value, and no
//! input makes one panic. Parsers borrow from their input; the caller keeps the text alive.

pub mod arch;
pub mod control;
pub mod digest;
pub mod packages;
pub mod relation;
pub mod release;
mod table;
pub mod version;

use std::fmt;

/// Text that does not follow the format it should: which format, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    what: &'static str,
    reason: String,
}

impl ParseError {
    pub(crate) fn new(what: &'static str, reason: impl Into<String>) -> Self {
        Self { what, reason: reason.into() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a valid {}: {}", self.what, self.reason)
    }
}

impl std::error::Error for ParseError {}
