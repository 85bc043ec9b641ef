//! What all parts of a release share.

use std::path::PathBuf;

/// Whom the package and its changelog name.
pub const MAINTAINER: &str = "The rootstrap contributors <rootstrap@example.org>";

/// A release.
pub struct Release {
    /// The version of the program.
    pub version: String,
    /// The architecture, by dpkg's name.
    pub arch: &'static str,
    /// The time of the commit, in seconds since 1970; all files have it.
    pub epoch: u64,
    /// The static program.
    pub program: PathBuf,
}
