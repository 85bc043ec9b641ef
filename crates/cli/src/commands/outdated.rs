//! `rootstrap outdated`: lists what a rebuild of locks would change.

use super::bootstrap::Problem;
use super::cache::close_cache;
use super::deadline::Deadline;
use super::outcome::{fail, open_log, usage};
use super::rights::stop_on_signals;
use crate::change_list::ChangeList;
use crate::manifest::Manifest;
use crate::outdated_args::{ListFormat, OutdatedArgs};
use crate::progress::Progress;
use crate::visible::visible;
use rootstrap_bootstrap::{Error, LockToRenew, Machine, Outdated, Sources};
use rootstrap_project::Image;
use std::io::Write;
use std::path::PathBuf;

/// The exit status if something is listed and `--exit-code` is given.
const DUE: u8 = 10;

/// Runs the command and returns the exit status.
pub(crate) fn run(args: &OutdatedArgs) -> u8 {
    let log = match open_log(&args.run.verbosity) {
        Ok(log) => log,
        Err(code) => return code,
    };
    let progress = Progress::new(&args.run.verbosity, log);
    let machine = args.downloads.machine(&args.run.network).and_then(|machine| args.downloads.with_remote(machine));
    let machine = match machine {
        Ok(machine) => machine,
        Err(error) => return fail(&error, None),
    };
    stop_on_signals(&machine.cancel);
    let deadline = Deadline::begin(args.run.deadline, &machine.cancel);
    let ended = |error| {
        progress.end();
        fail(&deadline.or(error), None)
    };
    let named = match named(args, &machine) {
        Ok(named) => named,
        Err(Problem::Usage(problem)) => return usage(&problem),
        Err(Problem::Request(error)) => return fail(&error, None),
    };
    let (mut good, mut results) = (Vec::new(), Vec::new());
    for (path, sources) in named {
        match rootstrap_bootstrap::read_lock(&path) {
            Ok(lock) => {
                results.push((path.clone(), Ok(())));
                good.push((path, lock, sources));
            }
            Err(error) => results.push((path, Err(error))),
        }
    }
    let report = |event| progress.event(&event);
    let found = match rootstrap_bootstrap::outdated(&good, &machine, &report) {
        Ok(found) => found,
        Err(error) => return ended(error),
    };
    close_cache(&machine, args.downloads.cache_size, &report);
    progress.end();
    let (lists, code) = lists(args, results, good.iter().zip(found));
    let is_due = lists.iter().flatten().any(|list| !list.updates.is_empty());
    let text = write(&lists, args.list_format());
    if let Err(error) = std::io::stdout().write_all(text.as_bytes()) {
        return fail(&Error::Stdout(error), None);
    }
    match code {
        0 if is_due && args.exit_code => DUE,
        code => code,
    }
}

/// Returns the locks that are named, each with whom to trust. With `--all`, the working directory is that of the manifest afterwards.
fn named(args: &OutdatedArgs, machine: &Machine) -> Result<Vec<(PathBuf, Sources)>, Problem> {
    if !args.all {
        return Ok(args.locks.iter().map(|path| (path.clone(), args.trust.sources(""))).collect());
    }
    let manifest = Manifest::read(&args.file)?;
    manifest.enter()?;
    let image = |image: &Image| {
        let (path, request) = manifest.request_for_lock(image, machine.clone())?;
        Ok((path, request.sources))
    };
    manifest.images().iter().map(image).collect()
}

/// Returns the lists of the locks that could be compared, and the status of the last one that could not.
fn lists<'l>(
    args: &OutdatedArgs,
    results: Vec<(PathBuf, Result<(), Error>)>,
    mut found: impl Iterator<Item = (&'l LockToRenew, Result<Vec<Outdated>, Error>)>,
) -> (Vec<Vec<ChangeList>>, u8) {
    let (mut lists, mut code) = (Vec::new(), 0);
    for (path, result) in results {
        let what = path.display().to_string();
        let result = result.and_then(|()| {
            let ((_, lock, _), outdated) = found.next().ok_or(Error::Cancelled)?;
            outdated.map(|roots| (lock.request.suite.clone(), roots))
        });
        match result {
            Ok((suite, roots)) => {
                let list = |root: Outdated| ChangeList {
                    what: what.clone(),
                    suite: suite.clone(),
                    architecture: root.architecture,
                    updates: root.updates.into_iter().filter(|it| it.security || !args.security_only).collect(),
                };
                lists.push(roots.into_iter().map(list).collect::<Vec<_>>());
            }
            Err(error) => {
                // The others are listed all the same.
                let _ = writeln!(std::io::stderr(), "{}: this lock cannot be compared", visible(&what));
                code = fail(&error, None);
            }
        }
    }
    (lists, code)
}

/// Returns the lists of all locks as one text.
fn write(locks: &[Vec<ChangeList>], format: ListFormat) -> String {
    let all = || locks.iter().flatten();
    match format {
        ListFormat::Text => visible(&all().map(ChangeList::text).collect::<String>()).into_owned(),
        ListFormat::Markdown => all().map(ChangeList::markdown).collect::<Vec<_>>().join("\n"),
        ListFormat::Json => {
            let lock = |roots: &Vec<ChangeList>| {
                let first = roots.first();
                serde_json::json!({
                    "lock": first.map(|root| &root.what),
                    "suite": first.map(|root| &root.suite),
                    "due": roots.iter().any(|root| !root.updates.is_empty()),
                    "roots": roots.iter().map(ChangeList::json).collect::<Vec<_>>(),
                })
            };
            format!("{:#}\n", serde_json::json!({ "locks": locks.iter().map(lock).collect::<Vec<_>>() }))
        }
    }
}
