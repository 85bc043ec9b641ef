//! `rootstrap image SOURCE [TARGET]`: a root filesystem that is there as a container image, or in any other form.

use super::bootstrap::{credentials, epoch, fail, pass_signals_to, say_mode, stop_on_signals, usage};
use crate::args::Image;
use crate::log::Log;
use crate::progress::{Level, Progress};
use crate::surroundings;
use rootstrap_bootstrap::privilege::{self, Held, Rights};
use rootstrap_bootstrap::{Event, Request, Word};
use std::ffi::OsString;

/// Runs the command and says how it went.
pub(crate) fn run(args: Image, arguments: &[OsString]) -> u8 {
    let level = Level::of(args.quiet, args.verbose);
    let (source, mode) = (args.source.clone(), args.mode);
    let log = match Log::open(args.log.as_deref()) {
        Ok(log) => log,
        Err(error) => return usage(&format!("cannot write the log: {error}")),
    };
    let mut request = match request(args) {
        Ok(request) => request,
        Err(problem) => return usage(&problem),
    };
    let secret = match credentials(&mut request) {
        Ok(secret) => secret,
        Err(error) => return fail(&error, None),
    };
    let held: Result<Held, String> = match privilege::enter(mode, arguments, &secret, &pass_signals_to) {
        Ok(Rights::Here(held)) => Ok(held),
        Ok(Rights::Elsewhere(code)) => return code,
        // What may be read can be packed; owners are then as they are seen from here.
        Err(error) if mode.is_none() && source.is_dir() => Err(error.to_string()),
        Err(error) => return fail(&error.into(), None),
    };
    stop_on_signals(&request.cancel);
    let progress = Progress::new(level, log);
    let report = |event| progress.event(&event);
    match held {
        Ok(held) => say_mode(&held, &report),
        Err(obstacle) => report(Event::Note(format!("going on without rights of its own: {obstacle}"))),
    }
    match rootstrap_bootstrap::image(&source, &request, &report) {
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

fn request(args: Image) -> Result<Request, String> {
    let target = args.container.target(args.target.as_deref(), Word::Oci)?;
    if args.arch.is_some() && target.layer().is_none() && args.container.push.is_empty() {
        return Err("cannot use --arch: it is said of container images, and TARGET is none".into());
    }
    Ok(Request {
        push: args.container.push.clone(),
        compression: args.container.layer(&target),
        insecure_registry: args.container.insecure_registry,
        container: args.container.container(),
        architecture: args.arch,
        epoch: epoch()?,
        host: surroundings::host(),
        staging: args.staging.into(),
        temporary: surroundings::temporary_directory(),
        sync: args.sync == "yes",
        ..Request::new("", target, surroundings::now())
    })
}
