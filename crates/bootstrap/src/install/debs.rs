//! Downloading and decoding debs ahead of their turn: one thread fetches, the others decode each verified deb as soon as it arrives.
//! Nothing that is decided here reaches the result, because packages are merged in plan order.

use crate::error::Error;
use crate::event::{Event, Report};
use rootstrap_cache::{CachedFile, Layer, Retention};
use rootstrap_fetch::{ListedDeb, Session, VerifiedDeb};
use rootstrap_resolve::Planned;
use rootstrap_rootfs::Root;
use rootstrap_unpack::{Deb, Staged, payload};
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread::{Builder, Scope};

/// The cache layer of debs that were decompressed before.
pub(crate) const PAYLOADS: Layer =
    Layer { name: "payload", directories: &[PAYLOAD_DIRECTORY], retention: Retention::LastUse };
const PAYLOAD_DIRECTORY: &str = "payload";

/// How often a deb is fetched again that the cache loses before it is read.
const ATTEMPTS: usize = 3;

/// A package that is ready to be merged, and its .deb in case the target's dpkg has to unpack it. No file is open.
pub(crate) struct StagedDeb {
    pub staged: Staged,
    deb: VerifiedDeb,
    listed: ListedDeb,
}

impl StagedDeb {
    /// Copies the .deb into `directory` of the root and returns its absolute path there.
    pub fn copy_deb(&self, debs: &Debs<'_>, root: &Root, directory: &str) -> Result<String, Error> {
        let control = &self.staged.control;
        let path = format!("/{directory}/{}_{}.deb", control.package, control.architecture);
        let mut from = debs.open(&self.deb, &self.listed)?;
        let place = root.at(path.as_bytes())?;
        let mut to = place.create_file()?;
        std::io::copy(&mut from, &mut to).map_err(Error::io("copy", Path::new(&path)))?;
        place.set_owner(0, 0)?;
        place.set_mode(0o644)?;
        Ok(path)
    }
}

/// Opens verified debs, and fetches those again that the cache has lost.
#[derive(Clone, Copy)]
pub(crate) struct Debs<'s> {
    pub session: &'s Session,
    pub report: Report<'s>,
}

impl Debs<'_> {
    fn open(&self, deb: &VerifiedDeb, listed: &ListedDeb) -> Result<File, Error> {
        let mut file = deb.open();
        for _ in 0..ATTEMPTS {
            if let Some(file) = file {
                return Ok(file);
            }
            (self.report)(Event::Note(format!("the cache has lost {}: it is fetched again", deb.label())));
            self.session.debs(std::slice::from_ref(listed), &|_| (), &mut |_, again| {
                file = again.open();
                ControlFlow::Continue(())
            })?;
        }
        file.ok_or_else(|| Error::io("read", deb.path())(std::io::ErrorKind::NotFound.into()))
    }
}

/// The packages of a plan as they become ready.
pub(crate) struct DebPipeline<'s> {
    arrivals: mpsc::Receiver<Result<(usize, StagedDeb), Error>>,
    ready: Vec<Option<StagedDeb>>,
    /// The control file of each package that was taken, in plan order.
    pub controls: Vec<String>,
    stop: &'s AtomicBool,
}

/// What the threads of a pipeline share.
pub(crate) struct DebSource<'s> {
    /// The session that fetches the debs.
    pub session: &'s Session,
    /// The debs to fetch, in plan order.
    pub wanted: &'s [ListedDeb],
    /// Where unpacked files go.
    pub store: &'s Root,
    /// Set to end all threads.
    pub stop: &'s AtomicBool,
    /// Counts the debs that come from the cache.
    pub cached: &'s AtomicUsize,
    /// Whether debs are kept decompressed from their first use on.
    pub keeps_payloads: bool,
    /// How many threads decode.
    pub threads: usize,
    pub report: Report<'s>,
}

/// Debs on their way from the fetching thread to the decoding threads. The first one in plan order leaves first.
#[derive(Default)]
struct Queue {
    state: Mutex<(BTreeMap<usize, VerifiedDeb>, bool)>,
    changed: Condvar,
}

impl Queue {
    fn push(&self, position: usize, deb: VerifiedDeb) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0.insert(position, deb);
        self.changed.notify_one();
    }

    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.changed.notify_all();
    }

    /// Waits for the next deb. Returns `None` once the queue is closed and empty.
    fn pop(&self) -> Option<(usize, VerifiedDeb)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(next) = state.0.pop_first() {
                return Some(next);
            }
            if state.1 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Starts the threads of a pipeline within `scope`.
///
/// # Errors
/// A limit on memory or processes keeps this process from starting one. Those that were started end.
pub(crate) fn start<'scope, 'env: 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    source: &'env DebSource<'env>,
) -> Result<DebPipeline<'env>, Error> {
    let (sender, arrivals) = mpsc::channel();
    let queue = Arc::new(Queue::default());
    for _ in 0..source.threads {
        let (threads, sender) = (queue.clone(), sender.clone());
        let started = Builder::new().spawn_scoped(scope, move || {
            let queue = threads;
            while let Some((position, deb)) = queue.pop() {
                if source.stop.load(Ordering::Relaxed) {
                    break;
                }
                (source.report)(Event::Unpacking { package: deb.label().to_owned() });
                let result = decode(deb, position, source).map(|deb| {
                    (source.report)(Event::Unpacked { package: deb.staged.control.package.clone() });
                    (position, deb)
                });
                let _ = sender.send(result);
            }
        });
        started.map_err(|error| give_up(&queue, error))?;
    }
    let threads = queue.clone();
    let started = Builder::new().spawn_scoped(scope, move || {
        let queue = threads;
        let report = |event| (source.report)(Event::Fetch(event));
        let result = source.session.debs(source.wanted, &report, &mut |position, deb| {
            let bytes = source.wanted.get(position).map_or(0, |wanted| wanted.size);
            (source.report)(Event::Cache { layer: "debs", hit: deb.is_cached(), bytes });
            source.cached.fetch_add(usize::from(deb.is_cached()), Ordering::Relaxed);
            queue.push(position, deb);
            if source.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        queue.close();
        if let Err(error) = result {
            let _ = sender.send(Err(error.into()));
        }
    });
    started.map_err(|error| give_up(&queue, error))?;
    let ready = source.wanted.iter().map(|_| None).collect();
    Ok(DebPipeline { arrivals, ready, controls: Vec::new(), stop: source.stop })
}

/// Ends the threads that wait for debs, because another one could not be started.
fn give_up(queue: &Queue, error: std::io::Error) -> Error {
    queue.close();
    Error::io("start", Path::new("the threads that decode packages"))(error)
}

/// Decodes a deb into the store. The decompressed form is kept in the cache when a deb is used for the second time, so that a deb that
/// is used only once costs nothing more. It is kept at once where more uses are expected.
fn decode(deb: VerifiedDeb, position: usize, source: &DebSource<'_>) -> Result<StagedDeb, Error> {
    let &DebSource { session, store, stop, report, .. } = source;
    let label = deb.label().to_owned();
    let place = CachedFile::derived(session.cache(), PAYLOAD_DIRECTORY, payload::FORMAT, &deb.digest().to_string());
    let kept = if deb.is_cached() { place.open() } else { None };
    let kept = kept.and_then(|mut file| payload::is_whole(&mut file).then_some(file));
    report(Event::Cache { layer: "payloads", hit: kept.is_some(), bytes: 0 });
    let is_wanted = deb.is_cached() || source.keeps_payloads;
    let new = if is_wanted && kept.is_none() { place.create().ok() } else { None };
    let listed = source.wanted.get(position).cloned().ok_or(Error::Cancelled)?;
    let open =
        || -> Result<Deb<'_>, Error> { Ok(Deb { file: Debs { session, report }.open(&deb, &listed)?, label: &label }) };
    let staged = match (kept, new) {
        (Some(payload), _) => rootstrap_unpack::stage(Deb { file: payload, label: &label }, store, position, stop)?,
        (None, None) => rootstrap_unpack::stage(open()?, store, position, stop)?,
        (None, Some(mut new)) => {
            let (staged, is_whole) = rootstrap_unpack::stage_and_keep(open()?, store, position, stop, new.file())?;
            if is_whole {
                // A cache that cannot be written does not stop the run: the deb is decoded again next time.
                let _ = new.keep();
            }
            staged
        }
    };
    Ok(StagedDeb { staged, deb, listed })
}

impl DebPipeline<'_> {
    /// Waits for the packages at these positions of the plan and returns them in plan order.
    ///
    /// # Errors
    /// The first download or decoding that failed.
    pub fn take(&mut self, positions: std::ops::Range<usize>) -> Result<Vec<StagedDeb>, Error> {
        loop {
            let waiting = self.ready.get(positions.clone()).unwrap_or_default();
            if waiting.iter().all(Option::is_some) {
                let taken = positions.filter_map(|position| self.ready.get_mut(position)?.take());
                let taken: Vec<StagedDeb> = taken.collect();
                self.controls.extend(taken.iter().map(|deb| deb.staged.control.text.clone()));
                return Ok(taken);
            }
            match self.arrivals.recv() {
                Ok(Ok((position, deb))) => {
                    if let Some(place) = self.ready.get_mut(position) {
                        *place = Some(deb);
                    }
                }
                Ok(Err(error)) => {
                    self.stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                // All threads ended without delivering everything: only a stop does that.
                Err(_) => return Err(Error::Cancelled),
            }
        }
    }
}

/// Refuses a .deb that is not the package that its index entry names.
pub(crate) fn check_names(packages: &[StagedDeb], planned: &[Planned]) -> Result<(), Error> {
    for (deb, planned) in packages.iter().zip(planned) {
        let control = &deb.staged.control;
        let in_deb = [&control.package, &control.version, &control.architecture];
        if in_deb != [&planned.name, &planned.version, &planned.architecture] {
            let [name, version, architecture] = in_deb;
            return Err(Error::Unpack(rootstrap_unpack::Error::Damaged {
                label: format!("{} {} ({})", planned.name, planned.version, planned.architecture),
                reason: format!("the package in it calls itself {name} {version} ({architecture})"),
            }));
        }
    }
    Ok(())
}
