//! `rootstrap second-stage [DIR]`: this very system by the program that the first stage wrote, another tree in the sandbox.

use super::bootstrap::{fail, pass_signals_to, stop_on_signals, usage};
use crate::args::SecondStage;
use crate::log::Log;
use crate::progress::{Level, Progress};
use crate::surroundings;
use rootstrap_bootstrap::Error;
use rootstrap_bootstrap::privilege::{self, Rights};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// The program of a first stage, in its own system.
const PROGRAM: &str = "/rootstrap/second-stage";

/// Runs the command and says how it went.
pub(crate) fn run(args: &SecondStage, arguments: &[OsString]) -> u8 {
    let directory = &args.directory;
    if std::fs::canonicalize(directory).is_ok_and(|path| path == Path::new("/")) {
        return run_program(args.verbose);
    }
    let log = match Log::open(args.log.as_deref()) {
        Ok(log) => log,
        Err(error) => return usage(&format!("cannot write the log: {error}")),
    };
    match privilege::enter(None, arguments, "", &pass_signals_to) {
        Ok(Rights::Here(_)) => {}
        Ok(Rights::Elsewhere(code)) => return code,
        Err(error) => return fail(&error.into(), None),
    }
    let cancel = Arc::default();
    stop_on_signals(&cancel);
    let progress = Progress::new(Level::of(args.quiet, args.verbose), log);
    let report = |event| progress.event(&event);
    match rootstrap_bootstrap::second_stage(directory, &surroundings::host(), cancel, &report) {
        Ok(()) => {
            progress.finished(directory);
            0
        }
        Err(error) => {
            progress.end();
            let configuring = matches!(error, Error::Configure(_));
            let log = configuring.then(|| progress.log().keep(&surroundings::temporary_directory())).flatten();
            let code = fail(&error, log);
            if configuring {
                let text = "hint: put it right, then start the second stage again: it goes on where it stopped\n";
                let _ = std::io::stderr().write_all(text.as_bytes());
            }
            code
        }
    }
}

/// Becomes the program, whose words they are from then on.
fn run_program(verbose: bool) -> u8 {
    let problem = match Path::new(PROGRAM).exists() {
        true => Command::new("/bin/sh").arg(PROGRAM).args(verbose.then_some("--verbose")).exec().to_string(),
        false => "there is none, so this system is no first stage, or finished already".to_owned(),
    };
    let _ = writeln!(std::io::stderr(), "error: cannot run {PROGRAM}: {problem}");
    2
}
