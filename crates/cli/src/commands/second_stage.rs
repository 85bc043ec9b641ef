//! `rootstrap second-stage [DIR]`: finishes another tree in the sandbox, or this very system with the program that the first stage
//! wrote.

use super::cache::close_cache;
use super::deadline::Deadline;
use super::outcome::{ended, fail, open_log};
use super::rights::{apply, pass_signals_to, stop_on_signals};
use crate::args::SecondStage;
use crate::environment;
use crate::progress::Progress;
use rootstrap_bootstrap::Error;
use rootstrap_bootstrap::privilege::{self, Invocation, Rights};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The program that finishes a first stage, in its own system.
const PROGRAM: &str = "/rootstrap/second-stage";

/// Runs the command and returns the exit status.
pub(crate) fn run(args: &SecondStage, invocation: &Invocation) -> u8 {
    let directory = &args.directory;
    if std::fs::canonicalize(directory).is_ok_and(|path| path == Path::new("/")) {
        return run_program(args.run.verbosity.verbose);
    }
    let log = match open_log(&args.run.verbosity) {
        Ok(log) => log,
        Err(code) => return code,
    };
    let mut machine = match args.downloads.machine(&args.run.network) {
        Ok(machine) => machine,
        Err(error) => return fail(&error, None),
    };
    args.emulation.apply(&mut machine);
    match privilege::enter(invocation, None, "", &pass_signals_to) {
        Ok(Rights::Here(held)) => apply(&held, &mut machine),
        Ok(Rights::Elsewhere(how)) => return ended(how),
        Err(error) => return fail(&error.into(), None),
    }
    let machine = match args.downloads.with_remote(machine) {
        Ok(machine) => machine,
        Err(error) => return fail(&error, None),
    };
    stop_on_signals(&machine.cancel);
    let deadline = Deadline::begin(args.run.deadline, &machine.cancel);
    let progress = Progress::new(&args.run.verbosity, log);
    let report = |event| progress.event(&event);
    match rootstrap_bootstrap::second_stage(directory, &machine, &report) {
        Ok(()) => {
            close_cache(&machine, args.downloads.cache_size, &report);
            progress.finished(directory);
            0
        }
        Err(error) => {
            progress.end();
            let configuring = matches!(error, Error::Configure(_));
            let log = configuring.then(|| progress.log().keep(&environment::temporary_directory())).flatten();
            let code = fail(&deadline.or(error), log);
            if configuring {
                let text = "hint: repair this and start the second stage again; it continues where it stopped\n";
                let _ = std::io::stderr().write_all(text.as_bytes());
            }
            code
        }
    }
}

/// Replaces this process with the program. Returns only if that fails.
fn run_program(verbose: bool) -> u8 {
    let problem = match Path::new(PROGRAM).exists() {
        true => Command::new("/bin/sh").arg(PROGRAM).args(verbose.then_some("--verbose")).exec().to_string(),
        false => "it does not exist, so this system is no first stage or is already finished".to_owned(),
    };
    let _ = writeln!(std::io::stderr(), "error: cannot run {PROGRAM}: {problem}");
    2
}
