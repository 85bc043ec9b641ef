//! Pockets: what is asked of an archive, and what it has proven to offer.

use crate::cache::Cache;
use crate::download::Line;
use crate::error::Error;
use crate::mirror::{Mirror, parse_all};
use crate::parsed::Writers;
use crate::release::{Question, listed_component, obtain};
use crate::{Event, Report, index};
use futures_util::future::try_join_all;
use rootstrap_debian::packages::{Table, is_relative_path};
use rootstrap_debian::release::Release;
use std::sync::Arc;

/// One suite to read from an archive: the release itself, its updates, its security fixes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pocket {
    /// What the caller calls it: `security`.
    pub name: String,
    /// Its path below `dists/`: `trixie-security`, `buster/updates`.
    pub suite: String,
    /// Base URIs (`http:`, `https:`, `file:`, `copy:`), tried in this order.
    pub mirrors: Vec<String>,
    /// Components to read: `main`.
    pub components: Vec<String>,
    /// Not every mirror of the suite has it: where none does, it is left out.
    pub optional: bool,
    /// It no longer changes, so its `Valid-Until` passed long ago and is judged at its own `Date`.
    pub ended: bool,
}

/// What a Release is judged by besides its signature.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The moment (seconds since 1970) at which `Date` and `Valid-Until` are judged: now, or a snapshot's date.
    pub now: i64,
    /// Whether a Release older than the last one seen is accepted.
    pub allow_rollback: bool,
}

/// A `Packages` index of a verified pocket.
#[derive(Debug)]
pub struct Index {
    component: String,
    architecture: String,
    packages: Arc<Table>,
}

impl Index {
    /// The component as it was asked for.
    #[must_use]
    pub fn component(&self) -> &str {
        &self.component
    }

    /// The architecture asked for, or `all` for the separate index of an archive that has one.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Its packages, in its order.
    #[must_use]
    pub fn packages(&self) -> &Table {
        &self.packages
    }
}

/// A pocket whose Release is signed, fresh, and the one asked for, with the indexes it vouches for. Only this crate can
/// make one.
#[derive(Debug)]
pub struct VerifiedPocket {
    name: String,
    suite: String,
    release: Release,
    text: String,
    keys: Vec<String>,
    mirrors: Vec<String>,
    indexes: Vec<Index>,
}

impl VerifiedPocket {
    /// [`Pocket::name`] of the pocket asked for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// [`Pocket::suite`] of the pocket asked for.
    #[must_use]
    pub fn suite(&self) -> &str {
        &self.suite
    }

    /// The parsed Release file.
    #[must_use]
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// The text of the Release file that the signature covers, byte for byte.
    #[must_use]
    pub fn release_text(&self) -> &str {
        &self.text
    }

    /// Fingerprints of the primary keys whose signatures are good, in the order of the signatures.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The mirror that delivered the Release; offline, the first one named. With its password, if it has one.
    #[must_use]
    pub fn mirror(&self) -> &str {
        self.mirrors.first().map_or("", String::as_str)
    }

    /// All mirrors, the one that delivered the Release first: what [`crate::Wanted::mirrors`] of its debs should be. Trailing slashes are gone.
    #[must_use]
    pub fn mirrors(&self) -> &[String] {
        &self.mirrors
    }

    /// The indexes, in the order of [`Pocket::components`].
    #[must_use]
    pub fn indexes(&self) -> &[Index] {
        &self.indexes
    }
}

/// Fetches one pocket: its Release, then all indexes at once.
pub(crate) async fn fetch(
    line: &Line,
    cache: &Cache,
    writers: &Writers,
    question: &Question<'_>,
    report: Report<'_>,
) -> Result<VerifiedPocket, Error> {
    let Pocket { name, suite, components, .. } = question.pocket;
    for path in components.iter().chain([suite]) {
        if !is_relative_path(path) {
            return Err(Error::Path { path: path.clone() });
        }
    }
    let mut mirrors: Vec<Mirror> = parse_all(&question.pocket.mirrors, suite)?;
    let accepted = obtain(line, cache, question, &mirrors, report).await?;
    if let Some(head) = accepted.mirror.and_then(|position| mirrors.get_mut(..=position)) {
        head.rotate_right(1);
    }
    let checked = accepted.checked;
    let (date, keys) = (checked.release.date, checked.keys.clone());
    report(Event::ReleaseVerified { suite: suite.clone(), date, keys });

    let mut wanted = Vec::new();
    for component in components {
        let listed = listed_component(&checked.release, component).unwrap_or(component);
        for architecture in architectures(&checked.release, question.architectures) {
            wanted.push((component, listed, architecture));
        }
    }
    let (source, release) =
        (index::Source { line, cache, writers, mirrors: &mirrors, suite, is_fast: accepted.is_fast }, &checked.release);
    let indexes = try_join_all(wanted.into_iter().map(|(component, listed, architecture)| {
        let source = &source;
        async move {
            let packages = index::fetch(source, release, [component, listed], architecture, report).await?;
            Ok::<_, Error>(packages.map(|packages| Index {
                component: component.clone(),
                architecture: architecture.to_owned(),
                packages,
            }))
        }
    }));
    let indexes = indexes.await?.into_iter().flatten().collect();
    // Only now: a mirror whose indexes are not there yet must not make an older, whole one look like a rollback.
    if let Some(signed) = &accepted.signed {
        cache.remember(suite, checked.release.date, signed)?;
    }
    Ok(VerifiedPocket {
        name: name.clone(),
        suite: suite.clone(),
        release: checked.release,
        text: checked.text,
        keys: checked.keys,
        mirrors: mirrors.into_iter().map(|mirror| mirror.uri).collect(),
        indexes,
    })
}

/// The architectures whose indexes are to be read: also `all`, where an archive keeps it apart.
fn architectures<'a>(release: &Release, wanted: &[&'a str]) -> Vec<&'a str> {
    let has_all = release.architectures.iter().any(|listed| listed == "all") && !release.no_support_for_all;
    let all = (has_all && !wanted.contains(&"all")).then_some("all");
    wanted.iter().copied().chain(all).collect()
}
