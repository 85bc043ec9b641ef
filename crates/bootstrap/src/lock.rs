//! `rootstrap lock`: which packages a request gets, written down; and the request that a lock makes of another.

use crate::archive::{self, Archive, ServedPocket, lasting_uris, locked, read_lock};
use crate::archives::Archives;
use crate::error::Error;
use crate::event::{Event, Report};
use crate::own_suite;
use crate::request::{Machine, Request, Selection, Sources, Target, check};
use crate::staging::new_file::NewFile;
use crate::staging::place::parent;
use rootstrap_configure::privilege::Janitor;
use rootstrap_debian::packages::source as source_package;
use rootstrap_lock::{Lock, Source};
use rootstrap_resolve::Plan;
use rootstrap_suites::Suite;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Which packages of an earlier lock may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// Only those whose version the archive does not have any more.
    Needed,
    /// Those, and the ones with these names or of the same source packages.
    Packages(Vec<String>),
    /// All of them.
    All,
}

/// Decides which packages `request` gets now, for all of its architectures. Versions of `earlier` are kept as `upgrade` says.
///
/// # Errors
/// As for [`plan`](crate::plan()); a package that [`Upgrade::Packages`] names is not in the result.
pub fn lock(request: &Request, earlier: Option<&Lock>, upgrade: &Upgrade, report: Report<'_>) -> Result<Lock, Error> {
    check::lockable(&request.sources)?;
    decide(request, earlier, upgrade, report)
}

/// Does what [`lock()`] does, also for what a lock alone does not say.
pub(crate) fn decide(
    request: &Request,
    earlier: Option<&Lock>,
    upgrade: &Upgrade,
    report: Report<'_>,
) -> Result<Lock, Error> {
    let request = &own_suite::settle(request, report)?;
    let mut archives = Archives::new(&request.machine, report)?;
    archives.open(request)?;
    let lock = lock_from(&archives, request, earlier, upgrade)?;
    if let Upgrade::Packages(names) = upgrade {
        let is_there = |name: &&String| lock.platforms.iter().flat_map(|it| &it.packages).any(|it| it.name == **name);
        if let Some(name) = names.iter().find(|name| !is_there(name)) {
            return Err(Error::NotLockable { reason: format!("{name}, which is to be upgraded, is not among them") });
        }
    }
    as_read_back(&lock)
}

/// Decides which packages each of many requests gets now. Every index is read once. Versions of the earlier lock of a request are kept as
/// `upgrade` says.
///
/// # Errors
/// The cache cannot be used. The result for a request is an error as for [`lock()`].
pub fn locks(
    requests: &[(Request, Option<Lock>)],
    upgrade: &Upgrade,
    machine: &Machine,
    report: Report<'_>,
) -> Result<Vec<Result<Lock, Error>>, Error> {
    let mut archives = Archives::new(machine, report)?;
    let mut settled: Vec<Result<Request, Error>> = requests
        .iter()
        .map(|(request, _)| check::lockable(&request.sources).and_then(|()| own_suite::settle(request, report)))
        .collect();
    archives.open_all(&mut settled);
    let decide = |(request, earlier): &(&Result<Request, Error>, &Option<Lock>)| {
        let request = request.as_ref().ok()?;
        Some(lock_from(&archives, request, earlier.as_ref(), upgrade).and_then(|lock| as_read_back(&lock)))
    };
    let pairs: Vec<_> = settled.iter().zip(requests.iter().map(|(_, earlier)| earlier)).collect();
    let decided = in_order(&pairs, &decide);
    let result = |(request, lock): (Result<Request, Error>, Option<_>)| {
        request.and_then(|_| lock.unwrap_or(Err(Error::Cancelled)))
    };
    Ok(settled.into_iter().zip(decided).map(result).collect())
}

/// Calls `work` for each item, on as many threads as there are processors. Returns the results in the order of the items.
pub(crate) fn in_order<I: Sync, T: Send>(items: &[I], work: &(dyn Fn(&I) -> T + Sync)) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = |first: usize| -> Vec<(usize, T)> {
        items.iter().enumerate().skip(first).step_by(threads).map(|(at, item)| (at, work(item))).collect()
    };
    let mut found = BTreeMap::new();
    std::thread::scope(|scope| {
        let start = |first| std::thread::Builder::new().spawn_scoped(scope, move || share(first));
        let workers: Vec<_> = (0..threads).map(start).collect();
        for (first, worker) in workers.into_iter().enumerate() {
            found.extend(match worker {
                Ok(worker) => worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // A thread that cannot be started costs time alone.
                Err(_) => share(first),
            });
        }
    });
    found.into_values().collect()
}

/// Returns a lock as it is read back.
fn as_read_back(lock: &Lock) -> Result<Lock, Error> {
    Lock::parse(&lock.to_text()).map_err(|error| Error::NotLockable { reason: error.to_string() })
}

/// Decides which packages `request` gets from `archives`, which were opened for it.
pub(crate) fn lock_from(
    archives: &Archives<'_>,
    request: &Request,
    earlier: Option<&Lock>,
    upgrade: &Upgrade,
) -> Result<Lock, Error> {
    let suite = archive::find_suite(&request.sources)?;
    let mut lock = Lock { epoch: 0, request: as_locked(request, &suite), sources: Vec::new(), platforms: Vec::new() };
    for request in request.platforms() {
        let selection = &request.selection;
        let architecture = selection.architecture.as_str();
        let archive = archives.of(&request)?;
        lock.request.keyring = archive.keyring()?;
        let keep = kept(earlier, architecture, upgrade);
        let plan = match archive.plan(selection, &suite, keep.clone(), archives.report) {
            // Versions are kept where that is possible. What is new may need others.
            Err(Error::Resolve(_)) if !keep.is_empty() => {
                let plan = archive.plan(selection, &suite, BTreeMap::new(), archives.report)?;
                let text = "the other packages cannot keep their versions beside what is new: all are upgraded";
                (archives.report)(Event::Warning(text.to_owned()));
                plan
            }
            plan => plan?,
        };
        lock.epoch = lock.epoch.max(archive.date());
        for pocket in &archive.served {
            add_source(&mut lock.sources, source_of(pocket, &request, &suite));
        }
        lock.platforms.push(locked::platform(&plan, &archive.served, architecture)?);
    }
    if let Some(epoch) = request.output.epoch {
        lock.epoch = epoch;
    }
    Ok(lock)
}

/// Returns the lock of a build for one architecture: a part of the lock that it is `built_from`, or else what was decided. Returns `None` for
/// packages that cannot be locked.
pub(crate) fn of_platform(
    request: &Request,
    (suite, archive, plan): (&Suite, &Archive, &Plan),
    epoch: i64,
    built_from: Option<&LockInUse>,
) -> Result<Option<Lock>, Error> {
    let architecture = request.selection.architecture.as_str();
    if let Some(LockInUse { lock, .. }) = built_from {
        let mut part = lock.clone();
        part.request.architectures = vec![architecture.to_owned()];
        part.platforms.retain(|platform| platform.architecture == architecture);
        part.sources.retain(|source| source.architectures.iter().any(|served| served == architecture));
        part.sources.iter_mut().for_each(|source| source.architectures = vec![architecture.to_owned()]);
        return Ok(Some(part));
    }
    let platform = match locked::platform(plan, &archive.served, architecture) {
        Ok(platform) => platform,
        Err(Error::NotLockable { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut asked = as_locked(request, suite);
    asked.architectures = vec![architecture.to_owned()];
    asked.keyring = archive.keyring()?;
    let source = |pocket| source_of(pocket, request, suite);
    let sources = archive.served.iter().map(source).collect();
    Ok(Some(Lock { epoch, request: asked, sources, platforms: vec![platform] }))
}

fn source_of(pocket: &ServedPocket, request: &Request, suite: &Suite) -> Source {
    let architecture = request.selection.architecture.as_str();
    let uris = lasting_uris(&request.sources, suite, architecture, pocket);
    locked::source(pocket, architecture, uris)
}

/// Returns the request that the lock at `path` was made for. Of `sources`, it takes whom to trust, and how freshness is judged.
///
/// # Errors
/// The lock names a variant that there is not, or was made with a keyring and there is none, or the other way round.
pub fn locked_request(lock: &Lock, path: &Path, sources: Sources, machine: Machine) -> Result<Request, Error> {
    check_keyring(lock, path, !sources.keyrings.is_empty())?;
    let mut architectures = lock.request.architectures.iter().cloned();
    let selection = Selection::new(&architectures.next().unwrap_or_default());
    let mut request = Request::new(selection, sources, Target::Nowhere, machine);
    request.output.further_platforms = architectures.collect();
    request.with_locked(&lock.request)
}

/// Returns in what `lock` is not a lock of exactly this request, one sentence each. Nothing is fetched.
///
/// # Errors
/// The suite is unknown.
pub fn lock_differences(request: &Request, lock: &Lock) -> Result<Vec<String>, Error> {
    let request = own_suite::settled_by(request, &lock.request);
    let suite = archive::find_suite(&request.sources)?;
    let asked = as_locked(&request, &suite);
    let mut found = lock.request.differences(&asked);
    let fewer = asked.sorted().architectures != lock.request.clone().sorted().architectures;
    if found.is_empty() && fewer {
        found.push(format!("arch: {} in the lock, fewer here", lock.request.architectures.join(",")));
    }
    Ok(found)
}

/// Writes a lock file. What has that name stays until the new file is complete.
///
/// # Errors
/// The file cannot be written.
pub fn write_lock(lock: &Lock, path: &Path) -> Result<(), Error> {
    write_text(&lock.to_text(), path)
}

/// Writes a file of text. What has that name stays until the new file is complete.
///
/// # Errors
/// The file cannot be written.
pub fn write_text(text: &str, path: &Path) -> Result<(), Error> {
    check_text_place(path)?;
    let mut new = NewFile::create(parent(path), &Janitor::default())?;
    new.file.write_all(text.as_bytes()).map_err(Error::io("write", path))?;
    new.sync(true, path)?;
    new.publish(path, true).map(drop)
}

/// Refuses a file for which there is no directory.
///
/// # Errors
/// There is none.
pub fn check_text_place(path: &Path) -> Result<(), Error> {
    if parent(path).is_dir() {
        return Ok(());
    }
    let (path, hint) = (path.to_owned(), "make the directory first");
    Err(Error::Target { path, reason: "its directory does not exist".to_owned(), hint })
}

/// The lock of a run.
pub(crate) struct LockInUse {
    pub lock: Lock,
    pub path: PathBuf,
}

/// Returns the lock that a request names, and the request that it makes of it.
///
/// # Errors
/// The lock cannot be used, or is one of another request and not frozen.
pub(crate) fn apply(
    request: &Request,
    suite: &Suite,
    report: Report<'_>,
) -> Result<(Request, Option<LockInUse>), Error> {
    let Some(choice) = &request.sources.lock else { return Ok((request.clone(), None)) };
    let path = choice.path.clone();
    let lock = match &choice.lock {
        Some(lock) => lock.as_ref().clone(),
        None => read_lock(&path)?,
    };
    let asked = as_locked(request, suite);
    let differences = lock.request.differences(&asked);
    if lock.request.suite != asked.suite || (!choice.frozen && !differences.is_empty()) {
        return Err(Error::LockMismatch { path, differences });
    }
    check_keyring(&lock, &path, asked.own_keyring)?;
    if !differences.is_empty() {
        let text = format!("{} is taken as it is, although it was made for another request", path.display());
        let text = format!("{text}: {}", differences.join("; "));
        // Whoever names nothing but the suite wants what is in the lock.
        report(if asked.is_plain() { Event::Note(text) } else { Event::Warning(text) });
    }
    if let Some(epoch) = request.output.epoch.filter(|epoch| *epoch != lock.epoch) {
        let text = format!("the epoch of {} is taken ({})", path.display(), lock.epoch);
        report(Event::Warning(format!("{text}, not SOURCE_DATE_EPOCH ({epoch})")));
    }
    Ok((request.with_locked(&lock.request)?, Some(LockInUse { lock, path })))
}

/// Refuses keys of another kind than the lock was made with: the target's apt sources depend on that.
fn check_keyring(lock: &Lock, path: &Path, own_keyring: bool) -> Result<(), Error> {
    let reason = match (lock.request.own_keyring, own_keyring) {
        (true, false) => "it trusts other keys than the suite's own, which have to be named with --keyring",
        (false, true) => "it trusts the suite's own keys, and not those of --keyring",
        _ => return Ok(()),
    };
    Err(Error::Lock { path: path.to_owned(), reason: reason.to_owned() })
}

fn as_locked(request: &Request, suite: &Suite) -> rootstrap_lock::Request {
    request.to_locked(&suite.codename).distinct()
}

/// Returns the versions of an earlier lock that may not change, by package name.
fn kept(earlier: Option<&Lock>, architecture: &str, upgrade: &Upgrade) -> BTreeMap<String, String> {
    let free: &[String] = match upgrade {
        Upgrade::All => return BTreeMap::new(),
        Upgrade::Packages(names) => names,
        Upgrade::Needed => &[],
    };
    let platform = earlier.and_then(|lock| lock.platform(architecture));
    let packages = platform.into_iter().flat_map(|platform| &platform.packages);
    // What was built from one source usually has to have one version.
    let source = |package: &rootstrap_lock::Package| {
        source_package(&package.source, &package.name, &package.version).0.to_owned()
    };
    let free_sources: BTreeSet<String> =
        packages.clone().filter(|package| free.contains(&package.name)).map(source).collect();
    let kept = packages.filter(|package| !free.contains(&package.name) && !free_sources.contains(&source(package)));
    kept.map(|package| (package.name.clone(), package.version.clone())).collect()
}

/// Adds a source, or the architecture to one that is otherwise the same.
fn add_source(sources: &mut Vec<Source>, new: Source) {
    let is_same = |known: &&mut Source| Source { architectures: new.architectures.clone(), ..(**known).clone() } == new;
    match sources.iter_mut().find(is_same) {
        Some(known) => {
            known.architectures.extend(new.architectures);
            known.architectures.sort();
        }
        None => sources.push(new),
    }
}
