//! The arguments of `rootstrap lock`.

use crate::network_args::NetworkArgs;
use crate::request_args::{DownloadArgs, PackageArgs};
use crate::verbosity::Verbosity;
use std::path::PathBuf;

/// The lock that is used if no other is named.
pub(crate) const LOCK: &str = "rootstrap.lock";

/// The arguments of `rootstrap lock`.
#[derive(Debug, clap::Args)]
pub(crate) struct LockArgs {
    /// Codename, alias or version; by default the lock's own request is taken
    pub suite: Option<String>,

    /// Mirror to use instead of the usual ones; written into the target's apt sources
    #[arg(value_name = "MIRROR")]
    pub mirror_argument: Option<String>,

    /// The lock file; - for standard output
    #[arg(long, short, value_name = "FILE", default_value = LOCK)]
    pub output: PathBuf,

    /// Only say whether the lock is one of this request: exit status 0, or 10 if it is not
    #[arg(long, conflicts_with = "upgrade")]
    pub check: bool,

    /// Take what the archive has now, for all packages, or for some and what they need; other packages keep their versions while the
    /// archive has them
    #[arg(long, value_name = "PACKAGES", num_args = 0.., require_equals = true, value_delimiter = ',')]
    pub upgrade: Option<Vec<String>>,

    #[command(flatten)]
    pub packages: PackageArgs,

    #[command(flatten)]
    pub downloads: DownloadArgs,

    /// How many seconds the whole run may take
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub deadline: Option<u32>,

    #[command(flatten)]
    pub network: NetworkArgs,

    #[command(flatten)]
    pub verbosity: Verbosity,
}

impl LockArgs {
    /// Returns whether the lock goes to standard output.
    pub(crate) fn prints(&self) -> bool {
        self.output.as_os_str() == "-"
    }
}
