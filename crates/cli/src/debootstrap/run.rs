//! From a command line of debootstrap to a system, and to debootstrap's exit statuses: 0, or 1 for every failure.

use super::command_line::{Action, CommandLine, VERSION};
use super::host::host;
use super::messages::Messages;
use crate::args;
use crate::commands::bootstrap::{Problem, request};
use crate::commands::cache::close_cache;
use crate::commands::rights::{apply, pass_signals_to, stop_on_signals};
use crate::commands::{outcome, second_stage};
use crate::log::Log;
use clap::Parser;
use rootstrap_bootstrap::privilege::{self, Invocation, Rights};
use rootstrap_bootstrap::{Error, Plan, Request, remove_from_tree, write_in_tree};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

const HELP: &str = include_str!("help.txt");

/// Where debootstrap's users look for the log of a failure, and for that of a finished system.
const LOG: &str = "debootstrap/debootstrap.log";
const FINAL_LOG: &str = "var/log/bootstrap.log";

/// Does what `words`, the arguments after the program's name, ask for, and returns the exit status.
pub(crate) fn run(words: &[OsString], invocation: &Invocation) -> u8 {
    let line = match CommandLine::parse(words) {
        Ok(line) => line,
        Err(problem) => return refuse(&problem),
    };
    match &line.action {
        Action::Help => return print(HELP),
        Action::Version => {
            return print(&format!("debootstrap {VERSION} (rootstrap {})\n", env!("CARGO_PKG_VERSION")));
        }
        Action::SecondStage(directory) => {
            if line.keep_directory {
                // A directory with something in it stays.
                let _ = write_in_tree(directory, "debootstrap/.keep", b"");
            }
            let words = ["rootstrap".into(), "second-stage".into(), directory.clone().into_os_string()];
            return match args::CommandLine::try_parse_from(words).map(|line| line.command) {
                Ok(Some(args::Command::SecondStage(args))) => second_stage::run(&args, invocation).min(1),
                _ => 1,
            };
        }
        _ => {}
    }
    match work(&line, invocation) {
        Ok(code) => code,
        Err(problem) => refuse(&problem),
    }
}

fn refuse(problem: &str) -> u8 {
    print(&format!("E: {}\n", crate::visible::visible(problem).replace('\n', "\nE: ")));
    1
}

fn print(text: &str) -> u8 {
    u8::from(std::io::stdout().write_all(text.as_bytes()).is_err())
}

/// Does everything that needs packages.
fn work(line: &CommandLine, invocation: &Invocation) -> Result<u8, String> {
    let host = host().without_files_of(&line.target);
    let words = ["rootstrap".to_owned()].into_iter().chain(line.to_rootstrap(&host)?);
    let parsed = args::CommandLine::try_parse_from(words).map_err(|error| error.to_string())?;
    let args::CommandLine { bootstrap: Some(args), packages, downloads, settings, shared, .. } = parsed else {
        return Err("there is no suite".to_owned());
    };
    let mode = shared.root.mode;
    let machine = downloads.machine(&shared.run.network).map_err(|error| error.to_string())?;
    let mut request = request(args, (&packages, &settings), shared, machine).map_err(|problem| match problem {
        Problem::Usage(problem) => problem,
        Problem::Request(error) => text_of(&error),
    })?;
    let is_system = matches!(line.action, Action::Install | Action::FirstStage);
    if is_system {
        // Threads may start only once the rights are obtained.
        match privilege::enter(invocation, mode, "", &pass_signals_to) {
            Ok(Rights::Here(held)) => apply(&held, &mut request.machine),
            Ok(Rights::Elsewhere(how)) => return Ok(outcome::ended(how).min(1)),
            Err(error) => return Err(text_of(&error.into())),
        }
    }
    stop_on_signals(&request.machine.cancel);
    let log = Log::open(None).map_err(|error| format!("cannot write the log: {error}"))?;
    let messages = Messages::new(log, line.action == Action::PrintDebs);
    if !line.unused.is_empty() {
        messages.info(&format!("not needed here: {}", line.unused.join(", ")));
    }
    let (machine, cache_size) = (request.machine.clone(), downloads.cache_size);
    let done = act(line, request, &messages);
    close_cache(&machine, cache_size, &|event| messages.event(&event));
    if let Err(error) = &done {
        messages.error(error);
    }
    // A target that cannot be one gets no log either.
    let is_place = !line.target.canonicalize().is_ok_and(|path| path == Path::new("/"));
    if is_system && is_place {
        keep_log(line, &messages, done.is_ok());
    }
    Ok(u8::from(done.is_err()))
}

/// Returns an error with its hint.
fn text_of(error: &Error) -> String {
    let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!("{error}{hint}")
}

fn act(line: &CommandLine, mut request: Request, messages: &Messages) -> Result<(), Error> {
    let report = &|event| messages.event(&event);
    let unpacked = match &line.unpack_tarball {
        Some(path) => {
            // The lock inside says which keys signed what it names, and nothing proves that.
            messages
                .warning("Whoever made the archive of packages decides what is installed; no signature is looked at.");
            Some(rootstrap_bootstrap::unpack_debs(&mut request, path)?)
        }
        None => None,
    };
    match &line.action {
        Action::PrintDebs => {
            let plan = rootstrap_bootstrap::plan(&request, report)?;
            std::io::stdout().write_all(names(&plan).as_bytes()).map_err(Error::Stdout)?;
        }
        Action::DownloadOnly => rootstrap_bootstrap::download_to(&request, &line.target, report)?,
        Action::MakeTarball(path) => rootstrap_bootstrap::pack_debs(&request, path, report)?,
        _ => {
            rootstrap_bootstrap::bootstrap(&request, report)?;
            messages.info("Base system installed successfully.");
        }
    }
    drop(unpacked);
    Ok(())
}

/// Returns the names of the packages in one line.
fn names(plan: &Plan) -> String {
    plan.packages().map(|(_, package)| package.name.as_str()).collect::<Vec<_>>().join(" ") + "\n"
}

/// Puts the log where debootstrap's users look for it, and removes the one of an earlier failure. Who cannot write there finds it on the
/// terminal.
fn keep_log(line: &CommandLine, messages: &Messages, is_done: bool) {
    let write = |name: &str| drop(write_in_tree(&line.target, name, &messages.log.text()));
    if is_done && line.action == Action::Install {
        write(FINAL_LOG);
    }
    if !is_done || line.keep_directory {
        let _ = std::fs::create_dir_all(&line.target);
        write(LOG);
    } else {
        let _ = remove_from_tree(&line.target, LOG);
    }
}
