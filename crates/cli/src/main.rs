//! rootstrap: a working Debian or Ubuntu root filesystem in one command.
//!
//! This package only reads arguments and writes messages and the exit status. `rootstrap-bootstrap` does the work.

mod access_args;
mod args;
mod change_list;
mod color;
mod commands;
mod compare_args;
mod container;
mod copy;
mod debootstrap;
mod difference_list;
mod display;
#[cfg(test)]
mod docs_tests;
mod environment;
mod filesystem_args;
mod hook_args;
mod lock_args;
mod log;
mod manifest;
mod metadata;
mod mmdebstrap;
mod mode;
mod network_args;
mod outdated_args;
mod peer;
mod plan_args;
mod plan_text;
mod progress;
mod project_args;
mod request_args;
mod root_args;
mod run_args;
mod secrets;
mod stdout;
mod system_args;
mod task;
mod text_file;
mod trace;
mod treemap;
mod verbosity;
mod visible;

use clap::{CommandFactory, Parser};
use commands::bootstrap::Given;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    end_on_panic();
    keep_own_rights();
    // This binary is also the first process of its own sandbox.
    let invocation = rootstrap_bootstrap::enter_if_asked();
    if let Some(words) = peer::words_of(&invocation.arguments, "debootstrap") {
        return debootstrap::run(words, &invocation).into();
    }
    let arguments = match mmdebstrap::arguments(&invocation) {
        Ok(arguments) => arguments,
        Err(code) => return code.into(),
    };
    let line = args::CommandLine::try_parse_from(arguments).unwrap_or_else(|error| error.exit());
    let streams = line.streams();
    if line.prints() && stdout::was_closed() {
        let _ = std::io::stderr().write_all(b"error: cannot write to standard output: it is closed\n");
        return 2.into();
    }
    let code = match (line.command, line.bootstrap) {
        (Some(args::Command::Image(args)), _) => commands::image::run(*args, &invocation),
        (Some(args::Command::SecondStage(args)), _) => commands::second_stage::run(&args, &invocation),
        (Some(args::Command::Cache(args)), _) => commands::cache::run(args),
        (Some(args::Command::Diff(args)), _) => commands::diff::run(&args),
        (Some(args::Command::Verify(args)), _) => commands::verify::run(&args, &invocation),
        (Some(args::Command::Enter(args)), _) => commands::enter::run(&args, &invocation),
        (Some(args::Command::Outdated(args)), _) => commands::outdated::run(&args),
        (Some(args::Command::Lock(args)), _) if args.all => commands::lock_images::run(&args),
        (Some(args::Command::Lock(args)), _) => commands::lock::run(*args),
        (Some(args::Command::Plan(args)), _) => commands::plan::plan(&args),
        (Some(args::Command::Why(args)), _) => commands::plan::why(&args),
        (Some(args::Command::WhyNot(args)), _) => commands::plan::why_not(&args),
        (Some(args::Command::Suites(args)), _) => commands::suites::run(&args),
        (Some(args::Command::Doctor(args)), _) => commands::doctor::run(&args, &invocation),
        (Some(args::Command::Init(args)), _) => commands::init::run(&args),
        (Some(args::Command::Build(args)), _) => commands::build::run(&args, &invocation),
        (Some(args::Command::Completions(args)), _) => {
            commands::documents::completions(&args, args::CommandLine::command())
        }
        (Some(args::Command::ManPages(args)), _) => commands::documents::man_pages(&args, args::CommandLine::command()),
        (Some(args::Command::Debootstrap(args)), _) => debootstrap::run(&args.arguments, &invocation),
        // This was translated above.
        (Some(args::Command::Mmdebstrap(_)), _) => 2,
        (Some(args::Command::Translate(args)), _) => commands::translate::run(&args),
        (Some(args::Command::Matrix(args)), _) => commands::matrix::run(&args),
        (Some(args::Command::MergeMetadata(args)), _) => commands::merge_metadata::run(&args),
        (None, Some(args)) => {
            let (packages, downloads, settings) = (line.packages, line.downloads, line.settings);
            let given = Given { packages, downloads, settings, shared: line.shared };
            commands::bootstrap::run(args, given, &invocation)
        }
        // clap reports a missing suite before this.
        (None, None) => 2,
    };
    if code != 0 && streams {
        break_off();
    }
    code.into()
}

/// Ends the process when one of its threads panics, because others could wait for that thread for ever. The process that started this one
/// for the work says so, and removes what is left.
fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

/// Takes from the caller's umask what would keep this process from its own new files.
fn keep_own_rights() {
    let others = rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO;
    // The mask can only be read by setting one.
    let mask = rustix::process::umask(others);
    rustix::process::umask(mask & others);
}

/// Breaks the stream on standard output off in a way that no reader takes for the end of an archive. This is needed even before the first
/// byte, because `docker import` takes an empty stream for an empty image.
fn break_off() {
    let mut out = std::io::stdout();
    if !out.is_terminal() {
        let _ = rootstrap_bootstrap::spoil(&mut out);
    }
}
