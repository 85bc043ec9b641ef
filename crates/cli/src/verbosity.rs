//! The arguments on what is shown, for all commands that take long.

use clap::ValueEnum;
use std::path::PathBuf;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressKind {
    /// Lines that move on a terminal, and plain ones otherwise
    Auto,
    /// Lines that stay
    Plain,
    /// One JSON document in each line; an error at the end stays text
    Json,
    /// Not at all: errors only
    None,
}

/// What is shown, and where the log goes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Verbosity {
    /// Say nothing but errors
    #[arg(long, short, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Show everything, the packages' own output too
    #[arg(long, short)]
    pub verbose: bool,

    /// How progress is shown on standard error
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub progress: ProgressKind,

    /// Write everything to a file as well
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// Write a timeline of the run to a file, in Chrome's trace format: what each thread did, downloads, and scripts by package
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}
