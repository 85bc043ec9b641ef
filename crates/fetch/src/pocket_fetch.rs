//! Fetching a pocket: its Release first, then all its indexes at once.

use crate::download::Downloader;
use crate::error::Error;
use crate::event::{Event, Report};
use crate::index::IndexFetch;
use crate::mirror::{Mirror, parse_all};
use crate::parsed_index::ParsedIndexWriters;
use crate::pocket::{Index, Pocket, VerifiedPocket};
use crate::release::{ReleaseFetch, ReleaseSource};
use crate::release_criteria::{ReleaseCriteria, listed_component};
use crate::release_history::ReleaseHistory;
use futures_util::future::try_join_all;
use rootstrap_cache::Cache;
use rootstrap_debian::packages::is_relative_path;
use rootstrap_debian::release::Release;
use rootstrap_debian::sources::suite_directory;
use rootstrap_http::redact;
use sha2::{Digest as _, Sha256};

/// The request for one pocket.
pub(crate) struct PocketFetch<'a> {
    pub downloader: &'a Downloader,
    pub cache: &'a Cache,
    pub writers: &'a ParsedIndexWriters,
    pub criteria: ReleaseCriteria<'a>,
    pub report: Report<'a>,
}

impl PocketFetch<'_> {
    /// Fetches and verifies the pocket.
    pub async fn run(&self) -> Result<VerifiedPocket, Error> {
        let &Self { downloader, cache, criteria, report, .. } = self;
        let Pocket { name, suite, components, .. } = criteria.pocket;
        let directory = suite_directory(suite);
        for path in components.iter().chain((!directory.is_empty()).then_some(&directory)) {
            if !is_relative_path(path) {
                return Err(Error::Path { path: path.clone() });
            }
        }
        let mirrors = parse_all(&criteria.pocket.mirrors, suite)?;
        let history = match (&criteria.pocket.moment, &criteria.pocket.further) {
            (None, None) => ReleaseHistory::new(cache, suite),
            (Some(moment), _) => ReleaseHistory::new(cache, &format!("{suite}@{moment}")),
            // Other archives have suites of the same name.
            (None, Some(_)) => ReleaseHistory::new(cache, &format!("{}@{}", short(suite), digest_of(name))),
        };
        let fetch = ReleaseFetch { downloader, history: &history, criteria, report };
        let (verified, source) = fetch.run(&mirrors).await?;
        let (mirrors, first_having) = self.in_order(mirrors, &source, &history);
        let (date, keys) = (verified.release.date, verified.keys.clone());
        report(Event::ReleaseVerified { suite: suite.clone(), date, keys });
        let indexes = self.indexes(&verified.release, &mirrors, source.is_fast()).await?;
        // Stored only now: a mirror that has a new Release but not yet its indexes must not make the older Release of a complete
        // mirror look like a rollback.
        let mut moved_to = None;
        if let ReleaseSource::Mirror { signed, moved_to: base, .. } = source {
            if !criteria.policy.unsigned {
                history.add(date, &signed)?;
                history.set_mirror(&first_having)?;
            }
            moved_to = base;
        }
        Ok(VerifiedPocket {
            name: name.clone(),
            suite: suite.clone(),
            release: verified.release,
            text: verified.text,
            keys: verified.keys,
            moved_to,
            first_having,
            mirrors: mirrors.into_iter().map(|mirror| mirror.uri).collect(),
            indexes,
        })
    }

    /// Returns the mirrors with the one that sent the Release first, because other files are asked of it, and the URI of the first mirror
    /// that did not say that it lacks the pocket: one that is only slow today has it.
    fn in_order(
        &self,
        mut mirrors: Vec<Mirror>,
        source: &ReleaseSource,
        history: &ReleaseHistory,
    ) -> (Vec<Mirror>, String) {
        let uri = |mirror: &Mirror| mirror.uri.clone();
        let (position, having) = match source {
            ReleaseSource::Mirror { position, missing, .. } => {
                let having = (0..).zip(&mirrors).find(|(number, _)| !missing.contains(number));
                (Some(*position), having.map(|(_, mirror)| uri(mirror)))
            }
            ReleaseSource::Cache => {
                let last = history.mirror();
                let is_last = |mirror: &Mirror| last.as_ref() == Some(&redact::userinfo(&mirror.uri));
                let pocket = self.criteria.pocket;
                let fallback = parse_all(&pocket.fallback, &pocket.suite).unwrap_or_default();
                if fallback.iter().any(is_last) {
                    mirrors = fallback;
                }
                let position = mirrors.iter().position(is_last);
                (position, position.and_then(|position| mirrors.get(position)).map(uri))
            }
        };
        let having = having.or(mirrors.first().map(uri)).unwrap_or_default();
        if let Some(head) = position.and_then(|position| mirrors.get_mut(..=position)) {
            head.rotate_right(1);
        }
        (mirrors, having)
    }

    /// Fetches the indexes of all requested components and architectures.
    async fn indexes(&self, release: &Release, mirrors: &[Mirror], is_fast: bool) -> Result<Vec<Index>, Error> {
        let &Self { downloader, cache, writers, criteria, report } = self;
        let suite = &criteria.pocket.suite;
        let fetch = &IndexFetch { downloader, cache, writers, mirrors, suite, release, is_fast, report };
        if suite.ends_with('/') {
            // A flat repository has one index for packages of all architectures.
            let packages = fetch.run_flat().await?;
            let index = |architecture: &&str| Index {
                component: String::new(),
                architecture: (*architecture).to_owned(),
                packages: packages.clone(),
            };
            return Ok(criteria.architectures.iter().map(index).collect());
        }
        let architectures = architectures(release, &criteria.architectures_read(release));
        let indexes = try_join_all(criteria.pocket.components.iter().flat_map(|component| {
            let listed = listed_component(release, component).unwrap_or(component);
            architectures.iter().map(move |architecture| async move {
                let indexed = criteria.pocket.indexed(architecture, release);
                let packages = fetch.run([component, listed], indexed).await?;
                Ok::<_, Error>(packages.map(|packages| Index {
                    component: component.clone(),
                    architecture: (*architecture).to_owned(),
                    packages,
                }))
            })
        }));
        Ok(indexes.await?.into_iter().flatten().collect())
    }
}

/// Returns the beginning of a name, because names of files are limited.
fn short(name: &str) -> &str {
    name.get(..64).unwrap_or(name)
}

/// Returns the beginning of a digest of a name.
fn digest_of(name: &str) -> String {
    let hash = Sha256::digest(name);
    base16ct::lower::encode_string(hash.get(..16).unwrap_or_default())
}

/// Returns the architectures whose indexes are read: the `wanted` ones, and `all` if the archive has a separate index for it.
fn architectures<'a>(release: &Release, wanted: &[&'a str]) -> Vec<&'a str> {
    let lists_all = release.architectures.is_empty() || release.architectures.iter().any(|listed| listed == "all");
    let has_all = lists_all && !release.no_support_for_all;
    let all = (has_all && !wanted.contains(&"all")).then_some("all");
    wanted.iter().copied().chain(all).collect()
}
