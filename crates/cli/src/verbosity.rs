//! The arguments on what is shown, for all commands that take long.

use std::path::PathBuf;

/// What is shown, and where the log goes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Verbosity {
    /// Say nothing but errors
    #[arg(long, short, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Show everything, the packages' own output too
    #[arg(long, short)]
    pub verbose: bool,

    /// Write everything to a file as well
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// Write a timeline of the run to a file, in Chrome's trace format: what each thread did, downloads, and scripts by package
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}
