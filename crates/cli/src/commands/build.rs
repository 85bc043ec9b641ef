//! `rootstrap build`: makes the images of a manifest.

use super::bootstrap::Problem;
use super::cache::close_cache;
use super::deadline::Deadline;
use super::outcome::{ended, fail, open_log, usage};
use super::rights::{apply, pass_signals_to, report_mode, stop_on_signals};
use crate::environment;
use crate::manifest::Manifest;
use crate::progress::Progress;
use crate::project_args::BuildArgs;
use crate::visible::visible;
use rootstrap_bootstrap::privilege::{self, Invocation, Rights};
use rootstrap_bootstrap::{Error, Event, FetchEvent, Machine, Push};
use rootstrap_project::{BuildOptions, ImageReport, Job, Shard, State};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// Runs the command and returns the exit status.
pub(crate) fn run(args: &BuildArgs, invocation: &Invocation) -> u8 {
    let log = match open_log(&args.run.verbosity) {
        Ok(log) => log,
        Err(code) => return code,
    };
    let mut work = match Work::find(args, invocation) {
        Ok(work) => work,
        Err(Problem::Usage(problem)) => return usage(&problem),
        Err(Problem::Request(error)) => return fail(&error, None),
    };
    let secret = match credentials(&mut work.jobs, invocation) {
        Ok(secret) => secret,
        Err(error) => return fail(&error, None),
    };
    // Threads may start only once the rights are obtained.
    let held = match privilege::enter(invocation, args.root.mode, &secret, &pass_signals_to) {
        Ok(Rights::Here(here)) => here,
        Ok(Rights::Elsewhere(how)) => return ended(how),
        Err(error) => return fail(&error.into(), None),
    };
    apply(&held, &mut work.machine);
    work.machine = match args.downloads.with_remote(work.machine) {
        Ok(machine) => machine,
        Err(error) => return fail(&error, None),
    };
    for machine in work.jobs.iter_mut().map(|job| &mut job.request.machine) {
        (machine.mode, machine.janitor) = (held.mode, held.janitor.clone());
        machine.remote.clone_from(&work.machine.remote);
    }
    let progress = Progress::new(&args.run.verbosity, log);
    let deadline = Deadline::begin(args.run.deadline, &work.machine.cancel);
    stop_on_signals(&work.machine.cancel);
    report_mode(&held, &|event| progress.event(&event));
    let made = make(args, &work, &progress);
    // A run that was stopped says so, although each image has its line.
    let made = match work.machine.cancel.load(Ordering::Relaxed) {
        true => Err(Error::Cancelled),
        false => made,
    };
    made.unwrap_or_else(|error| {
        progress.end();
        fail(&deadline.or(error), None)
    })
}

/// What is to be done.
struct Work {
    jobs: Vec<Job>,
    machine: Machine,
    /// Where the report goes.
    metadata_file: Option<PathBuf>,
}

impl Work {
    /// Reads the manifest. In the process that makes the images, the working directory is that of the manifest afterwards.
    fn find(args: &BuildArgs, invocation: &Invocation) -> Result<Self, Problem> {
        let manifest = Manifest::read(&args.images.file)?;
        let mut images = manifest.select(&args.images)?;
        if let Some(text) = &args.shard {
            let shard =
                Shard::parse(text, &environment::variable).map_err(|error| Problem::Usage(error.to_string()))?;
            images.retain(|image| shard.has(&image.name));
        }
        let machine = args.downloads.machine(&args.run.network).map_err(Problem::Request)?;
        let here = manifest.enter()?;
        let metadata_file = args.metadata_file.as_ref().map(|path| here.join(path));
        let jobs: Result<Vec<Job>, Problem> =
            images.into_iter().map(|image| manifest.job(image, args, machine.clone())).collect();
        if invocation.handover.is_none() {
            // The process that goes on has to find the manifest as this one did.
            let failed = |error| Problem::Usage(format!("cannot change the working directory: {error}"));
            std::env::set_current_dir(here).map_err(failed)?;
        }
        Ok(Self { jobs: jobs?, machine, metadata_file })
    }
}

/// Finds the credentials for all images in the first process, as for one image. Returns what the other process has to know.
fn credentials(jobs: &mut [Job], invocation: &Invocation) -> Result<String, Error> {
    let pushes = || jobs.iter().map(|job| &job.request.output.push);
    let names = pushes().flat_map(|push| push.names.iter().cloned()).collect();
    let mut all = Push { names, ..Push::default() };
    let secret = super::rights::credentials(&mut all, invocation)?;
    let mut found = all.credentials.into_iter();
    for push in jobs.iter_mut().map(|job| &mut job.request.output.push) {
        push.credentials = found.by_ref().take(push.names.len()).collect();
    }
    Ok(secret)
}

/// Makes the images, says what became of them, and returns the exit status.
fn make(args: &BuildArgs, work: &Work, progress: &Progress) -> Result<u8, Error> {
    let Work { jobs, machine, metadata_file } = work;
    let &BuildArgs { changed, keep_going, download_only, locked, .. } = args;
    let options = BuildOptions { changed, keep_going, download_only, locked };
    let events = |name: Option<&str>, event: Event| {
        progress.trace(name, &event);
        if let Some(event) = of_image(name, event) {
            progress.show(&event);
        }
    };
    let report = rootstrap_project::build(jobs, options, machine, &events, &|image| show(image, progress))?;
    close_cache(machine, args.downloads.cache_size, &|event| progress.event(&event));
    progress.end();
    if let Some(path) = metadata_file {
        rootstrap_bootstrap::write_text(&report.to_json(), path)?;
    }
    std::io::stdout().write_all(visible(&report.table()).as_bytes()).map_err(Error::Stdout)?;
    Ok(report.exit_code())
}

/// Returns what is shown of an event of one image. Several are made at the same time, so stages and counts say nothing.
fn of_image(name: Option<&str>, event: Event) -> Option<Event> {
    let Some(name) = name else { return Some(event) };
    Some(match event {
        Event::Of { architecture, event } => return of_image(Some(&format!("{name} {architecture}")), *event),
        Event::Warning(text) => Event::Warning(format!("{name}: {text}")),
        Event::Note(text) => Event::Note(format!("{name}: {text}")),
        Event::Output(text) => Event::Output(format!("{name}: {text}")),
        Event::Fetch(FetchEvent::Retry { .. } | FetchEvent::MirrorFailed { .. }) | Event::Cache { .. } => event,
        _ => return None,
    })
}

/// Shows what became of an image, in one line.
fn show(image: &ImageReport, progress: &Progress) {
    let state = format!("{}: {}", image.name, image.state.name());
    match (&image.error, &image.digest) {
        (Some(error), _) => progress.complain(&format!("error: {state}: {error}")),
        (None, Some(digest)) if image.state != State::Skipped => {
            progress.say(&format!("{state}, {digest}, {:.1} s", image.seconds));
        }
        _ => progress.say(&format!("{state}, {:.1} s", image.seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_name_image_and_platform() {
        let warning = Event::Warning("slow".to_owned());
        let of = Event::Of { architecture: "arm64".to_owned(), event: Box::new(warning) };
        let shown = of_image(Some("web"), of);
        assert!(matches!(shown, Some(Event::Warning(text)) if text == "web arm64: slow"));
    }
}
