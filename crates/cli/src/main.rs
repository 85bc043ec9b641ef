//! rootstrap: a working Debian or Ubuntu root filesystem in one command.
//!
//! Words only: arguments in, messages and exit status out. What is done is in `rootstrap-bootstrap`.

mod args;
mod commands;
mod container;
mod log;
mod progress;
mod surroundings;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // This binary is also the inside of its own sandbox.
    let arguments = rootstrap_bootstrap::enter_if_asked();
    let line = args::CommandLine::parse_from(&arguments);
    match (line.command, line.bootstrap) {
        (Some(args::Command::Image(args)), _) => commands::image::run(*args, &arguments),
        (Some(args::Command::SecondStage(args)), _) => commands::second_stage::run(&args, &arguments),
        (None, Some(args)) => commands::bootstrap::run(args, line.container, &arguments),
        // clap has said what is missing before it comes to this.
        (None, None) => ExitCode::from(2),
    }
}
