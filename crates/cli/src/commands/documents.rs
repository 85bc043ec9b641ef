//! `rootstrap completions` and `rootstrap man-pages`: what shells and man(1) say about the arguments, from their definitions.

use super::outcome::usage;
use clap::Command;
use clap_complete::Shell;
use std::io::Write;
use std::path::PathBuf;

/// The arguments of `rootstrap completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// The arguments of `rootstrap man-pages`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManPages {
    /// An existing directory
    directory: PathBuf,
}

/// Prints what completes the arguments of `program` in a shell, and returns the exit status.
pub(crate) fn completions(args: &Completions, mut program: Command) -> u8 {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut program, "rootstrap", &mut text);
    match std::io::stdout().write_all(&text) {
        Ok(()) => 0,
        Err(error) => usage(&format!("cannot write to standard output: {error}")),
    }
}

/// Writes the manual page of `program` and one for each of its commands, and returns the exit status.
pub(crate) fn man_pages(args: &ManPages, program: Command) -> u8 {
    match clap_mangen::generate_to(program, &args.directory) {
        Ok(()) => 0,
        Err(error) => usage(&format!("cannot write manual pages into {}: {error}", args.directory.display())),
    }
}
