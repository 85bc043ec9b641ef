//! `rootstrap image SOURCE [TARGET]`: makes a container image, or any other format, from an existing root filesystem.

use super::deadline::Deadline;
use super::outcome::{ended, fail, open_log, usage};
use super::rights::{apply, credentials, epoch, pass_signals_to, report_mode, stop_on_signals};
use crate::args::Image;
use crate::environment;
use crate::metadata::MetadataFile;
use crate::progress::Progress;
use rootstrap_bootstrap::privilege::{self, Held, Invocation, Rights};
use rootstrap_bootstrap::{Error, Event, FormatName, Machine, Output, Summary};
use std::path::Path;

/// Runs the command and returns the exit status.
pub(crate) fn run(args: Image, invocation: &Invocation) -> u8 {
    let verbosity = args.shared.run.verbosity.clone();
    let log = match open_log(&verbosity) {
        Ok(log) => log,
        Err(code) => return code,
    };
    let metadata = match MetadataFile::new(args.shared.metadata_file.clone(), "", args.target.as_deref()) {
        Ok(metadata) => metadata,
        Err(problem) => return usage(&problem),
    };
    let (source, mode, architecture) = (args.source.clone(), args.shared.root.mode, args.arch.clone());
    let deadline = args.shared.run.deadline;
    let machine = match machine(&args) {
        Ok(machine) => machine,
        Err(error) => return fail(&error, None),
    };
    let mut output = match output(args) {
        Ok(output) => output,
        Err(problem) => return usage(&problem),
    };
    if let Err(error) = output.check(architecture.as_deref()) {
        return fail(&error, None);
    }
    let secret = match credentials(&mut output.push, invocation) {
        Ok(secret) => secret,
        Err(error) => return fail(&error, None),
    };
    let held: Result<Held, String> = match privilege::enter(invocation, mode, &secret, &pass_signals_to) {
        Ok(Rights::Here(held)) => Ok(held),
        Ok(Rights::Elsewhere(how)) => return ended(how),
        // A tree that this user may read can be packed. Its files get the owners that this user sees.
        Err(error) if mode.is_none() && source.is_dir() => Err(error.to_string()),
        Err(error) => return fail(&error.into(), None),
    };
    let deadline = Deadline::begin(deadline, &machine.cancel);
    let progress = Progress::new(&verbosity, log);
    let made = make(&source, architecture.as_deref(), (&output, machine), held, (&progress, metadata.as_ref()));
    match MetadataFile::write(metadata.as_ref(), made.map_err(|error| deadline.or(error))) {
        Ok(summary) => {
            progress.summary(&summary);
            0
        }
        Err(error) => {
            progress.end();
            fail(&error, None)
        }
    }
}

/// Makes what is asked for.
fn make(
    source: &Path,
    architecture: Option<&str>,
    (output, mut machine): (&Output, Machine),
    held: Result<Held, String>,
    (progress, metadata): (&Progress, Option<&MetadataFile>),
) -> Result<Summary, Error> {
    stop_on_signals(&machine.cancel);
    let report = |event| {
        metadata.iter().for_each(|metadata| metadata.event(&event));
        progress.event(&event);
    };
    match held {
        Ok(held) => {
            apply(&held, &mut machine);
            report_mode(&held, &report);
        }
        Err(obstacle) => {
            privilege::raise_descriptor_limit();
            report(Event::Note(format!("continuing without rights of its own: {obstacle}")));
        }
    }
    rootstrap_bootstrap::image(source, architecture, output, &machine, &report)
}

fn output(args: Image) -> Result<Output, String> {
    let target = args.shared.container.target(args.target.as_deref(), FormatName::Oci)?;
    let push = args.shared.container.push(&target);
    let (filesystem, container) = (args.shared.filesystem.filesystem(), args.shared.container.container());
    Ok(Output { push, filesystem, container, epoch: epoch()?, ..Output::new(target) })
}

fn machine(args: &Image) -> Result<Machine, Error> {
    let mut machine = Machine::new(environment::host(), environment::now());
    args.shared.run.network.apply(&mut machine)?;
    args.shared.root.apply(&mut machine);
    machine.temporary = environment::temporary_directory();
    Ok(machine)
}
