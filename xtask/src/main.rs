//! The project's own chores: `cargo xtask NAME`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "chores talk to whoever runs them")]

mod bench;
mod keyrings;
mod oracle;
mod oracle_accepted;
mod oracle_apt;
mod oracle_build;
mod oracle_matrix;
mod oracle_requests;
mod source;
mod tidy;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask CHORE

  tidy                   check the house rules of ARCHITECTURE.md
  keyrings [--from DIR]  renew keyrings/ from the vendors' packages
  oracle                 compare our trees with those of mmdebstrap and debootstrap
  bench                  time us and our peers in turns
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((chore, rest)) = arguments.split_first() else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    let result = match chore.as_str() {
        "tidy" => tidy::run(&top()),
        "keyrings" => keyrings::run(&top(), rest),
        "oracle" => oracle::run(rest),
        "bench" => bench::run(rest),
        // A part of the floor, as a process of its own: what it takes is measured like a tool.
        "bench-floor" => bench::floor::work(rest),
        _ => {
            eprint!("{USAGE}");
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

/// The top of the source tree. Cargo names the directory of this package at run time.
fn top() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| "xtask".into())).join("..")
}
