//! `rootstrap outdated`: what a rebuild would change, from indexes alone.

use crate::archives::Archives;
use crate::error::Error;
use crate::event::Report;
use crate::lock::{Upgrade, in_order, lock_from, locked_request};
use crate::request::{Machine, Request, Sources};
use rootstrap_debian::version::Version;
use rootstrap_lock::{Change, ChangedPackage, Lock, Package, Platform, changes};
use std::path::PathBuf;

/// What a rebuild would change in the root of one architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outdated {
    /// The architecture.
    pub architecture: String,
    /// The packages that differ, sorted by name.
    pub updates: Vec<Update>,
}

/// A package that a rebuild would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Its name, with its architecture if that is a further one of the root.
    pub name: String,
    /// What would happen to it.
    pub change: Change,
    /// The version that the lock has.
    pub old: Option<String>,
    /// The version that the archive has.
    pub new: Option<String>,
    /// The pocket that has the new version.
    pub pocket: Option<String>,
    /// Whether the security pocket has a version that is newer than the old one.
    pub security: bool,
}

impl Update {
    /// Returns a change of which nothing is known but the two packages.
    pub(crate) fn new(changed: &ChangedPackage<'_>, security: bool) -> Self {
        let version = |package: Option<&Package>| package.map(|package| package.version.clone());
        Self {
            name: changed.label.clone(),
            change: changed.change,
            old: version(changed.old),
            new: version(changed.new),
            pocket: changed.new.map(|package| package.pocket.clone()),
            security,
        }
    }
}

/// Returns the packages that differ between two roots of one architecture, sorted by name.
#[must_use]
pub fn updates(old: &Platform, new: &Platform) -> Vec<Update> {
    changes(old, new).iter().map(|changed| Update::new(changed, false)).collect()
}

/// A lock, where it is, and the sources of which it takes whom to trust, and how freshness is judged.
pub type LockToRenew = (PathBuf, Lock, Sources);

/// Returns what a rebuild of each lock would change, one result for each lock, in their order. Every index is read once.
///
/// # Errors
/// The cache cannot be used. The result for a lock is an error if its suite is unknown, its archive cannot be had or trusted, or no set of
/// packages satisfies its request.
pub fn outdated(
    locks: &[LockToRenew],
    machine: &Machine,
    report: Report<'_>,
) -> Result<Vec<Result<Vec<Outdated>, Error>>, Error> {
    let mut archives = Archives::new(machine, report)?;
    let request = |(path, lock, sources): &LockToRenew| {
        let sources = Sources { suite: lock.request.suite.clone(), ..sources.clone() };
        locked_request(lock, path, sources, machine.clone())
    };
    let mut requests: Vec<Result<Request, Error>> = locks.iter().map(request).collect();
    archives.open_all(&mut requests);
    let of_lock = |(request, (_, lock, _)): (&Result<Request, Error>, &LockToRenew)| {
        request.as_ref().ok().map(|request| of_lock(lock, request, &archives))
    };
    let found = in_order(&requests.iter().zip(locks).collect::<Vec<_>>(), &|pair| of_lock(*pair));
    let result = |(request, found): (Result<Request, Error>, Option<_>)| {
        request.and_then(|_| found.unwrap_or(Err(Error::Cancelled)))
    };
    Ok(requests.into_iter().zip(found).map(result).collect())
}

fn of_lock(lock: &Lock, request: &Request, archives: &Archives<'_>) -> Result<Vec<Outdated>, Error> {
    let now = lock_from(archives, request, None, &Upgrade::All)?;
    let mut found = Vec::new();
    for request in request.platforms() {
        let architecture = request.selection.architecture.as_str();
        let fixes = archives.of(&request)?.security_fixes();
        let is_fixed = |changed: &ChangedPackage<'_>| {
            let old = changed.old.filter(|_| changed.new.is_some());
            old.is_some_and(|old| {
                let fix = fixes.get(&(old.name.as_str(), old.architecture.as_str()));
                fix.is_some_and(|fix| *fix > Version::new(&old.version))
            })
        };
        let (Some(old), Some(new)) = (lock.platform(architecture), now.platform(architecture)) else { continue };
        let updates = changes(old, new).iter().map(|changed| Update::new(changed, is_fixed(changed))).collect();
        found.push(Outdated { architecture: architecture.to_owned(), updates });
    }
    Ok(found)
}
