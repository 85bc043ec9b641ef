//! The debs of a root in the cache, and in the store behind it, before anything is made of them.

use crate::archive::{self, ArchiveOptions, locked};
use crate::error::Error;
use crate::event::{Event, Report, Stage};
use crate::lock::{self, LockInUse};
use crate::own_suite;
use crate::request::Request;
use crate::staging::downloads::Downloads;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Fetches all debs that `request` needs.
///
/// # Errors
/// As for [`plan`](crate::plan()); a deb cannot be fetched or verified.
pub fn download(request: &Request, report: Report<'_>) -> Result<(), Error> {
    let request = &own_suite::settle(request, report)?;
    let suite = archive::find_suite(&request.sources)?;
    let (request, lock) = lock::apply(request, &suite, report)?;
    for request in request.platforms() {
        let Request { selection, sources, machine, .. } = &request;
        report(Event::Stage(Stage::Indexes));
        let downloads = Downloads::create(machine)?;
        let options =
            ArchiveOptions { selection, sources, machine, suite: &suite, cache: &downloads.path(machine), report };
        let (archive, plan) = match &lock {
            Some(LockInUse { lock, path }) => {
                (archive::open_locked(&options, lock, path)?, locked::plan(lock, &selection.architecture, path)?)
            }
            None => {
                let archive = archive::open(&options)?;
                let plan = archive.plan(selection, &suite, BTreeMap::new(), report)?;
                (archive, plan)
            }
        };
        let report = |event| report(Event::Fetch(event));
        archive.session.debs(&archive.wanted(&plan), &report, &mut |_, _| ControlFlow::Continue(()))?;
    }
    Ok(())
}
