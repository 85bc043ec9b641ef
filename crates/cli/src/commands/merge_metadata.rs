//! `rootstrap merge-metadata`: joins the reports of shards.

use super::outcome::{fail, usage};
use crate::project_args::MergeArgs;
use rootstrap_bootstrap::Error;
use std::io::Write;
use std::path::PathBuf;

/// Runs the command and returns the exit status: that of the images together.
pub(crate) fn run(args: &MergeArgs) -> u8 {
    let read = |path: &PathBuf| match std::fs::read_to_string(path) {
        Ok(text) => Ok((path.display().to_string(), text)),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    };
    let reports: Vec<(String, String)> = match args.files.iter().map(read).collect() {
        Ok(reports) => reports,
        Err(problem) => return usage(&problem),
    };
    let report = match rootstrap_project::merge(&reports) {
        Ok(report) => report,
        Err(error) => return usage(&error.to_string()),
    };
    let written = match &args.output {
        Some(path) => rootstrap_bootstrap::write_text(&report.to_json(), path),
        None => std::io::stdout().write_all(report.to_json().as_bytes()).map_err(Error::Stdout),
    };
    match written {
        Ok(()) => report.exit_code(),
        Err(error) => fail(&error, None),
    }
}
