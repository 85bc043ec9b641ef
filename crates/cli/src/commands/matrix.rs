//! `rootstrap matrix`: prints the images of a manifest as the jobs of a CI system.

use super::bootstrap::Problem;
use super::outcome::{fail, usage};
use crate::manifest::Manifest;
use crate::project_args::MatrixArgs;
use rootstrap_bootstrap::Error;
use std::io::Write;

/// Runs the command and returns the exit status.
pub(crate) fn run(args: &MatrixArgs) -> u8 {
    let text = match text(args) {
        Ok(text) => text,
        Err(Problem::Usage(problem)) => return usage(&problem),
        Err(Problem::Request(error)) => return fail(&error, None),
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => 0,
        Err(error) => fail(&Error::Stdout(error), None),
    }
}

fn text(args: &MatrixArgs) -> Result<String, Problem> {
    let manifest = Manifest::read(&args.images.file)?;
    let images = manifest.select(&args.images)?;
    rootstrap_project::fan_out(&images, args.format.into(), args.shards.map(usize::from)).map_err(|error| {
        Problem::Usage(format!("cannot print the jobs: {error}\nhint: use --shards, and rootstrap build --shard"))
    })
}
