//! The arguments of the commands that work on `rootstrap.toml`.

use crate::request_args::DownloadArgs;
use crate::root_args::RootArgs;
use crate::run_args::RunArgs;
use clap::ValueEnum;
use rootstrap_project::{Engine, MANIFEST};
use std::path::PathBuf;

/// The manifest, and which of its images are meant.
#[derive(Debug, clap::Args)]
pub(crate) struct ImagesArgs {
    /// The images; by default all of them
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,

    /// The manifest; paths in it begin at its directory
    #[arg(long, value_name = "FILE", default_value = MANIFEST)]
    pub file: PathBuf,
}

/// The arguments of `rootstrap build`.
#[derive(Debug, clap::Args)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub images: ImagesArgs,

    /// All images, which is the default
    #[arg(long, conflicts_with = "names")]
    pub all: bool,

    /// Leave out images that are there already, made of the same: in the registries of --push, or as their target
    #[arg(long)]
    pub changed: bool,

    /// Push the images to the registries that they name
    #[arg(long)]
    pub push: bool,

    /// Only fetch the debs that the images need, into the cache and the remote cache: before many machines make them
    #[arg(long)]
    pub download_only: bool,

    /// Make the other images although one failed
    #[arg(long, short)]
    pub keep_going: bool,

    /// Refuse images that have no lock
    #[arg(long)]
    pub locked: bool,

    /// Make only the images of one part of N: I/N, the first is 1; auto asks the variables of the CI system, and auto/N says how many
    /// there are where the system does not
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,

    /// Write what became of each image, as JSON
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,

    #[command(flatten)]
    pub root: RootArgs,

    #[command(flatten)]
    pub downloads: DownloadArgs,

    #[command(flatten)]
    pub run: RunArgs,
}

/// The arguments of `rootstrap matrix`.
#[derive(Debug, clap::Args)]
pub(crate) struct MatrixArgs {
    #[command(flatten)]
    pub images: ImagesArgs,

    /// For whom the jobs are
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    pub format: MatrixFormat,

    /// Print so many shards instead of one job for each image
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub shards: Option<u16>,
}

/// For whom jobs are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum MatrixFormat {
    /// The matrix of a GitHub workflow
    Github,
    /// A child pipeline of GitLab
    Gitlab,
    /// The parameters of an Argo workflow
    Argo,
    /// A pipeline of Buildkite
    Buildkite,
    /// A list of the images
    Json,
}

impl From<MatrixFormat> for Engine {
    fn from(format: MatrixFormat) -> Self {
        match format {
            MatrixFormat::Github => Self::Github,
            MatrixFormat::Gitlab => Self::Gitlab,
            MatrixFormat::Argo => Self::Argo,
            MatrixFormat::Buildkite => Self::Buildkite,
            MatrixFormat::Json => Self::Json,
        }
    }
}

/// The arguments of `rootstrap init`.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// The manifest to write
    #[arg(default_value = MANIFEST)]
    pub file: PathBuf,
}

/// The arguments of `rootstrap merge-metadata`.
#[derive(Debug, clap::Args)]
pub(crate) struct MergeArgs {
    /// The files that --metadata-file made
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,

    /// Where the joined report goes; by default standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
