//! How a command ends: messages on standard error, and the exit status.

use rootstrap_bootstrap::Error;
use std::error::Error as _;
use std::io::Write;
use std::path::PathBuf;

/// Prints a problem with the command line. Returns the exit status.
pub(super) fn usage(problem: &str) -> u8 {
    let _ = writeln!(std::io::stderr(), "error: {problem}");
    2
}

/// Prints an error, its causes, where the whole log is, and what to do, each once. Returns the exit status.
pub(super) fn fail(error: &Error, log: Option<PathBuf>) -> u8 {
    let mut text = format!("error: {error}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("  because: {error}\n"));
        cause = error.source();
    }
    if let Some(log) = log {
        text.push_str(&format!("the whole log is in {}\n", log.display()));
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("hint: {hint}\n"));
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
    error.exit_code()
}
