//! `rootstrap verify`: builds a root again from its lock, and lists how the two differ.

use super::cache::close_cache;
use super::deadline::Deadline;
use super::outcome::{ended, fail, open_log};
use super::rights::{apply, credentials, pass_signals_to, report_mode, stop_on_signals};
use crate::compare_args::VerifyArgs;
use crate::difference_list::write;
use crate::progress::Progress;
use rootstrap_bootstrap::privilege::{self, Invocation, Rights};
use rootstrap_bootstrap::{Error, Push, RootDifference, VerifyOptions, registry_name};
use std::io::Write;

/// The exit status if the two differ.
const DIFFERENT: u8 = 4;

/// Runs the command and returns the exit status.
pub(crate) fn run(args: &VerifyArgs, invocation: &Invocation) -> u8 {
    let log = match open_log(&args.run.verbosity) {
        Ok(log) => log,
        Err(code) => return code,
    };
    let mut machine = match args.downloads.machine(&args.run.network) {
        Ok(machine) => machine,
        Err(error) => return fail(&error, None),
    };
    let names = registry_name(&args.path).map(str::to_owned).into_iter().collect();
    let mut registry = Push { names, insecure: args.insecure_registry, ..Push::default() };
    let secret = match credentials(&mut registry, invocation) {
        Ok(secret) => secret,
        Err(error) => return fail(&error, None),
    };
    let held = match privilege::enter(invocation, args.mode, &secret, &pass_signals_to) {
        Ok(Rights::Here(held)) => held,
        Ok(Rights::Elsewhere(how)) => return ended(how),
        Err(error) => return fail(&error.into(), None),
    };
    let deadline = Deadline::begin(args.run.deadline, &machine.cancel);
    stop_on_signals(&machine.cancel);
    let progress = Progress::new(&args.run.verbosity, log);
    let report = |event| progress.event(&event);
    apply(&held, &mut machine);
    let machine = match args.downloads.with_remote(machine) {
        Ok(machine) => machine,
        Err(error) => return fail(&error, None),
    };
    report_mode(&held, &report);
    let customization = match args.system.customization(false, &args.copy) {
        Ok(customization) => customization,
        Err(error) => return fail(&error, None),
    };
    let options = VerifyOptions {
        lock: args.lock.clone(),
        sources: args.trust.sources_with("", args.mirror.clone()),
        architecture: args.arch.clone(),
        image: args.image,
        registry,
        customization,
        container: args.settings.clone().container(),
    };
    let result = rootstrap_bootstrap::verify(&args.path, &options, &machine, &report);
    close_cache(&machine, args.downloads.cache_size, &report);
    progress.end();
    match result {
        Ok(roots) => print(args, &roots),
        Err(error) => {
            // The message has the last lines of a failing script; the user may want the others too.
            let log = matches!(error, Error::Configure(_)).then(|| progress.log().keep(&machine.temporary)).flatten();
            fail(&deadline.or(error), log)
        }
    }
}

fn print(args: &VerifyArgs, roots: &[RootDifference]) -> u8 {
    let name = args.path.display().to_string();
    let text = write([&name, "its rebuild"], roots, args.list.list_format(), args.list.limit);
    if let Err(error) = std::io::stdout().write_all(text.as_bytes()) {
        return fail(&Error::Stdout(error), None);
    }
    if roots.iter().all(RootDifference::is_empty) { 0 } else { DIFFERENT }
}
