//! Why text could not be parsed.

use std::fmt;

/// Text that does not follow its format: which format, and what is wrong with the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    format: &'static str,
    reason: String,
}

impl ParseError {
    pub(crate) fn new(format: &'static str, reason: impl Into<String>) -> Self {
        Self { format, reason: reason.into() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a valid {}: {}", self.format, self.reason)
    }
}

impl std::error::Error for ParseError {}
