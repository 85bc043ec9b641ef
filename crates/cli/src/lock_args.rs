//! The arguments of `rootstrap lock`.

use crate::request_args::{DownloadArgs, PackageArgs};
use crate::run_args::RunArgs;
use clap::{Subcommand, ValueEnum};
use rootstrap_bootstrap::{ExportFormat, Upgrade};
use std::path::PathBuf;

/// The lock that is used if no other is named.
pub(crate) const LOCK: &str = "rootstrap.lock";

/// The arguments of `rootstrap lock`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LockArgs {
    #[command(subcommand)]
    pub action: Option<LockAction>,

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

    /// Make the locks of all images in rootstrap.toml, or renew those that are no longer locks of their images
    #[arg(long, conflicts_with_all = ["suite", "output"])]
    pub all: bool,

    /// The manifest that --all goes through
    #[arg(long, value_name = "FILE", default_value = rootstrap_project::MANIFEST, requires = "all")]
    pub file: PathBuf,

    #[command(flatten)]
    pub packages: PackageArgs,

    #[command(flatten)]
    pub downloads: DownloadArgs,

    #[command(flatten)]
    pub run: RunArgs,
}

/// What can be done with a lock besides making it. No suite has such a name.
#[derive(Debug, Subcommand)]
pub(crate) enum LockAction {
    /// Print the packages of a lock in a form that other programs read
    Export {
        /// The lock file
        #[arg(default_value = LOCK)]
        lock: PathBuf,

        /// The form: dpkg-status for scanners of systems, sha256sum, spdx or cyclonedx
        #[arg(long, value_name = "FORMAT", value_enum)]
        format: Export,

        /// Debian architecture, if the lock has several
        #[arg(long, value_name = "ARCH")]
        arch: Option<String>,
    },
}

/// The forms that a lock is exported in.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Export {
    /// dpkg's database of installed packages
    DpkgStatus,
    /// One line for each package file
    Sha256sum,
    /// SPDX 2.3 as JSON
    Spdx,
    /// CycloneDX as JSON
    Cyclonedx,
}

impl From<Export> for ExportFormat {
    fn from(export: Export) -> Self {
        match export {
            Export::DpkgStatus => Self::DpkgStatus,
            Export::Sha256sum => Self::Sha256Sum,
            Export::Spdx => Self::Spdx,
            Export::Cyclonedx => Self::CycloneDx,
        }
    }
}

impl LockArgs {
    /// Returns which packages may change.
    pub(crate) fn upgrade(&self) -> Upgrade {
        match &self.upgrade {
            None => Upgrade::Needed,
            Some(names) if names.is_empty() => Upgrade::All,
            Some(names) => Upgrade::Packages(names.clone()),
        }
    }

    /// Returns whether the lock goes to standard output.
    pub(crate) fn prints(&self) -> bool {
        self.action.is_some() || self.output.as_os_str() == "-"
    }
}
