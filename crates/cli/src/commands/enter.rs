//! `rootstrap enter`: a program in a root filesystem.

use super::outcome::{ended, fail, open_log};
use super::rights::{apply, pass_signals_to, report_mode, stop_on_signals};
use crate::args::Enter;
use crate::environment;
use crate::progress::Progress;
use rootstrap_bootstrap::Machine;
use rootstrap_bootstrap::privilege::{self, Invocation, Rights};

/// The variables of the caller that hold in the root too.
const VARIABLES: [&str; 8] =
    ["TERM", "COLORTERM", "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy", "SOURCE_DATE_EPOCH"];

/// Runs the command and returns its exit status.
pub(crate) fn run(args: &Enter, invocation: &Invocation) -> u8 {
    let log = match open_log(&args.verbosity) {
        Ok(log) => log,
        Err(code) => return code,
    };
    let held = match privilege::enter(invocation, args.mode, "", &pass_signals_to) {
        Ok(Rights::Here(held)) => held,
        Ok(Rights::Elsewhere(how)) => return ended(how),
        Err(error) => return fail(&error.into(), None),
    };
    let mut machine = Machine::new(environment::host(), environment::now());
    machine.temporary = environment::temporary_directory();
    stop_on_signals(&machine.cancel);
    let progress = Progress::new(&args.verbosity, log);
    let report = |event| progress.event(&event);
    apply(&held, &mut machine);
    report_mode(&held, &report);
    let own = |name: &&str| Some(((*name).to_owned(), environment::variable(name)?));
    let variables: Vec<(String, String)> = VARIABLES.iter().filter_map(own).collect();
    let entered = rootstrap_bootstrap::enter(&args.path, &args.command, &variables, &machine, &report);
    // The terminal is the command's now.
    progress.end();
    match entered.and_then(|root| root.run()) {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
        Err(error) => fail(&error, None),
    }
}
