//! How a command ends: messages on standard error, and the exit status.

use crate::color;
use crate::log::Log;
use crate::verbosity::Verbosity;
use crate::visible::visible;
use rootstrap_bootstrap::Error;
use rootstrap_bootstrap::privilege::Ended;
use signal_hook::consts::{SIGABRT, SIGBUS, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGSEGV, SIGTERM, SIGXCPU, SIGXFSZ};
use std::error::Error as _;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Prints a problem with the command line. Returns the exit status.
pub(crate) fn usage(problem: &str) -> u8 {
    complain(&format!("error: {}\n", visible(problem)));
    2
}

/// Writes lines to standard error, with colours where they are wanted.
pub(crate) fn complain(text: &str) {
    let _ = std::io::stderr().write_all(color::paint(text, color::is_on()).as_bytes());
}

/// Opens the log. If that fails, says why and returns the exit status.
pub(crate) fn open_log(verbosity: &Verbosity) -> Result<Log, u8> {
    let failed = |what: &str, path: &Path, error: std::io::Error| {
        usage(&format!("cannot write the {what} {}: {error}", path.display()))
    };
    let path = verbosity.log.as_deref();
    let log = Log::open(path).map_err(|error| failed("log", path.unwrap_or(Path::new("")), error))?;
    match &verbosity.trace {
        Some(path) => log.with_trace(path).map_err(|error| failed("trace", path, error)),
        None => Ok(log),
    }
}

/// Says how the process that did the work ended, if it could not say so itself. Returns the exit status.
pub(crate) fn ended(ended: Ended) -> u8 {
    let signal = match ended {
        Ended::Exited(code) => return code,
        Ended::Killed(SIGINT | SIGTERM | SIGHUP) => {
            complain("error: interrupted\n");
            return 130;
        }
        Ended::Killed(signal) => signal,
    };
    let name = signal_hook::low_level::signal_name(signal).map(|name| format!(" ({name})")).unwrap_or_default();
    let mut text = format!("error: cannot go on: the process that did the work was killed by signal {signal}{name}\n");
    let hint = match signal {
        SIGKILL => "the kernel kills when memory runs out (see dmesg): use --staging=disk, or allow more memory",
        SIGXFSZ => "a limit on the size of files was exceeded: see `ulimit -f`",
        SIGXCPU => "a limit on the time of processors was exceeded: see `ulimit -t`",
        SIGABRT => {
            "if it says above that an allocation failed, allow more memory (`ulimit -v`); else this is a bug: please report it"
        }
        SIGSEGV | SIGBUS | SIGILL => "this is a bug: please report it",
        _ => "",
    };
    if !hint.is_empty() {
        text.push_str(&format!("hint: {hint}\n"));
    }
    complain(&text);
    1
}

/// Prints an error, its causes, where the whole log is, and what to do, each once. Returns the exit status.
pub(crate) fn fail(error: &Error, log: Option<PathBuf>) -> u8 {
    let mut text = format!("error: {}\n", visible(&error.to_string()));
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("  because: {}\n", visible(&error.to_string())));
        cause = error.source();
    }
    if let Some(log) = log {
        text.push_str(&format!("the whole log is in {}\n", log.display()));
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("hint: {}\n", visible(&hint)));
    }
    complain(&text);
    error.exit_code()
}
