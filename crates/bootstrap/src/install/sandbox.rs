//! A sandbox around the growing root.

use crate::error::Error;
use crate::install::context::BuildContext;
use rootstrap_configure::Sandbox;
use std::path::Path;

/// Starts a sandbox around the root.
pub(crate) fn start(context: &BuildContext<'_>, has_network: bool) -> Result<Sandbox, Error> {
    let staging = context.staging.directory().try_clone_to_owned();
    let options = rootstrap_configure::Options {
        mode: context.machine.mode,
        staging: staging.map_err(Error::io("open", Path::new("root")))?,
        root: "root".into(),
        epoch: context.epoch,
        environment: context.emulation.environment.clone(),
        emulators: context.emulation.emulators.clone(),
        native: context.native.wait().clone(),
        fake_ownership: context.root.fake_ownership().cloned().unwrap_or_default(),
        has_network,
        timeout: context.customization.script_timeout,
        cancel: context.machine.cancel.clone(),
    };
    Ok(Sandbox::start(&options)?)
}
