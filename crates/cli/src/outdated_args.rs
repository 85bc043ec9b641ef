//! The arguments of `rootstrap outdated`.

use crate::lock_args::LOCK;
use crate::request_args::{DownloadArgs, TrustArgs};
use crate::run_args::RunArgs;
use clap::ValueEnum;
use std::path::PathBuf;

/// The arguments of `rootstrap outdated`.
#[derive(Debug, clap::Args)]
pub(crate) struct OutdatedArgs {
    /// The lock files
    #[arg(value_name = "LOCK", default_value = LOCK)]
    pub locks: Vec<PathBuf>,

    /// The locks of all images in rootstrap.toml
    #[arg(long, conflicts_with = "locks")]
    pub all: bool,

    /// The manifest that --all goes through
    #[arg(long, value_name = "FILE", default_value = rootstrap_project::MANIFEST, requires = "all")]
    pub file: PathBuf,

    /// How the list is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ListFormat,

    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,

    /// List only what has a security fix
    #[arg(long)]
    pub security_only: bool,

    /// End with status 10 if anything is listed
    #[arg(long)]
    pub exit_code: bool,

    #[command(flatten)]
    pub trust: TrustArgs,

    #[command(flatten)]
    pub downloads: DownloadArgs,

    #[command(flatten)]
    pub run: RunArgs,
}

impl OutdatedArgs {
    /// Returns how the list is written.
    pub(crate) fn list_format(&self) -> ListFormat {
        if self.json { ListFormat::Json } else { self.format }
    }
}

/// How a list of changes is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// One line for each package
    Text,
    /// For other programs
    Json,
    /// Tables, as in the description of a pull request
    Markdown,
}
