//! What is wrong with a lock.

/// Why a text cannot be used as a lock.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what each field is")]
pub enum Error {
    #[error("it is no lock file: line {line}: {reason}")]
    Malformed { line: usize, reason: String },
    #[error("it has format {found}, and this version of rootstrap knows formats up to {known}")]
    Newer { found: i64, known: u32 },
    #[error("its text was changed after rootstrap wrote it: its digest does not match")]
    Changed,
    #[error("it is not a lock that rootstrap wrote: {reason}")]
    Invalid { reason: String },
}

impl Error {
    /// Returns what the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "use the version of rootstrap that wrote it, or a newer one",
            Self::Malformed { .. } | Self::Changed | Self::Invalid { .. } => {
                "take the last good one from version control, or write it anew with `rootstrap lock SUITE --upgrade` and its options"
            }
        }
    }
}
