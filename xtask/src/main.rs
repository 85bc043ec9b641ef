//! The project's own chores.
#![allow(clippy::print_stderr, reason = "a program for its developers talks to their terminal")]

mod bench;
mod bench_report;
mod oracle;
mod oracle_accepted;
mod oracle_build;
mod tree;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.split_first() {
        Some((chore, rest)) if chore == "oracle" => oracle::run(rest),
        Some((chore, rest)) if chore == "bench" => bench::run(rest),
        _ => Err("usage: cargo xtask oracle|bench".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
