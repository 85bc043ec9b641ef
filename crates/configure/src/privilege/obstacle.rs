//! What is in the way of a mode.

use super::mode::Mode;
use crate::error::Error;

/// A reason why a mode does not work, and the exact way to change that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    reason: String,
    /// Empty if nothing is known.
    hint: String,
}

impl Obstacle {
    pub(super) fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: hint.into() }
    }

    /// An obstacle that the user can do nothing about, as far as we know.
    pub(super) fn without_hint(reason: impl Into<String>) -> Self {
        Self::new(reason, "")
    }

    /// Returns one line for a user who wants to know why a build does not run in `mode`.
    pub(super) fn sentence(&self, mode: Mode) -> String {
        let hint = if self.hint.is_empty() { String::new() } else { format!(" ({})", self.hint) };
        format!("not {}: {}{hint}", mode.name(), self.reason)
    }
}

/// Returns the error for a caller for whom no mode works. `obstacles` are in the order in which the modes were tried.
pub(super) fn no_mode_works(obstacles: &[Obstacle]) -> Error {
    let mut reasons: Vec<&str> = Vec::new();
    for obstacle in obstacles {
        if !reasons.contains(&obstacle.reason.as_str()) {
            reasons.push(&obstacle.reason);
        }
    }
    // The last mode tried asks for the least, so its hint asks the user for the least.
    let hint = obstacles.iter().rev().map(|obstacle| &obstacle.hint).find(|hint| !hint.is_empty());
    Error::Privilege { reason: reasons.join("; "), hint: hint.cloned().unwrap_or_default() }
}
