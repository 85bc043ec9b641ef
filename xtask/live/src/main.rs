//! The chores that need the vendors' archives, the other tools and heavy libraries. `cargo xtask CHORE` starts them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "chores talk to whoever runs them")]

mod arguments;
mod bench;
mod dist;
mod dpkgs;
mod elsewhere;
mod keyrings;
mod oracle;
mod project;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((chore, rest)) if chore == "keyrings" => keyrings::run(&project::directory(), rest),
        Some((chore, rest)) if chore == "oracle" => oracle::run(rest),
        Some((chore, rest)) if chore == "dpkgs" => dpkgs::run(rest),
        Some((chore, rest)) if chore == "elsewhere" => elsewhere::run(rest),
        Some((chore, rest)) if chore == "dist" => dist::run(rest),
        Some((chore, rest)) if chore == "bench" => bench::run(rest),
        // `bench` runs each part of the floor as a process of its own, to measure it in the same way as a tool.
        Some((chore, rest)) if chore == "bench-floor" => bench::floor::work(rest),
        _ => {
            eprintln!("usage: cargo xtask keyrings|oracle|dpkgs|elsewhere|bench|dist …");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
