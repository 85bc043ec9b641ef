//! The settings that packages have to find when they are installed: dpkg's configuration, and answers to debconf's questions.

use crate::error::{Error, refuse};
use crate::install::context::BuildContext;
use crate::install::output::report_line;
use rootstrap_configure::Sandbox;

/// Gives debconf the answers for the packages that are still to be configured.
pub(crate) fn preseed(context: &BuildContext<'_>, sandbox: &mut Sandbox) -> Result<(), Error> {
    const ANSWERS: &str = "var/lib/dpkg/rootstrap.debconf";
    let answers = &context.customization.settings.debconf;
    if answers.is_empty() {
        return Ok(());
    }
    let root = context.root;
    if !root.leads_somewhere(b"usr/bin/debconf-set-selections")? {
        let reason = "debconf is not among the first packages of the root";
        return refuse("--debconf", reason, "use a variant that has it, such as minbase");
    }
    root.write(ANSWERS.as_bytes(), (answers.join("\n") + "\n").as_bytes(), 0o600)?;
    let file = format!("/{ANSWERS}");
    let exit = sandbox.run(&["debconf-set-selections", &file], &[], &mut |line| report_line(context.report, line))?;
    exit.check(|| "set the answers of --debconf".to_owned())?;
    Ok(root.remove(ANSWERS.as_bytes())?)
}

/// Writes dpkg's configuration, before the first package is unpacked.
pub(crate) fn write_dpkg_options(context: &BuildContext<'_>) -> Result<(), Error> {
    let options = &context.customization.settings.dpkg_options;
    if options.is_empty() {
        return Ok(());
    }
    context.root.create_directories(b"etc/dpkg/dpkg.cfg.d", 0o755)?;
    Ok(context.root.write(b"etc/dpkg/dpkg.cfg.d/rootstrap", options.concat().as_bytes(), 0o644)?)
}
