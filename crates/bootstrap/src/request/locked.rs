//! A request as a lock holds it, and the request that a lock makes of another.

use crate::error::Error;
use crate::request::parts::Request;
use rootstrap_http::redact;
use rootstrap_resolve::Variant;

impl Request {
    /// Returns what a lock says of this request. `codename` is that of the suite, `keys` are the fingerprints of the keys that are trusted
    /// instead of the suite's own.
    pub(crate) fn to_locked(&self, codename: &str, keys: Vec<String>) -> rootstrap_lock::Request {
        let Self { selection, sources, customization, output, .. } = self;
        let further = output.further_platforms.iter().cloned();
        rootstrap_lock::Request {
            suite: codename.to_owned(),
            architectures: std::iter::once(selection.architecture.clone()).chain(further).collect(),
            variant: selection.variant.name().to_owned(),
            include: selection.include.clone(),
            exclude: selection.exclude.clone(),
            recommends: selection.recommends,
            add_architectures: selection.add_architectures.clone(),
            pockets: sources.pockets.clone(),
            components: sources.components.clone(),
            mirror: sources.mirrors.first().map(|uri| redact::userinfo(uri.trim_end_matches('/'))),
            keys,
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
            // One lock serves several architectures, and the caller compares suite and keys.
            suite: _,
            architectures: _,
            variant,
            include,
            exclude,
            recommends,
            add_architectures,
            pockets,
            components,
            mirror,
            keys: _,
            slim,
        } = locked;
        let selection = &mut request.selection;
        selection.variant = variant.parse::<Variant>()?;
        selection.include.clone_from(include);
        selection.exclude.clone_from(exclude);
        selection.recommends = *recommends;
        selection.add_architectures.clone_from(add_architectures);
        let sources = &mut request.sources;
        sources.pockets.clone_from(pockets);
        sources.components.clone_from(components);
        let written = |uri: &String| redact::userinfo(uri.trim_end_matches('/'));
        match mirror {
            None => sources.mirrors.clear(),
            // The user's own form of the address may have a password.
            Some(mirror) if sources.mirrors.first().map(written).as_ref() == Some(mirror) => {}
            Some(mirror) => sources.mirrors = vec![mirror.clone()],
        }
        sources.further_mirrors.clone_from(&self.sources.mirrors);
        request.customization.slim = *slim;
        Ok(request)
    }
}
