//! What is wrong with a manifest.

/// Why a manifest cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Error {
    /// Where it is, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl Error {
    pub(crate) fn new(line: usize, reason: impl Into<String>) -> Self {
        Self { line, reason: reason.into(), hint: None }
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}
