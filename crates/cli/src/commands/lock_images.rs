//! `rootstrap lock --all`: the locks of all images of a manifest.

use super::bootstrap::Problem;
use super::cache::close_cache;
use super::deadline::Deadline;
use super::outcome::{fail, open_log, usage};
use super::rights::{epoch, stop_on_signals};
use crate::change_list::lines;
use crate::lock_args::LockArgs;
use crate::manifest::Manifest;
use crate::progress::Progress;
use crate::visible::visible;
use rootstrap_bootstrap::lock_file::Lock;
use rootstrap_bootstrap::{Error, Machine, Request, Upgrade};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The exit status for a lock that is no longer right.
const DIFFERS: u8 = 10;

/// Runs the command and returns the exit status.
pub(crate) fn run(args: &LockArgs) -> u8 {
    let log = match open_log(&args.run.verbosity) {
        Ok(log) => log,
        Err(code) => return code,
    };
    let progress = Progress::new(&args.run.verbosity, log);
    if !args.packages.is_plain() {
        return usage("cannot use these options with --all: each image has its own, in the manifest");
    }
    let (requests, machine) = match requests(args) {
        Ok(found) => found,
        Err(Problem::Usage(problem)) => return usage(&problem),
        Err(Problem::Request(error)) => return fail(&error, None),
    };
    stop_on_signals(&machine.cancel);
    let deadline = Deadline::begin(args.run.deadline, &machine.cancel);
    renew(args, requests, &machine, &progress).unwrap_or_else(|error| {
        progress.end();
        fail(&deadline.or(error), None)
    })
}

/// Returns what the images ask for, each with the path of its lock. The working directory is that of the manifest afterwards.
fn requests(args: &LockArgs) -> Result<(Vec<(PathBuf, Request)>, Machine), Problem> {
    let epoch = epoch().map_err(Problem::Usage)?;
    let manifest = Manifest::read(&args.file)?;
    let machine = args.downloads.machine(&args.run.network).and_then(|machine| args.downloads.with_remote(machine));
    let machine = machine.map_err(Problem::Request)?;
    manifest.enter()?;
    let mut requests: Vec<(PathBuf, Request)> = Vec::new();
    for image in manifest.images() {
        let (path, mut request) = manifest.request_for_lock(image, machine.clone())?;
        request.output.epoch = epoch;
        requests.push((path, request));
    }
    Ok((requests, machine))
}

/// Makes the locks that are missing, that are locks of other requests, or, to upgrade, that have other packages.
fn renew(
    args: &LockArgs,
    requests: Vec<(PathBuf, Request)>,
    machine: &Machine,
    progress: &Progress,
) -> Result<u8, Error> {
    let mut due: Vec<(PathBuf, Request, Option<Lock>)> = Vec::new();
    let mut code = 0;
    for (path, request) in requests {
        let earlier = match rootstrap_bootstrap::read_lock(&path) {
            Ok(lock) => Some(lock),
            Err(Error::NoLock { .. }) => None,
            // The others are renewed all the same.
            Err(error) => {
                code = code.max(fail(&error, None));
                continue;
            }
        };
        let differences = match &earlier {
            Some(lock) => rootstrap_bootstrap::lock_differences(&request, lock)?,
            None => vec!["there is none".to_owned()],
        };
        if args.check && !differences.is_empty() {
            let text = format!("{} is no lock of its image: {}\n", path.display(), differences.join("; "));
            let _ = std::io::stderr().write_all(visible(&text).as_bytes());
        }
        if args.upgrade.is_some() || !differences.is_empty() {
            due.push((path, request, earlier));
        }
    }
    if args.check {
        return Ok(if due.is_empty() { code } else { DIFFERS });
    }
    let requests: Vec<(Request, Option<Lock>)> =
        due.iter().map(|(_, request, earlier)| (request.clone(), earlier.clone())).collect();
    let report = |event| progress.event(&event);
    let upgrade = args.upgrade();
    let locks = rootstrap_bootstrap::locks(&requests, &upgrade, machine, &report)?;
    if let Upgrade::Packages(names) = &upgrade {
        let packages = || locks.iter().flatten().flat_map(|lock| &lock.platforms).flat_map(|it| &it.packages);
        if let Some(name) = names.iter().find(|name| !packages().any(|package| package.name == **name)) {
            return Err(Error::NotLockable { reason: format!("no image has {name}, which is to be upgraded") });
        }
    }
    close_cache(machine, args.downloads.cache_size, &report);
    progress.end();
    for ((path, _, earlier), lock) in due.into_iter().zip(locks) {
        // The others are renewed all the same.
        let written = lock.and_then(|lock| write(&path, &lock, earlier.as_ref(), progress));
        if let Err(error) = written {
            let _ = writeln!(std::io::stderr(), "{}: this lock cannot be made", visible(&path.display().to_string()));
            code = code.max(fail(&error, None));
        }
    }
    Ok(code)
}

/// Writes a lock, unless only the dates of the archive are new: then what was built from the earlier one needs no change.
fn write(path: &Path, lock: &Lock, earlier: Option<&Lock>, progress: &Progress) -> Result<(), Error> {
    let shown = path.display();
    let is_same = |earlier: &&Lock| earlier.undated() == lock.undated();
    if earlier.filter(is_same).is_some() {
        progress.say(&format!("{shown}: nothing has changed"));
        return Ok(());
    }
    if let Some(directory) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)
            .map_err(|source| Error::InputFile { path: directory.display().to_string(), reason: source.to_string() })?;
    }
    rootstrap_bootstrap::write_lock(lock, path)?;
    for platform in &lock.platforms {
        let (architecture, count) = (&platform.architecture, platform.packages.len());
        progress.say(&format!("locked {} {architecture}: {count} packages, in {shown}", lock.request.suite));
        let earlier = earlier.and_then(|lock| lock.platform(architecture));
        let updates = earlier.map(|earlier| rootstrap_bootstrap::updates(earlier, platform)).unwrap_or_default();
        lines(&updates).for_each(|text| progress.say(&text));
    }
    Ok(())
}
