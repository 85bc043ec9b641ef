//! `rootstrap init`: writes a manifest to start from.

use super::outcome::usage;
use crate::project_args::InitArgs;
use std::fs::OpenOptions;
use std::io::Write;

/// Runs the command and returns the exit status.
pub(crate) fn run(args: &InitArgs) -> u8 {
    let shown = args.file.display();
    // What is there stays.
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&args.file)
        .and_then(|mut file| file.write_all(rootstrap_project::TEMPLATE.as_bytes()));
    if written.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::AlreadyExists) {
        return usage(&format!(
            "cannot write {shown}: it exists already\nhint: add images to it, or name another file: rootstrap init FILE"
        ));
    }
    if let Err(error) = written {
        return usage(&format!("cannot write {shown}: {error}"));
    }
    let _ = writeln!(std::io::stderr(), "wrote {shown}: name images in it, then run rootstrap build");
    0
}
