//! `rootstrap lock`: writes down which packages a request gets.

use super::cache::close_cache;
use super::deadline::Deadline;
use super::outcome::{fail, open_log, usage};
use super::rights::{epoch, stop_on_signals};
use crate::change_list::lines;
use crate::lock_args::{LockAction, LockArgs};
use crate::progress::Progress;
use crate::visible::visible;
use rootstrap_bootstrap::lock_file;
use rootstrap_bootstrap::{Error, ExportFormat, Machine, Request, Target, Upgrade};
use std::io::Write;
use std::path::Path;

/// The exit status for a lock that is no longer right.
const DIFFERS: u8 = 10;

/// Runs the command and returns the exit status.
pub(crate) fn run(args: LockArgs) -> u8 {
    if let Some(LockAction::Export { lock, format, arch }) = &args.action {
        return export(lock, (*format).into(), arch.as_deref());
    }
    let log = match open_log(&args.run.verbosity) {
        Ok(log) => log,
        Err(code) => return code,
    };
    let progress = Progress::new(&args.run.verbosity, log);
    let epoch = match epoch() {
        Ok(epoch) => epoch,
        Err(problem) => return usage(&problem),
    };
    if args.suite.is_none() && (args.check || !args.packages.is_plain()) {
        return usage("no suite is named\nhint: name it, or leave the other options out: the lock has its own request");
    }
    let machine = args.downloads.machine(&args.run.network).and_then(|machine| args.downloads.with_remote(machine));
    let machine = match machine {
        Ok(machine) => machine,
        Err(error) => return fail(&error, None),
    };
    stop_on_signals(&machine.cancel);
    let deadline = Deadline::begin(args.run.deadline, &machine.cancel);
    match make(&args, machine, epoch, &progress) {
        Ok(code) => code,
        Err(error) => {
            progress.end();
            fail(&deadline.or(error), None)
        }
    }
}

/// Prints the packages of a lock in another form.
fn export(path: &Path, format: ExportFormat, architecture: Option<&str>) -> u8 {
    let exported = rootstrap_bootstrap::read_lock(path)
        .and_then(|lock| rootstrap_bootstrap::export(&lock, format, architecture, path));
    let printed = exported.and_then(|text| std::io::stdout().write_all(text.as_bytes()).map_err(Error::Stdout));
    printed.map_or_else(|error| fail(&error, None), |()| 0)
}

fn make(args: &LockArgs, machine: Machine, epoch: Option<i64>, progress: &Progress) -> Result<u8, Error> {
    let upgrade = args.upgrade();
    if !args.prints() {
        rootstrap_bootstrap::check_text_place(&args.output)?;
    }
    let earlier = match rootstrap_bootstrap::read_lock(&args.output) {
        Ok(lock) => Some(lock),
        Err(Error::NoLock { .. }) if args.suite.is_some() && !args.check => None,
        Err(error @ Error::NoLock { .. }) if args.check => {
            fail(&error, None);
            return Ok(DIFFERS);
        }
        // All of it is written anew.
        Err(Error::LockFile { .. }) if args.suite.is_some() && upgrade == Upgrade::All => None,
        Err(error) => return Err(error),
    };
    let mut request = match (&args.suite, &earlier) {
        (None, Some(lock)) => {
            let sources = args.packages.sources(&lock.request.suite, None)?;
            rootstrap_bootstrap::locked_request(lock, &args.output, sources, machine)?
        }
        (suite, _) => {
            let suite = suite.as_deref().unwrap_or_default();
            let (selection, further) = args.packages.selection(&machine)?;
            let sources = args.packages.sources(suite, args.mirror_argument.as_ref())?;
            let mut request = Request::new(selection, sources, Target::Nowhere, machine);
            request.customization.slim = args.packages.slim;
            request.output.further_platforms = further;
            request
        }
    };
    request.output.epoch = epoch;
    let report = |event| progress.event(&event);
    if let (Some(lock), true) = (&earlier, args.check || upgrade == Upgrade::Needed) {
        let differences = rootstrap_bootstrap::lock_differences(&request, lock)?;
        progress.end();
        let path = args.output.display();
        if args.check && !differences.is_empty() {
            let text = format!("{path} is a lock of another request: {}\n", differences.join("; "));
            let _ = std::io::stderr().write_all(visible(&text).as_bytes());
            return Ok(DIFFERS);
        }
        if differences.is_empty() {
            progress.say(&format!("{path} is a lock of this request; --upgrade takes what the archive has now"));
            return Ok(0);
        }
    }
    let lock = rootstrap_bootstrap::lock(&request, earlier.as_ref(), &upgrade, &report)?;
    close_cache(&request.machine, args.downloads.cache_size, &report);
    progress.end();
    match args.prints() {
        true => std::io::stdout().write_all(lock.to_text().as_bytes()).map_err(Error::Stdout)?,
        false => rootstrap_bootstrap::write_lock(&lock, &args.output)?,
    }
    for text in said(&lock, earlier.as_ref(), args) {
        progress.say(&text);
    }
    Ok(0)
}

/// Returns what a lock has, and what it has that the earlier one had not.
fn said(lock: &lock_file::Lock, earlier: Option<&lock_file::Lock>, args: &LockArgs) -> Vec<String> {
    let mut said = Vec::new();
    for platform in &lock.platforms {
        let (architecture, count) = (&platform.architecture, platform.packages.len());
        let place = if args.prints() { String::new() } else { format!(", in {}", args.output.display()) };
        said.push(format!("locked {} {architecture}: {count} packages{place}", lock.request.suite));
        let earlier = earlier.and_then(|lock| lock.platform(architecture));
        let updates = earlier.map(|earlier| rootstrap_bootstrap::updates(earlier, platform)).unwrap_or_default();
        said.extend(lines(&updates));
    }
    said
}
