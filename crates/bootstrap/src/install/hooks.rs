//! Runs the user's own commands at their moments.

use crate::error::Error;
use crate::install::context::BuildContext;
use crate::install::output::report_line;
use crate::install::sandbox::start;
use crate::install::special_hooks;
use crate::request::{Hook, Moment};
use rootstrap_configure::{self as configure, Exit, Sandbox, hook};
use rootstrap_rootfs::{Kind, Root};
use std::path::Path;

/// Runs the hooks of a moment, in their order. `sandbox` runs those inside, unless they need the network: these get a sandbox of their own.
pub(crate) fn run(context: &BuildContext<'_>, moment: Moment, mut sandbox: Option<&mut Sandbox>) -> Result<(), Error> {
    let hooks: Vec<&Hook> = context.customization.hooks.iter().filter(|hook| hook.moment == moment).collect();
    if hooks.is_empty() {
        return Ok(());
    }
    let root = context.staging.show(context.machine)?;
    let resolver = if context.customization.hook_network { Resolver::install(context)? } else { None };
    for hook in hooks {
        if let Some(special) = hook.special() {
            special_hooks::run(context, hook, &special)?;
            continue;
        }
        let exit = match (hook.is_inside, &mut sandbox) {
            (false, _) => outside(context, hook, &root),
            (true, Some(sandbox)) if !context.customization.hook_network => inside(context, hook, sandbox),
            // A root in which no script runs has no sandbox; `check` refuses such hooks.
            (true, _) => inside(context, hook, &mut start(context, true)?),
        };
        let name = format!("the {moment} hook `{}`", hook.command);
        let exit = exit.map_err(|error| match error {
            configure::Error::TimedOut { seconds, tail, .. } => {
                configure::Error::TimedOut { what: name.clone(), seconds, tail }
            }
            error => error,
        })?;
        exit.check(|| format!("run {name}"))?;
    }
    if let Some(resolver) = resolver {
        resolver.remove()?;
    }
    Ok(())
}

fn inside(context: &BuildContext<'_>, hook: &Hook, sandbox: &mut Sandbox) -> Result<Exit, configure::Error> {
    sandbox.run(&["/bin/sh", "-c", &hook.command], &[], &mut |line| report_line(context.report, line))
}

/// Runs a command of the host, which gets the path of the root as its first argument.
fn outside(context: &BuildContext<'_>, hook: &Hook, root: &Path) -> Result<Exit, configure::Error> {
    let &BuildContext { customization, suite, epoch, machine, report, .. } = context;
    let mode = machine.mode.name().to_owned();
    let moment = hook.moment.name().to_owned();
    let environment = [
        ("ROOTSTRAP_HOOK", moment.clone()),
        ("ROOTSTRAP_MODE", mode.clone()),
        ("ROOTSTRAP_SUITE", suite.codename.clone()),
        ("SOURCE_DATE_EPOCH", epoch.to_string()),
        // By these names, hooks that were written for mmdebstrap look for the same.
        ("MMDEBSTRAP_HOOK", moment),
        ("MMDEBSTRAP_MODE", mode),
        ("MMDEBSTRAP_SUITE", suite.codename.clone()),
    ];
    let hook = hook::Hook {
        mode: machine.mode,
        root,
        command: &hook.shell_command(),
        environment: &environment,
        has_network: customization.hook_network,
        timeout: customization.script_timeout,
        cancel: &machine.cancel,
    };
    hook::run(&hook, &mut |line| report_line(report, line))
}

/// The host's resolver, in the root while hooks with the network run.
struct Resolver<'r> {
    root: &'r Root,
    text: &'r str,
}

const RESOLV_CONF: &[u8] = b"etc/resolv.conf";

impl<'r> Resolver<'r> {
    /// Writes the host's resolv.conf, if the root has a directory for it and none of its own.
    fn install(context: &BuildContext<'r>) -> Result<Option<Self>, Error> {
        let root = context.root;
        if root.metadata(RESOLV_CONF)?.is_some() || root.metadata(b"etc")?.is_none() {
            return Ok(None);
        }
        let text = context.machine.host.resolv_conf.as_str();
        root.write(RESOLV_CONF, text.as_bytes(), 0o644)?;
        Ok(Some(Self { root, text }))
    }

    /// Removes the file, unless a hook has put another one in its place.
    fn remove(self) -> Result<(), Error> {
        let is_file = self.root.metadata(RESOLV_CONF)?.is_some_and(|found| found.kind == Kind::File);
        if is_file && self.root.read(RESOLV_CONF)?.as_deref() == Some(self.text.as_bytes()) {
            self.root.remove(RESOLV_CONF)?;
        }
        Ok(())
    }
}
