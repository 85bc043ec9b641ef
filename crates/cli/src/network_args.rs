//! The arguments on the network, for all commands that use it.

use crate::environment;
use crate::secrets;
use rootstrap_bootstrap::{Error, Machine};
use std::time::Duration;

/// How downloads and pushes treat a slow or failing server.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct NetworkArgs {
    /// How many times to try again after a failure of the network or a server [default: 8, which takes about 30 s]
    #[arg(long, value_name = "N")]
    retries: Option<u32>,

    /// How many seconds to wait for a connection, and for the next byte [default: 15 and 30]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    timeout: Option<u32>,

    /// A file with certificates of authorities, in PEM form, that are trusted beside those of this machine
    #[arg(long, value_name = "FILE")]
    ca_file: Vec<String>,
}

impl NetworkArgs {
    /// Sets proxies, authorities, deadlines and retries.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn apply(&self, machine: &mut Machine) -> Result<(), Error> {
        let network = &mut machine.network;
        network.proxies = environment::proxies();
        if let Some(count) = self.retries {
            network.retries.count = count;
        }
        if let Some(seconds) = self.timeout {
            let limit = Duration::from_secs(seconds.into());
            (network.timeouts.connect, network.timeouts.stall) = (limit, limit);
        }
        network.authorities = self.ca_file.iter().map(|file| secrets::pem(file)).collect::<Result<_, _>>()?;
        Ok(())
    }
}
