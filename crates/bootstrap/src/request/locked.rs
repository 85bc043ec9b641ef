//! A request as a lock holds it, and the request that a lock makes of another.

use crate::error::Error;
use crate::request::parts::Request;
use crate::request::sources::{FurtherSource, Snapshot};
use rootstrap_debian::preferences;
use rootstrap_debian::release::{format_date, parse_moment};
use rootstrap_http::redact;
use rootstrap_resolve::Variant;

/// What a lock says of sources that name the snapshot.
const SNAPSHOT: &str = "snapshot";

/// Returns the services that the user named, without user and password.
fn services(snapshot: &Snapshot) -> Vec<String> {
    snapshot.services.iter().map(|uri| redact::userinfo(uri)).collect()
}

/// Parses a further source of a lock.
fn further(text: &str) -> Result<FurtherSource, Error> {
    let bad = |reason: String| Error::FurtherSource {
        entry: "in the lock".to_owned(),
        reason,
        hint: "make the lock again, with rootstrap lock",
    };
    let mut parsed = rootstrap_debian::sources::parse(text).map_err(|error| bad(error.to_string()))?.into_iter();
    let mut entry = parsed.next().ok_or_else(|| bad("it is empty".to_owned()))?;
    let keys = entry.key.take();
    Ok(FurtherSource { entry, keys })
}

impl Request {
    /// Returns what a lock says of this request. `codename` is that of the suite.
    pub(crate) fn to_locked(&self, codename: &str) -> rootstrap_lock::Request {
        let Self { selection, sources, customization, output, .. } = self;
        let further = output.further_platforms.iter().cloned();
        rootstrap_lock::Request {
            suite: codename.to_owned(),
            own_suite: sources.is_own,
            architectures: std::iter::once(selection.architecture.clone()).chain(further).collect(),
            variant: selection.variant.name().to_owned(),
            include: selection.include.clone(),
            exclude: selection.exclude.clone(),
            recommends: selection.recommends,
            preferences: preferences::to_text(&selection.preferences),
            further_sources: sources.further.iter().map(FurtherSource::to_text).collect(),
            add_architectures: selection.add_architectures.clone(),
            arch_variant: sources.arch_variant.clone(),
            pockets: sources.pockets.clone(),
            components: sources.components.clone(),
            mirror: sources.mirrors.first().map(|uri| redact::userinfo(uri.trim_end_matches('/'))),
            snapshot: sources.snapshot.as_ref().map(|snapshot| format_date(snapshot.at)),
            snapshot_services: sources.snapshot.as_ref().map(services).unwrap_or_default(),
            sources: sources.write_snapshot.then(|| SNAPSHOT.to_owned()),
            own_keyring: !sources.keyrings.is_empty(),
            // Who opens the archive knows them.
            keyring: String::new(),
            slim: customization.slim,
        }
    }

    /// Returns this request with all that decides the packages taken from a lock.
    ///
    /// # Errors
    /// The lock names a variant that there is not.
    pub(crate) fn with_locked(&self, locked: &rootstrap_lock::Request) -> Result<Self, Error> {
        let mut request = self.clone();
        let rootstrap_lock::Request {
            // One lock serves several architectures, and the caller compares the suite. Keyrings are named for each run.
            suite: _,
            own_suite,
            architectures: _,
            variant,
            include,
            exclude,
            recommends,
            preferences,
            further_sources,
            add_architectures,
            arch_variant,
            pockets,
            components,
            mirror,
            snapshot,
            snapshot_services,
            sources: which,
            own_keyring: _,
            keyring: _,
            slim,
        } = locked;
        let (selection, sources) = (&mut request.selection, &mut request.sources);
        selection.variant = variant.parse::<Variant>()?;
        selection.include.clone_from(include);
        selection.exclude.clone_from(exclude);
        selection.recommends = *recommends;
        selection.preferences = preferences::parse(preferences)
            .map_err(|error| Error::Preferences { what: "in the lock".to_owned(), reason: error.to_string() })?;
        selection.add_architectures.clone_from(add_architectures);
        sources.is_own = *own_suite;
        // The user's own form of an address may have a password.
        let written: Vec<String> = sources.further.iter().map(FurtherSource::to_text).collect();
        if written != *further_sources {
            sources.further = further_sources.iter().map(|text| further(text)).collect::<Result<_, Error>>()?;
        }
        sources.arch_variant.clone_from(arch_variant);
        (sources.pockets, sources.components) = (pockets.clone(), components.clone());
        let written = |uri: &String| redact::userinfo(uri.trim_end_matches('/'));
        match mirror {
            None => sources.mirrors.clear(),
            // The user's own form of the address may have a password.
            Some(mirror) if sources.mirrors.first().map(written).as_ref() == Some(mirror) => {}
            Some(mirror) => sources.mirrors = vec![mirror.clone()],
        }
        // A lock may be applied twice: by the command that reads it, and by the build.
        let new = self.sources.mirrors.iter().filter(|uri| !self.sources.further_mirrors.contains(uri));
        sources.further_mirrors.extend(new.cloned());
        // The services as the user names them may have a password.
        let same = |given: &Snapshot| services(given) == *snapshot_services;
        let given = sources.snapshot.as_ref().filter(|given| same(given)).map(|given| given.services.clone());
        let services = given.unwrap_or_else(|| snapshot_services.clone());
        sources.snapshot = snapshot.as_deref().and_then(parse_moment).map(|at| Snapshot { at, services });
        sources.write_snapshot = which.as_deref() == Some(SNAPSHOT);
        request.customization.slim = *slim;
        Ok(request)
    }
}
