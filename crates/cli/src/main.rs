//! rootstrap: a working Debian or Ubuntu root filesystem in one command.
//!
//! Words only: arguments in, messages and exit status out. What is done is in `rootstrap-bootstrap`.

mod args;
mod commands;
mod log;
mod progress;
mod surroundings;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    // This binary is also the inside of its own sandbox.
    let arguments = rootstrap_bootstrap::enter_if_asked();
    let args = args::Args::parse_from(&arguments);
    commands::bootstrap::run(args, &arguments)
}
