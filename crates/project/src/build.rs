//! Goes through the images of a manifest: decides what each is made of, leaves out what is there already, and hands the others to
//! `bootstrap`, as many at a time as there are processors.

use crate::observer::Observer;
use crate::report::{ImageReport, PackageChange, Report, State};
use rootstrap_bootstrap::lock_file::Lock;
use rootstrap_bootstrap::{Error, Event, LockChoice, Machine, NewParents, Request, Upgrade};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the flag that stops the whole run is looked at.
const POLL: Duration = Duration::from_millis(50);

/// How many registries are asked at the same time: most of that time is waited for the network.
const QUESTIONS: usize = 16;

/// An image to make.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// What it is.
    pub request: Request,
    /// The file with the lock that decides its packages. If there is none, the archive decides them now.
    pub lock: PathBuf,
}

/// How images are made.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuildOptions {
    /// Whether images that registries have, made of the same, are left out.
    pub changed: bool,
    /// Whether the others are made although one failed.
    pub keep_going: bool,
    /// Whether only the debs are fetched.
    pub download_only: bool,
    /// Whether an image without a lock fails.
    pub locked: bool,
}

/// Where events go: with the name of an image, or with none for what concerns them all.
pub type Events<'a> = &'a (dyn Fn(Option<&str>, Event) + Sync);

/// An image whose packages are decided.
struct Decided<'j> {
    job: &'j Job,
    request: Request,
    /// What images with the same first phase have in common: one of them is made first, and the others take the phase from the cache.
    first_phase: String,
    report: ImageReport,
}

/// Makes images. `done` is called once for each of them, as soon as it is known what became of it.
///
/// # Errors
/// The cache cannot be used. What becomes of one image is in the report.
pub fn build(
    jobs: &[Job],
    options: BuildOptions,
    machine: &Machine,
    events: Events<'_>,
    done: &(dyn Fn(&ImageReport) + Sync),
) -> Result<Report, Error> {
    let locks = decide(jobs, options.locked, machine, events)?;
    let mut reports: Vec<ImageReport> = Vec::new();
    let mut due: Vec<Decided<'_>> = Vec::new();
    for (job, lock) in jobs.iter().zip(locks) {
        match lock.and_then(|lock| decided(job, lock)) {
            Ok(decided) => due.push(decided),
            Err(error) => reports.push(failed(job, &error, Duration::ZERO)),
        }
    }
    reports.iter().for_each(done);
    let goes_on = |reports: &[ImageReport]| options.keep_going || reports.iter().all(|it| it.exit_code == 0);
    if options.changed && goes_on(&reports) {
        let (there, others) = leave_out(due, !options.download_only, machine, events);
        there.iter().for_each(done);
        reports.extend(there);
        due = others;
    }
    if goes_on(&reports) {
        reports.extend(build_all(due, options, machine, events, done));
    } else {
        reports.extend(due.into_iter().map(|decided| decided.report));
    }
    Ok(Report::new(reports))
}

/// What the packages of an image are decided by.
struct Packages {
    lock: Lock,
    /// Whether the lock is that of a file.
    is_kept: bool,
}

/// Returns for each image the lock that it is made from: that of its file, or what the archive has now.
fn decide(
    jobs: &[Job],
    locked: bool,
    machine: &Machine,
    events: Events<'_>,
) -> Result<Vec<Result<Packages, Error>>, Error> {
    let read = |job: &Job| match rootstrap_bootstrap::read_lock(&job.lock) {
        Ok(lock) => Ok(Some(Packages { lock, is_kept: true })),
        Err(Error::NoLock { .. }) if !locked => Ok(None),
        Err(error) => Err(error),
    };
    let kept: Vec<Result<Option<Packages>, Error>> = jobs.iter().map(read).collect();
    let open = jobs.iter().zip(&kept).filter(|(_, kept)| matches!(kept, Ok(None)));
    let open: Vec<(Request, Option<Lock>)> = open.map(|(job, _)| (job.request.clone(), None)).collect();
    let found = match open.is_empty() {
        true => Vec::new(),
        false => rootstrap_bootstrap::locks(&open, &Upgrade::All, machine, &|event| events(None, event))?,
    };
    let mut found = found.into_iter();
    let mut now = || found.next().unwrap_or(Err(Error::Cancelled)).map(|lock| Packages { lock, is_kept: false });
    Ok(kept.into_iter().map(|kept| kept.and_then(|kept| kept.map_or_else(&mut now, Ok))).collect())
}

/// Fixes the packages of an image, and notes what decides it.
fn decided(job: &Job, Packages { lock, is_kept }: Packages) -> Result<Decided<'_>, Error> {
    let mut request = job.request.clone();
    if is_kept {
        // The epoch is the lock's, whatever the environment says.
        request.output.epoch = None;
    }
    let inputs = rootstrap_bootstrap::inputs(&request, &lock)?;
    rootstrap_bootstrap::name_inputs(&mut request, &inputs);
    let report = ImageReport {
        name: job.name.clone(),
        suite: lock.request.suite.clone(),
        architectures: lock.request.architectures.clone(),
        inputs: Some(inputs),
        target: request.output.target.path().map(|path| path.display().to_string()),
        packages: Some(lock.platforms.iter().map(|platform| platform.packages.len()).sum()),
        ..ImageReport::default()
    };
    let first = lock.platforms.first();
    let phase = first.and_then(|platform| platform.phases.first().map(|phase| phase.packages.join(" ")));
    let architecture = first.map(|platform| platform.architecture.as_str()).unwrap_or_default();
    let (suite, variant, slim) = (&lock.request.suite, &lock.request.variant, lock.request.slim);
    let first_phase = format!("{suite} {architecture} {variant} {slim} {}", phase.unwrap_or_default());
    let lock = Some(Arc::new(lock));
    request.sources.lock = Some(LockChoice { path: job.lock.clone(), lock, frozen: false });
    Ok(Decided { job, request, first_phase, report })
}

fn failed(job: &Job, error: &Error, time: Duration) -> ImageReport {
    let selection = &job.request.selection;
    let mut report = ImageReport {
        name: job.name.clone(),
        suite: job.request.sources.suite.clone(),
        architectures: vec![selection.architecture.clone()],
        seconds: time.as_secs_f64(),
        ..ImageReport::default()
    };
    report.fail(error);
    report
}

/// Asks the registries which images they have. Returns the reports of those that need not be made, and the others.
fn leave_out<'j>(
    due: Vec<Decided<'j>>,
    move_names: bool,
    machine: &Machine,
    events: Events<'_>,
) -> (Vec<ImageReport>, Vec<Decided<'j>>) {
    let ask = |decided: &Decided<'_>| -> (Result<Option<String>, Error>, Duration) {
        let since = Instant::now();
        let mut request = decided.request.clone();
        request.machine.cancel = machine.cancel.clone();
        let inputs = decided.report.inputs.as_deref().unwrap_or_default();
        let report = |event| events(Some(&decided.job.name), event);
        (rootstrap_bootstrap::find_image(&request, inputs, move_names, &report), since.elapsed())
    };
    let next = Mutex::new(due.iter().enumerate());
    let answers = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let item = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((number, decided)) = item else { return };
            let answer = ask(decided);
            answers.lock().unwrap_or_else(PoisonError::into_inner).insert(number, answer);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..QUESTIONS.min(due.len()) {
            // A thread that cannot be started costs time alone.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (mut there, mut others) = (Vec::new(), Vec::new());
    for (decided, (answer, time)) in due.into_iter().zip(answers.into_values()) {
        let mut report = decided.report.clone();
        report.seconds = time.as_secs_f64();
        match answer {
            Ok(Some(digest)) => {
                report.state = State::Unchanged;
                report.digest = Some(digest);
                report.pushed.clone_from(&decided.request.output.push.names);
                there.push(report);
            }
            Ok(None) => others.push(decided),
            Err(error) => {
                report.fail(&error);
                there.push(report);
            }
        }
    }
    (there, others)
}

/// What is left to do.
struct Queue {
    /// The numbers of the images that nobody has begun.
    waiting: Vec<usize>,
    /// The numbers of those that are being made.
    running: Vec<usize>,
    reports: Vec<ImageReport>,
    /// The first phases that were made.
    made: BTreeSet<String>,
    /// Whether an image failed and the others are left out.
    has_ended: bool,
}

/// Makes all of them.
fn build_all(
    due: Vec<Decided<'_>>,
    options: BuildOptions,
    machine: &Machine,
    events: Events<'_>,
    done: &(dyn Fn(&ImageReport) + Sync),
) -> Vec<ImageReport> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = processors.min(machine.jobs).min(due.len()).max(1);
    let platforms = due.iter().map(|decided| 1 + decided.request.output.further_platforms.len()).max().unwrap_or(1);
    machine.budget.expect(workers.saturating_mul(platforms));
    // Images that share a directory must not remove it for each other. Those of an image that cannot be made are its own error.
    let parents = |decided: &Decided<'_>| NewParents::make(&decided.request.output.target).ok();
    let _parents: Vec<NewParents> = due.iter().filter_map(parents).collect();
    let flags: Vec<Arc<AtomicBool>> = due.iter().map(|_| Arc::default()).collect();
    let stop_all = || flags.iter().for_each(|flag| flag.store(true, Ordering::Relaxed));
    let waiting = (0..due.len()).collect();
    let queue = Mutex::new(Queue {
        waiting,
        running: Vec::new(),
        reports: Vec::new(),
        made: BTreeSet::new(),
        has_ended: false,
    });
    let changed = Condvar::new();
    let work = || {
        while let Some(number) = next(&queue, &changed, &due) {
            let (Some(decided), Some(flag)) = (due.get(number), flags.get(number)) else { return };
            let report = build_one(decided, flag, (due.len() > 1, options.download_only), events);
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            if report.exit_code != 0 && !options.keep_going {
                queue.has_ended = true;
                stop_all();
            }
            done(&report);
            if report.state == State::Built {
                queue.made.insert(decided.first_phase.clone());
            }
            queue.reports.push(report);
            queue.running.retain(|running| *running != number);
            changed.notify_all();
        }
    };
    let stop_all = &stop_all;
    let (end, ended) = channel::<()>();
    std::thread::scope(|scope| {
        let _ = std::thread::Builder::new().spawn_scoped(scope, move || watch(&machine.cancel, &ended, stop_all));
        std::thread::scope(|scope| {
            for _ in 1..workers {
                let _ = std::thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        drop(end);
    });
    let queue = queue.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut reports = queue.reports;
    reports.extend(queue.waiting.iter().filter_map(|number| due.get(*number)).map(|decided| decided.report.clone()));
    reports
}

/// Stops all images when the whole run is stopped from outside, until the other end of `ended` is dropped.
fn watch(cancel: &AtomicBool, ended: &Receiver<()>, stop_all: &dyn Fn()) {
    while ended.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
        if cancel.load(Ordering::Relaxed) {
            stop_all();
        }
    }
}

/// Takes the next image from the queue: one whose first phase nobody is just making. Waits while there is none.
fn next(queue: &Mutex<Queue>, changed: &Condvar, due: &[Decided<'_>]) -> Option<usize> {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if queue.has_ended || queue.waiting.is_empty() {
            return None;
        }
        let phase = |number: &usize| due.get(*number).map(|decided| decided.first_phase.as_str());
        let is_being_made = |number: &usize| queue.running.iter().any(|running| phase(running) == phase(number));
        let is_made = |number: &usize| phase(number).is_some_and(|phase| queue.made.contains(phase));
        let found = queue.waiting.iter().position(|number| is_made(number) || !is_being_made(number));
        if let Some(at) = found {
            let number = queue.waiting.remove(at);
            queue.running.push(number);
            return Some(number);
        }
        queue = changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
    }
}

fn build_one(
    decided: &Decided<'_>,
    flag: &Arc<AtomicBool>,
    (has_others, download_only): (bool, bool),
    events: Events<'_>,
) -> ImageReport {
    let since = Instant::now();
    let mut request = decided.request.clone();
    request.machine.cancel = flag.clone();
    request.machine.expects_more = has_others;
    let mut report = decided.report.clone();
    let observer = Observer::default();
    let events = |event| {
        observer.event(&event);
        events(Some(&decided.job.name), event);
    };
    let made = if download_only {
        rootstrap_bootstrap::download(&request, &events).map(|()| None)
    } else {
        report.changes = changes(&request, &events);
        rootstrap_bootstrap::bootstrap(&request, &events).map(Some)
    };
    match made {
        Ok(None) => report.state = State::Downloaded,
        Ok(Some(summary)) => {
            report.succeed(&summary);
            for limit in summary.limits {
                events(Event::Warning(limit));
            }
        }
        // Another image failed, or the whole run was stopped.
        Err(error) if error.is_cancelled() => report.exit_code = 1,
        Err(error) => report.fail(&error),
    }
    observer.fill(&mut report);
    report.seconds = since.elapsed().as_secs_f64();
    report
}

/// Returns what has changed since the image was pushed last. A registry that does not tell keeps nobody from making the image.
fn changes(request: &Request, events: &(dyn Fn(Event) + Sync)) -> Option<Vec<PackageChange>> {
    let lock = request.sources.lock.as_ref()?.lock.as_ref()?;
    let changes = rootstrap_bootstrap::changes_since_pushed(request, lock, events).ok()??;
    Some(changes.iter().map(PackageChange::from).collect())
}
