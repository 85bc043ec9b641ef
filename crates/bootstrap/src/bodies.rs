//! Download and decode, ahead of the merging: one thread fetches, the others turn each verified deb into file bodies
//! as soon as it is there. Nothing decided here reaches the result; the merge takes packages in plan order.

use crate::event::Report;
use crate::{Error, Event};
use rootstrap_fetch::{Session, VerifiedDeb, Wanted};
use rootstrap_resolve::Planned;
use rootstrap_rootfs::Root;
use rootstrap_unpack::{Staged, payload};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Seek;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};
use std::thread::Scope;

/// A package ready to be merged, and its .deb in case dpkg has to take it.
pub(crate) struct Body {
    pub staged: Staged,
    pub deb: File,
}

impl Body {
    /// Copies the .deb into `directory` of the root, and says under which absolute path. The very file that was verified,
    /// whatever its name in the cache leads to by now.
    pub fn put_deb(&self, root: &Root, directory: &str) -> Result<String, Error> {
        let control = &self.staged.control;
        let path = format!("/{directory}/{}_{}.deb", control.package, control.architecture);
        let place = root.at(path.as_bytes())?;
        let (mut from, mut to) = (&self.deb, place.create_file()?);
        from.rewind().and_then(|()| std::io::copy(&mut from, &mut to)).map_err(Error::io("copy", Path::new(&path)))?;
        place.set_owner(0, 0)?;
        place.set_mode(0o644)?;
        Ok(path)
    }
}

/// The packages of a plan as they become ready.
pub(crate) struct Bodies<'s> {
    arrivals: mpsc::Receiver<Result<(usize, Body), Error>>,
    ready: Vec<Option<Body>>,
    stop: &'s AtomicBool,
}

/// What the threads share.
pub(crate) struct Work<'s> {
    /// Where debs come from.
    pub session: &'s Session,
    /// What to fetch, in plan order.
    pub wanted: &'s [Wanted],
    /// Where bodies go.
    pub store: &'s Root,
    /// Set to make everything end.
    pub stop: &'s AtomicBool,
    /// Where events go.
    pub report: Report<'s>,
}

/// Debs on their way from the fetching thread to the decoding ones, the first of the plan first.
#[derive(Default)]
struct Queue {
    state: Mutex<(BTreeMap<usize, VerifiedDeb>, bool)>,
    changed: Condvar,
}

impl Queue {
    fn push(&self, slot: usize, deb: VerifiedDeb) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0.insert(slot, deb);
        self.changed.notify_one();
    }

    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.changed.notify_all();
    }

    /// The next one; `None` once the queue is closed and empty.
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

/// Starts the threads within `scope`.
pub(crate) fn start<'scope, 'env: 'scope>(scope: &'scope Scope<'scope, 'env>, work: &'env Work<'env>) -> Bodies<'env> {
    let (sender, arrivals) = mpsc::channel();
    let queue = std::sync::Arc::new(Queue::default());
    let decoders = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    for _ in 0..decoders {
        let (queue, sender) = (queue.clone(), sender.clone());
        scope.spawn(move || {
            while let Some((slot, deb)) = queue.pop() {
                if work.stop.load(Ordering::Relaxed) {
                    break;
                }
                let result = decode(deb, slot, work).map(|body| {
                    (work.report)(Event::Unpacked { package: body.staged.control.package.clone() });
                    (slot, body)
                });
                let _ = sender.send(result);
            }
        });
    }
    scope.spawn(move || {
        let result = work.session.debs(work.wanted, &|event| (work.report)(Event::Fetch(event)), &mut |slot, deb| {
            let bytes = work.wanted.get(slot).map_or(0, |wanted| wanted.size);
            (work.report)(Event::Cache { layer: "debs", hit: deb.is_cached(), bytes });
            queue.push(slot, deb);
            if work.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        queue.close();
        if let Err(error) = result {
            let _ = sender.send(Err(error.into()));
        }
    });
    Bodies { arrivals, ready: work.wanted.iter().map(|_| None).collect(), stop: work.stop }
}

/// Decodes a deb into the store. What comes out is kept when a deb is used for the second time: one that is used only once
/// shall not cost more for it.
fn decode(deb: VerifiedDeb, slot: usize, work: &Work<'_>) -> Result<Body, Error> {
    let &Work { session, store, stop, report, .. } = work;
    let label = deb.label().to_owned();
    let kept = if deb.is_cached() { session.derived(&deb, payload::FORM) } else { None };
    let kept = kept.and_then(|mut file| payload::is_whole(&mut file).then_some(file));
    report(Event::Cache { layer: "payloads", hit: kept.is_some(), bytes: 0 });
    let draft = if deb.is_cached() && kept.is_none() { session.draft(&deb, payload::FORM).ok() } else { None };
    let deb = deb.into_file();
    let again = || deb.try_clone().map_err(|source| rootstrap_unpack::Error::Io { label: label.clone(), source });
    let staged = match (kept, draft) {
        (Some(payload), _) => rootstrap_unpack::stage(payload, &label, store, slot, stop)?,
        (None, None) => rootstrap_unpack::stage(again()?, &label, store, slot, stop)?,
        (None, Some(mut draft)) => {
            let (staged, whole) = rootstrap_unpack::stage_and_keep(again()?, &label, store, slot, stop, draft.file())?;
            if whole {
                // A cache that cannot be written is no reason to stop: it will be decoded again.
                let _ = draft.keep();
            }
            staged
        }
    };
    Ok(Body { staged, deb })
}

impl Bodies<'_> {
    /// Waits for the packages at `slots` and hands them over in that order.
    ///
    /// # Errors
    /// The first download or decoding that failed.
    pub fn take(&mut self, slots: std::ops::Range<usize>) -> Result<Vec<Body>, Error> {
        loop {
            let waiting = self.ready.get(slots.clone()).unwrap_or_default();
            if waiting.iter().all(Option::is_some) {
                return Ok(slots.filter_map(|slot| self.ready.get_mut(slot)?.take()).collect());
            }
            match self.arrivals.recv() {
                Ok(Ok((slot, body))) => {
                    if let Some(place) = self.ready.get_mut(slot) {
                        *place = Some(body);
                    }
                }
                Ok(Err(error)) => {
                    self.stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                // All threads ended without bringing everything: only a stop does that.
                Err(_) => return Err(Error::Cancelled),
            }
        }
    }
}

/// A .deb has to be the package its index entry says it is.
pub(crate) fn check_names(packages: &[Body], planned: &[Planned]) -> Result<(), Error> {
    for (body, planned) in packages.iter().zip(planned) {
        let control = &body.staged.control;
        if (&control.package, &control.version) != (&planned.name, &planned.version) {
            return Err(Error::Unpack(rootstrap_unpack::Error::Damaged {
                label: format!("{} {}", planned.name, planned.version),
                reason: format!("the package in it calls itself {} {}", control.package, control.version),
            }));
        }
    }
    Ok(())
}
