//! `rootstrap merge-metadata`: joins the reports of shards.

use super::outcome::{fail, usage};
use crate::project_args::MergeArgs;
use crate::text_file;
use rootstrap_bootstrap::Error;
use std::io::Write;

/// Runs the command and returns the exit status: that of the images together.
pub(crate) fn run(args: &MergeArgs) -> u8 {
    let read = |path: &String| text_file::read(path).map(|text| (path.clone(), text));
    let reports: Vec<(String, String)> = match args.files.iter().map(read).collect() {
        Ok(reports) => reports,
        Err(error) => return fail(&error, None),
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
