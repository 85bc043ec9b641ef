//! The archive as a lock has it: what a lock records of pockets and plans, and how a build takes both from it.

use crate::archive::served::{ServedPocket, is_further, is_local};
use crate::archive::snapshot::at_moment;
use crate::error::Error;
use rootstrap_debian::digest::Digest;
use rootstrap_debian::packages::source as source_package;
use rootstrap_http::redact;
use rootstrap_lock::{Lock, Package, Platform, Source};
use rootstrap_resolve::{Phase, Plan, Planned};
use std::collections::HashMap;
use std::path::Path;

/// Returns what a lock says of a pocket. `uris` are the addresses that do not depend on this machine.
pub(crate) fn source(pocket: &ServedPocket, architecture: &str, uris: Vec<String>) -> Source {
    Source {
        pocket: pocket.name.clone(),
        suite: pocket.suite.clone(),
        codename: pocket.codename.clone(),
        origin: pocket.origin.clone(),
        architectures: vec![architecture.to_owned()],
        uris,
        snapshot: pocket.snapshot.clone(),
        release_sha256: pocket.release,
        date: pocket.date,
        valid_until: pocket.valid_until,
        signed_by: pocket.keys.clone(),
    }
}

/// Returns what a lock says of a plan.
///
/// # Errors
/// An index lists no SHA-256 of a package.
pub(crate) fn platform(plan: &Plan, served: &[ServedPocket], architecture: &str) -> Result<Platform, Error> {
    let package = |planned: &Planned| {
        let Planned {
            name,
            version,
            architecture,
            size,
            installed_size,
            pocket,
            component,
            path,
            digest,
            essential,
            automatic,
            multi_arch,
            priority,
            section,
            source,
            why,
            choice: _,
        } = planned.clone();
        if !matches!(digest, Digest::Sha256(_)) {
            return Err(Error::NotLockable { reason: format!("the archive has no SHA256 of {name}") });
        }
        let pocket = served.get(pocket).map(|pocket| pocket.name.clone()).unwrap_or_default();
        let source = if source.is_empty() { name.clone() } else { source };
        Ok(Package {
            name,
            version,
            architecture,
            source,
            pocket,
            component,
            path,
            size,
            sha256: digest,
            installed_size,
            priority,
            section,
            multi_arch,
            essential,
            automatic,
            why,
        })
    };
    let packages = plan.packages().map(|(_, planned)| package(planned)).collect::<Result<Vec<_>, Error>>()?;
    let mut platform =
        Platform { architecture: architecture.to_owned(), without: plan.without.clone(), phases: Vec::new(), packages };
    let mut labels = platform.packages.iter().map(|package| platform.label(package));
    let phases = plan.phases.iter().map(|phase| rootstrap_lock::Phase {
        name: phase.name.clone(),
        packages: labels.by_ref().take(phase.packages.len()).collect(),
    });
    platform.phases = phases.collect();
    Ok(platform)
}

/// Returns a package of a lock as plans have it. `pockets` are the names of the pockets, in the order of their numbers.
fn planned(package: &Package, pockets: &[&str]) -> Option<Planned> {
    let Package {
        name,
        version,
        architecture,
        source,
        pocket,
        component,
        path,
        size,
        sha256,
        installed_size,
        priority,
        section,
        multi_arch,
        essential,
        automatic,
        why,
    } = package.clone();
    let is_own = source_package(&source, &name, &version) == (&*name, &*version);
    Some(Planned {
        pocket: pockets.iter().position(|known| *known == pocket)?,
        source: if is_own { String::new() } else { source },
        digest: sha256,
        name,
        version,
        architecture,
        size,
        installed_size,
        component,
        path,
        essential,
        automatic,
        multi_arch,
        priority,
        section,
        why,
        choice: "locked".to_owned(),
    })
}

/// Returns the plan that a lock has for an architecture. `path` names the lock in errors.
///
/// # Errors
/// The lock has no root of that architecture, or its plan breaks the rules of plans.
pub(crate) fn plan(lock: &Lock, architecture: &str, path: &Path) -> Result<Plan, Error> {
    let platform = lock.platform(architecture).ok_or_else(|| {
        let has: Vec<&str> = lock.platforms.iter().map(|platform| platform.architecture.as_str()).collect();
        Error::Lock {
            path: path.to_owned(),
            reason: format!("it has no root for {architecture}, only for {}", has.join(", ")),
        }
    })?;
    let pockets: Vec<&str> = lock.sources_of(architecture).map(|source| source.pocket.as_str()).collect();
    let packages: HashMap<String, &Package> = platform.packages.iter().map(|it| (platform.label(it), it)).collect();
    let planned = |label: &String| planned(packages.get(label)?, &pockets);
    let place = |source: &Source| match is_further(&source.pocket) {
        true => source.pocket.clone(),
        false => source.suite.clone(),
    };
    let places = lock.sources_of(architecture).map(place).collect();
    let phases = platform
        .phases
        .iter()
        .map(|phase| Phase { name: phase.name.clone(), packages: phase.packages.iter().filter_map(planned).collect() });
    let plan =
        Plan { phases: phases.collect(), without: platform.without.clone(), unmatched: Vec::new(), pockets: places };
    let reason = |error: rootstrap_resolve::Error| error.to_string();
    plan.check().map_err(|error| Error::Lock { path: path.to_owned(), reason: reason(error) })?;
    Ok(plan)
}

/// Returns the pockets that a lock has for an architecture. `mirrors` are those of this machine for a pocket; the addresses in the lock come
/// after them.
pub(crate) fn served(lock: &Lock, architecture: &str, mirrors: &dyn Fn(&str) -> Vec<String>) -> Vec<ServedPocket> {
    let served = |source: &Source| {
        let mut all = mirrors(&source.pocket);
        // The service is asked for the moment that it had, not for the one that it would have to look for.
        if let Some(moment) = &source.snapshot {
            all = all.iter().map(|uri| at_moment(uri, moment)).collect();
        }
        let known: Vec<String> = all.iter().map(|uri| redact::userinfo(uri)).collect();
        // The lock's own directory is not the one that the user means here.
        let of_lock = if is_local(&source.pocket) { &[][..] } else { source.uris.as_slice() };
        all.extend(of_lock.iter().filter(|uri| !known.contains(uri)).cloned());
        if lock.request.mirror.is_some() {
            // The target's sources name the first one.
            all.sort_by_key(|uri| Some(&redact::userinfo(uri)) != source.uris.first());
        }
        ServedPocket {
            name: source.pocket.clone(),
            suite: source.suite.clone(),
            codename: source.codename.clone(),
            origin: source.origin.clone(),
            date: source.date,
            valid_until: source.valid_until,
            release: source.release_sha256,
            keys: source.signed_by.clone(),
            snapshot: source.snapshot.clone(),
            current: Vec::new(),
            first_having: all.first().cloned().unwrap_or_default(),
            mirrors: all,
        }
    };
    lock.sources_of(architecture).map(served).collect()
}
