//! A name such as `stable` on a mirror that the user names: there it is what the mirror calls so, and not what the vendor does.

use crate::archive::{ArchiveOptions, keyring, read_lock, session};
use crate::error::Error;
use crate::event::{Event, Report};
use crate::request::Request;
use crate::staging::downloads::Downloads;
use rootstrap_fetch::{Pocket, Policy};

/// Returns the request with the suite that a lock has, if the request names mirrors and an alias: what the mirrors had under that name was
/// found out when the lock was made.
pub(crate) fn settled_by(request: &Request, locked: &rootstrap_lock::Request) -> Request {
    let mut request = request.clone();
    let sources = &mut request.sources;
    let is_alias = rootstrap_suites::lookup(&sources.suite)
        .is_some_and(|listed| !listed.codename.eq_ignore_ascii_case(&sources.suite));
    let is_listed = rootstrap_suites::lookup(&locked.suite).is_some_and(|suite| suite.codename == locked.suite);
    if !is_alias || sources.mirrors.is_empty() {
        return request;
    }
    if locked.own_suite {
        sources.is_own = locked.suite == sources.suite;
    } else if is_listed {
        sources.suite.clone_from(&locked.suite);
    }
    request
}

/// Returns the request with the suite that its mirrors have under an alias of a listed one: another listed suite, or one of their own. A
/// lock decides it without the network.
///
/// # Errors
/// A mirror has a Release file under that name which cannot be trusted.
pub(crate) fn settle(request: &Request, report: Report<'_>) -> Result<Request, Error> {
    let mut request = request.clone();
    let sources = &request.sources;
    let Some(listed) = rootstrap_suites::lookup(&sources.suite) else { return Ok(request) };
    let is_alias = !listed.codename.eq_ignore_ascii_case(&sources.suite);
    if sources.is_own || !is_alias || sources.mirrors.is_empty() || sources.snapshot.is_some() {
        return Ok(request);
    }
    if let Some(choice) = &sources.lock {
        return Ok(match &choice.lock {
            Some(lock) => settled_by(&request, &lock.request),
            None => settled_by(&request, &read_lock(&choice.path)?.request),
        });
    }
    let (machine, selection) = (&request.machine, &request.selection);
    let downloads = Downloads::create(machine)?;
    let cache = &downloads.path(machine);
    let session = session(&ArchiveOptions { selection, sources, machine, suite: listed, cache, report })?;
    // Its indexes are read later, under the name that it turns out to have.
    let pocket = Pocket {
        name: "release".to_owned(),
        suite: sources.suite.clone(),
        mirrors: sources.mirrors.clone(),
        optional: true,
        unsupported: true,
        ..Pocket::default()
    };
    let policy = Policy {
        now: sources.valid_at.unwrap_or(machine.now),
        allow_rollback: sources.allow_rollback,
        unsigned: sources.unsigned,
    };
    let found = match session.pockets(&[pocket], &[], &keyring(sources, listed)?, &policy, &|_| ()) {
        Err(rootstrap_fetch::Error::Offline { .. }) => return Ok(request),
        found => found?,
    };
    let Some(release) = found.first().map(|pocket| pocket.release()) else { return Ok(request) };
    match rootstrap_suites::lookup(&release.codename) {
        Some(suite) if suite.codename == release.codename => {
            let alias = std::mem::replace(&mut request.sources.suite, suite.codename.clone());
            request.sources.alias = Some(alias);
        }
        _ => {
            let name = &request.sources.suite;
            report(Event::Note(format!("{name} is the mirror's own suite, and not {}", listed.codename)));
            request.sources.is_own = true;
        }
    }
    Ok(request)
}
