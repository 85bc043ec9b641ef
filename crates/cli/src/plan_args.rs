//! The arguments of `rootstrap plan`, `why`, `why-not`, `suites` and `doctor`.

use crate::network_args::NetworkArgs;
use crate::request_args::{DownloadArgs, PackageArgs};
use crate::run_args::RunArgs;
use rootstrap_bootstrap::{Error, Machine, Request, Target};
use std::path::PathBuf;

/// The arguments of `rootstrap plan`.
#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub request: PlanRequest,

    /// As JSON: all that is known about each package
    #[arg(long, conflicts_with_all = ["tree", "graph"])]
    pub json: bool,

    /// Show which package brings which
    #[arg(long, conflicts_with = "graph")]
    pub tree: bool,

    /// Draw the installed sizes as a treemap: NAME.svg, or NAME.html
    #[arg(long, value_name = "FILE")]
    pub graph: Option<PathBuf>,
}

/// The arguments of `rootstrap why` and `rootstrap why-not`.
#[derive(Debug, clap::Args)]
pub(crate) struct WhyArgs {
    /// The package that is asked about
    pub package: String,

    #[command(flatten)]
    pub request: PlanRequest,
}

/// The arguments of `rootstrap suites`.
#[derive(Debug, clap::Args)]
pub(crate) struct SuitesArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `rootstrap doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// The suites whose mirrors are asked; by default the one of each vendor that is supported longest
    pub suites: Vec<String>,

    /// As JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub downloads: DownloadArgs,

    #[command(flatten)]
    pub network: NetworkArgs,
}

/// What a plan is made for: the same options as those of a build.
#[derive(Debug, clap::Args)]
pub(crate) struct PlanRequest {
    /// Codename, alias or version: trixie, stable, 24.04
    pub suite: String,

    /// Mirror to use instead of the usual ones
    #[arg(value_name = "MIRROR")]
    pub mirror_argument: Option<String>,

    #[command(flatten)]
    pub packages: PackageArgs,

    #[command(flatten)]
    pub downloads: DownloadArgs,

    #[command(flatten)]
    pub run: RunArgs,
}

impl PlanRequest {
    /// Returns the machine that the plan is made on.
    ///
    /// # Errors
    /// An option cannot be used.
    pub(crate) fn machine(&self) -> Result<Machine, Error> {
        self.downloads.machine(&self.run.network).and_then(|machine| self.downloads.with_remote(machine))
    }

    /// Returns the request once for each architecture.
    ///
    /// # Errors
    /// An option cannot be used.
    pub(crate) fn requests(&self, machine: &Machine) -> Result<Vec<Request>, Error> {
        let (selection, further) = self.packages.selection(machine)?;
        let sources = self.packages.sources(&self.suite, self.mirror_argument.as_ref())?;
        let mut request = Request::new(selection, sources, Target::Nowhere, machine.clone());
        request.customization.slim = self.packages.slim;
        let mut requests = vec![request.clone()];
        for architecture in further {
            request.selection.architecture = architecture;
            requests.push(request.clone());
        }
        requests.dedup_by(|one, other| one.selection.architecture == other.selection.architecture);
        Ok(requests)
    }
}
