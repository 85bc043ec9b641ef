//! The vendors' own archives, where they answer.

use crate::program;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Returns the program with these arguments, for a run against the live archive. Its cache outlives the test, because the
/// indexes and packages are large.
#[must_use]
pub fn command(cache: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program::path());
    command.args(arguments).arg("--cache-dir").arg(cache.join("live-cache"));
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    for name in ["http_proxy", "https_proxy", "no_proxy", "TMPDIR", "ROOTSTRAP_MIRROR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Checks whether the archive of a suite answers.
///
/// # Errors
/// It does not answer, or its Release file has expired because the mirror is no longer updated.
///
/// # Panics
/// Its answer cannot be trusted, or the program fails for another reason.
pub fn answers(cache: &Path, suite: &str) -> Result<(), String> {
    answers_with(cache, suite, &[])
}

/// Checks whether the archive of a suite has what these arguments ask for.
///
/// # Errors
/// As for [`answers`].
///
/// # Panics
/// As [`answers`].
pub fn answers_with(cache: &Path, suite: &str, more: &[&str]) -> Result<(), String> {
    let output = command(cache, &[&[suite, "--print-plan", "--quiet"], more].concat()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return Ok(());
    }
    if output.status.code() == Some(3) && said.contains("it expired at") {
        // The mirror is no longer updated. The program is right to refuse it, so the test cannot run.
        return Err(format!("the archive of {suite} is stale"));
    }
    let unreachable = output.status.code() == Some(1) && said.starts_with("error: cannot fetch");
    assert!(unreachable, "{suite}: {said}");
    Err(format!("the archive of {suite} does not answer"))
}

/// Returns a new directory, and a path in it for a directory target.
#[must_use]
pub fn scratch() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::Builder::new().prefix("live").tempdir().unwrap();
    let path = directory.path().join("root");
    (directory, path)
}
