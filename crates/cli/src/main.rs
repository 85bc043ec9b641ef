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
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

fn main() -> ExitCode {
    // This binary is also the inside of its own sandbox.
    let arguments = rootstrap_bootstrap::enter_if_asked();
    let line = match args::CommandLine::try_parse_from(&arguments) {
        Ok(line) => line,
        Err(error) => {
            if error.use_stderr() && seem_to_stream(&arguments) {
                break_off();
            }
            error.exit()
        }
    };
    let streams = line.streams();
    let code = match (line.command, line.bootstrap) {
        (Some(args::Command::Image(args)), _) => commands::image::run(*args, &arguments),
        (Some(args::Command::SecondStage(args)), _) => commands::second_stage::run(&args, &arguments),
        (Some(args::Command::Cache(args)), _) => commands::cache::run(args),
        (None, Some(args)) => commands::bootstrap::run(args, line.container, &arguments),
        // clap has said what is missing before it comes to this.
        (None, None) => 2,
    };
    if code != 0 && streams {
        break_off();
    }
    code.into()
}

/// No stream at all would be an empty image to `docker import`, and one that ends between two entries a whole one.
fn break_off() {
    let mut out = std::io::stdout();
    if !out.is_terminal() {
        let _ = rootstrap_bootstrap::spoil(&mut out);
    }
}

/// Whether words that make no sense were to write an archive to standard output.
fn seem_to_stream(arguments: &[OsString]) -> bool {
    let has = |wanted: &str| arguments.iter().any(|word| word == wanted);
    has("-") || has("--image") || arguments.get(1).is_some_and(|word| word == "image")
}
