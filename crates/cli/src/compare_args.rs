//! The arguments of `rootstrap diff` and `rootstrap verify`.

use crate::container::SettingsArgs;
use crate::network_args::NetworkArgs;
use crate::outdated_args::ListFormat;
use crate::request_args::{DownloadArgs, TrustArgs};
use crate::run_args::RunArgs;
use crate::system_args::SystemArgs;
use rootstrap_bootstrap::Copy;
use rootstrap_bootstrap::privilege::Mode;
use std::path::PathBuf;

/// The arguments of `rootstrap diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// A lock; an image as a file or a layout, or docker://NAME[:TAG][@DIGEST] in a registry; a tar archive or a directory
    pub first: PathBuf,

    /// What it is compared with
    pub second: PathBuf,

    /// Fetch an image also if its registry has no valid certificate, or no encryption
    #[arg(long)]
    pub insecure_registry: bool,

    #[command(flatten)]
    pub list: PathListArgs,

    #[command(flatten)]
    pub network: NetworkArgs,
}

/// The arguments of `rootstrap verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// An image as a file or a layout, or docker://NAME[:TAG][@DIGEST] in a registry; a tar archive or a directory
    pub path: PathBuf,

    /// Fetch the image also if the registry has no valid certificate, or no encryption
    #[arg(long)]
    pub insecure_registry: bool,

    /// The lock that it was built from; by default the one inside of an image that was built with --attest
    #[arg(long, value_name = "FILE")]
    pub lock: Option<PathBuf>,

    /// Debian architecture of an archive or a directory, if the lock has several
    #[arg(long, value_name = "ARCH")]
    pub arch: Option<String>,

    /// The archive or directory was made with --image; otherwise its files decide
    #[arg(long)]
    pub image: bool,

    /// What was copied into the root, as for the build; may be repeated
    #[arg(long, value_name = "SRC:DEST[:MODE[:USER:GROUP]]", value_parser = crate::copy::parser())]
    pub copy: Vec<Copy>,

    #[command(flatten)]
    pub system: SystemArgs,

    #[command(flatten)]
    pub settings: SettingsArgs,

    /// Mirror to fetch packages from as well; with {timestamp} in its address, a service of snapshots
    #[arg(long, value_name = "URI")]
    pub mirror: Vec<String>,

    #[command(flatten)]
    pub list: PathListArgs,

    /// How to get the rights that a build needs: root, unshare, single or chroot; by default the best that works
    #[arg(long, value_name = "MODE", value_parser = crate::mode::parse)]
    pub mode: Option<Mode>,

    #[command(flatten)]
    pub trust: TrustArgs,

    #[command(flatten)]
    pub downloads: DownloadArgs,

    #[command(flatten)]
    pub run: RunArgs,
}

/// How differences are listed.
#[derive(Debug, clap::Args)]
pub(crate) struct PathListArgs {
    /// How the list is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ListFormat,

    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,

    /// How many paths are listed; 0 for all
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
}

impl PathListArgs {
    /// Returns how the list is written.
    pub(crate) fn list_format(&self) -> ListFormat {
        if self.json { ListFormat::Json } else { self.format }
    }
}
