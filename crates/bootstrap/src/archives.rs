//! The archives that a run has opened, each of them once.

use crate::archive::{self, Archive, ArchiveOptions};
use crate::error::Error;
use crate::event::{Event, Report, Stage};
use crate::request::{Machine, Request, Sources};
use crate::staging::downloads::Downloads;
use std::sync::{Mutex, PoisonError};

/// How many archives are opened at the same time: most of that time is waited for the network.
const AT_ONCE: usize = 8;

/// The archives that a run has opened, each of them once.
pub(crate) struct Archives<'a> {
    machine: &'a Machine,
    pub report: Report<'a>,
    downloads: Downloads,
    opened: Vec<(OpenedAs, Archive)>,
}

/// What decides which indexes are read.
#[derive(PartialEq, Eq)]
struct OpenedAs {
    architectures: Vec<String>,
    sources: Sources,
    /// The debs that are read beside them.
    debs: Vec<String>,
}

impl<'a> Archives<'a> {
    pub fn new(machine: &'a Machine, report: Report<'a>) -> Result<Self, Error> {
        Ok(Self { machine, report, downloads: Downloads::create(machine)?, opened: Vec::new() })
    }

    /// Opens the archives for all architectures of a request, those that were not opened before.
    pub fn open(&mut self, request: &Request) -> Result<(), Error> {
        request.check_for_lock()?;
        for request in request.platforms() {
            if !self.is_open(&request) {
                (self.report)(Event::Stage(Stage::Indexes));
                let archive = self.open_one(&request)?;
                (self.report)(Event::Stage(Stage::Plan));
                self.opened.push((OpenedAs::of(&request), archive));
            }
        }
        Ok(())
    }

    /// Opens the archives of many requests, some at the same time. What fails is left out, and [`Self::open`] says why.
    fn open_at_once<'r>(&mut self, requests: impl Iterator<Item = &'r Request>) {
        let mut missing: Vec<Request> = Vec::new();
        for request in requests.flat_map(Request::platforms) {
            let is_known = missing.iter().any(|known| OpenedAs::of(known) == OpenedAs::of(&request));
            if !is_known && !self.is_open(&request) && request.check_for_lock().is_ok() {
                missing.push(request);
            }
        }
        (self.report)(Event::Stage(Stage::Indexes));
        let opened = Mutex::new(Vec::new());
        let this = &*self;
        std::thread::scope(|scope| {
            for first in 0..AT_ONCE.min(missing.len()) {
                let (missing, opened) = (&missing, &opened);
                // What a thread that cannot be started leaves out is opened later.
                let _ = std::thread::Builder::new().spawn_scoped(scope, move || {
                    for request in missing.iter().skip(first).step_by(AT_ONCE) {
                        if let Ok(archive) = this.open_one(request) {
                            let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
                            opened.push((OpenedAs::of(request), archive));
                        }
                    }
                });
            }
        });
        self.opened.extend(opened.into_inner().unwrap_or_else(PoisonError::into_inner));
        (self.report)(Event::Stage(Stage::Plan));
    }

    /// Opens the archives of all requests, some at the same time. A request whose archive cannot be opened becomes the reason.
    pub fn open_all(&mut self, requests: &mut [Result<Request, Error>]) {
        self.open_at_once(requests.iter().flatten());
        for request in requests {
            if let Err(error) = request.as_ref().map_or(Ok(()), |request| self.open(request)) {
                *request = Err(error);
            }
        }
    }

    fn is_open(&self, request: &Request) -> bool {
        let wanted = OpenedAs::of(request);
        self.opened.iter().any(|(known, _)| *known == wanted)
    }

    fn open_one(&self, request: &Request) -> Result<Archive, Error> {
        let suite = &archive::find_suite(&request.sources)?;
        let Request { selection, sources, .. } = request;
        let (machine, report, cache) = (self.machine, self.report, &self.downloads.path(self.machine));
        archive::open(&ArchiveOptions { selection, sources, machine, suite, cache, report })
    }

    /// Returns the archive that was opened for a request of one architecture.
    pub fn of(&self, request: &Request) -> Result<&Archive, Error> {
        let wanted = OpenedAs::of(request);
        let found = self.opened.iter().find(|(known, _)| *known == wanted);
        found.map(|(_, archive)| archive).ok_or(Error::Cancelled)
    }
}

impl OpenedAs {
    fn of(request: &Request) -> Self {
        let Request { selection, sources, .. } = request;
        Self {
            architectures: selection.architectures().into_iter().map(str::to_owned).collect(),
            sources: Sources { lock: None, ..sources.clone() },
            debs: selection.include.iter().filter(|include| archive::is_path(include)).cloned().collect(),
        }
    }
}
