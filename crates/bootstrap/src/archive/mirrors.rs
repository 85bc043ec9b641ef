//! Which pockets a request wants, and on which mirrors each of them is tried.

use crate::archive::at_pocket::at_pocket;
use crate::archive::host_mirrors::host_mirrors;
use crate::archive::served::{ServedPocket, is_local};
use crate::archive::snapshot;
use crate::error::Error;
use crate::event::{Event, Report};
use crate::request::{Host, Sources};
use rootstrap_http::redact;
use rootstrap_suites::{Pocket, Suite};
use std::collections::HashSet;

/// Returns the pockets wanted, each with the mirrors to try for it.
pub(crate) fn pockets(
    sources: &Sources,
    host: &Host,
    suite: &Suite,
    architecture: &str,
    report: Report<'_>,
) -> Result<Vec<rootstrap_fetch::Pocket>, Error> {
    let apt_sources: Vec<(&str, &str)> =
        host.sources.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let of_host = match suite.vendor() {
        // The host's mirrors hold current suites only.
        Some(vendor) if sources.mirrors.is_empty() && !suite.ended && sources.snapshot.is_none() => {
            host_mirrors(&host.os_release, &apt_sources, vendor, architecture)
        }
        _ => Vec::new(),
    };
    let mut found = Vec::new();
    for (pocket, name) in wanted_pockets(sources, suite)? {
        let host = of_host.iter().filter(|mirror| mirror.serves(pocket)).map(|mirror| mirror.uri.clone());
        let vendor: Vec<String> =
            suite.mirrors(architecture).into_iter().map(|mirror| mirror.base(pocket).to_owned()).collect();
        // A pocket that is asked for by name has to exist.
        let optional = !is_named(sources, pocket) && suite.optional.contains(&pocket);
        // A mirror that has the suite need not have all of its pockets.
        let is_partial = pocket != Pocket::Release && !optional && !sources.is_own;
        let has_fallback = is_partial && sources.snapshot.is_none() && !sources.mirrors.is_empty();
        let fallback = if has_fallback { vendor.clone() } else { Vec::new() };
        let mut mirrors: Vec<String> = match (&sources.snapshot, sources.mirrors.as_slice()) {
            (Some(snapshot), _) => snapshot::uris(snapshot, suite, pocket),
            (None, []) => host.chain(vendor).collect(),
            (None, named) => named.iter().flat_map(|mirror| at_pocket(mirror, suite, pocket)).collect(),
        };
        mirrors.extend(sources.further_mirrors.iter().flat_map(|mirror| at_pocket(mirror, suite, pocket)));
        let mut seen = HashSet::new();
        mirrors.retain(|mirror| seen.insert(mirror.clone()));
        if pocket == Pocket::Release && !of_host.is_empty() {
            report(Event::Note("taking the mirrors of this host's own apt sources first".to_owned()));
        }
        let components = if sources.components.is_empty() { suite.components() } else { sources.components.clone() };
        found.push(rootstrap_fetch::Pocket {
            name: pocket.name().to_owned(),
            suite: name,
            moment: sources.snapshot.as_ref().map(|snapshot| snapshot::timestamp(snapshot.at)),
            mirrors,
            fallback,
            components,
            variant: sources.arch_variant.clone(),
            optional,
            ended: suite.ended,
            unsupported: false,
            further: None,
        });
    }
    Ok(found)
}

/// Whether a pocket is asked for by name, with or without a plus.
fn is_named(sources: &Sources, pocket: Pocket) -> bool {
    sources.pockets.iter().any(|name| name.strip_prefix('+').unwrap_or(name) == pocket.name())
}

/// Returns the addresses of a pocket that a lock names: those of the user's mirrors or else of the vendor's, and none that only this
/// machine knows. `serving` is the mirror that sent the Release.
pub(crate) fn lasting_uris(sources: &Sources, suite: &Suite, architecture: &str, served: &ServedPocket) -> Vec<String> {
    let (name, serving) = (served.name.as_str(), served.mirror());
    let Some(pocket) = Pocket::ALL.into_iter().find(|pocket| pocket.name() == name) else {
        // An archive beside the suite's own has one address, and a directory is its own.
        return if is_local(name) { Vec::new() } else { vec![redact::userinfo(serving)] };
    };
    let mut uris: Vec<String> = match (&sources.snapshot, sources.mirrors.as_slice()) {
        // Where the service has the moment that it took.
        (Some(_), _) => vec![redact::userinfo(serving)],
        (None, _) if !is_of_user(sources, suite, pocket, &served.first_having) => {
            suite.mirrors(architecture).into_iter().map(|mirror| mirror.base(pocket).to_owned()).collect()
        }
        (None, named) => {
            let mut all: Vec<String> = named.iter().flat_map(|mirror| at_pocket(mirror, suite, pocket)).collect();
            all.sort_by_key(|uri| *uri != served.first_having);
            all.iter().map(|uri| redact::userinfo(uri)).collect()
        }
    };
    let mut seen = HashSet::new();
    uris.retain(|uri| seen.insert(uri.clone()));
    uris
}

/// Whether an address is one at which a mirror of the user may have a pocket. Others are the vendor's. User and password do not matter.
pub(crate) fn is_of_user(sources: &Sources, suite: &Suite, pocket: Pocket, uri: &str) -> bool {
    let uri = redact::userinfo(uri);
    sources.mirrors.iter().flat_map(|mirror| at_pocket(mirror, suite, pocket)).any(|own| redact::userinfo(&own) == uri)
}

/// Returns the pockets wanted and their names under `dists/`.
pub(crate) fn wanted_pockets(sources: &Sources, suite: &Suite) -> Result<Vec<(Pocket, String)>, Error> {
    let mut found = Vec::new();
    if sources.pockets.iter().all(|name| name.starts_with('+')) {
        for pocket in Pocket::DEFAULT {
            found.extend(suite.pocket(pocket).map(|name| (pocket, name.to_owned())));
        }
    }
    for wanted in &sources.pockets {
        let wanted = wanted.strip_prefix('+').unwrap_or(wanted);
        let unknown = || Error::UnknownPocket { name: wanted.to_owned(), suite: suite.codename.clone() };
        let pocket = Pocket::ALL.into_iter().find(|pocket| pocket.name() == wanted).ok_or_else(unknown)?;
        let name = suite.pocket(pocket).ok_or_else(unknown)?;
        if found.iter().all(|(known, _)| *known != pocket) {
            found.push((pocket, name.to_owned()));
        }
    }
    Ok(found)
}
