//! The arguments of every command that fetches and may take long.

use crate::network_args::NetworkArgs;
use crate::verbosity::Verbosity;

/// How long a run may take, how it treats servers, and what it shows.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// How many seconds the whole run may take
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub deadline: Option<u32>,

    #[command(flatten)]
    pub network: NetworkArgs,

    #[command(flatten)]
    pub verbosity: Verbosity,
}
