//! The arguments on the network, for all commands that use it.

use crate::args::NetworkArgs;
use crate::environment;
use rootstrap_bootstrap::Machine;
use std::time::Duration;

/// Sets proxies, deadlines and retries.
pub(super) fn set_network(machine: &mut Machine, args: &NetworkArgs) {
    let network = &mut machine.network;
    network.proxies = environment::proxies();
    if let Some(count) = args.retries {
        network.retries.count = count;
    }
    if let Some(seconds) = args.timeout {
        let limit = Duration::from_secs(seconds.into());
        (network.timeouts.connect, network.timeouts.stall) = (limit, limit);
    }
}
