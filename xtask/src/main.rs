//! The project's own chores: `cargo xtask CHORE`.
//!
//! `tidy` has almost no dependencies, so that it is built within seconds. The other chores are in the package
//! `xtask-live`, which cargo builds when one of them is run.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "chores talk to whoever runs them")]

mod cargo;
mod errors;
mod reliability;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask CHORE

  tidy                   check the house rules of ARCHITECTURE.md
  errors                 make docs/errors.md from the transcript of the tests
  keyrings [--from DIR]  renew keyrings/ from the vendors' packages
  oracle                 compare our trees with those of mmdebstrap and debootstrap
  dpkgs                  try how we unpack beside the dpkg of each suite
  elsewhere PROGRAM …    run a program as on another machine on another day
  dist                   build a release: static program, archive, Debian package, image, SBOM, checksums
  bench                  time us and our peers in turns
  hostile [--all]        try every attack and fault, and count them; --write: into docs/reliability.md
  fuzz SECONDS [PARSER…] fuzz the parsers; --write: into docs/reliability.md
";

/// The chores of the package `xtask-live`. `bench-floor` is what `bench` starts to measure this machine.
const LIVE: [&str; 7] = ["keyrings", "oracle", "dpkgs", "elsewhere", "dist", "bench", "bench-floor"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let result = match arguments.first().map(String::as_str) {
        Some("tidy") => tidy::run(&top()).map(|()| ExitCode::SUCCESS),
        Some("errors") => errors::run(&top()).map(|()| ExitCode::SUCCESS),
        Some("hostile") => reliability::hostile(&top(), rest).map(|()| ExitCode::SUCCESS),
        Some("fuzz") => reliability::fuzz(&top(), rest).map(|()| ExitCode::SUCCESS),
        Some(chore) if LIVE.contains(&chore) => live(&top(), &arguments),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

/// Runs a chore of `xtask-live` with these arguments and passes its exit status on.
fn live(top: &Path, arguments: &[String]) -> Result<ExitCode, String> {
    let mut cargo = cargo::cargo(top);
    cargo.args(["run", "--quiet", "--package", "xtask-live"]);
    let status = cargo.arg("--").args(arguments).status().map_err(|error| format!("cannot run cargo: {error}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The top of the source tree. Cargo names the directory of this package at run time.
fn top() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| "xtask".into())).join("..")
}
