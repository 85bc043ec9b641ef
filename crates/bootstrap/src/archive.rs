//! From a suite's name to verified indexes and, later, verified debs.

use crate::event::Report;
use crate::host::host_mirrors;
use crate::suite::{self, Pocket, Suite};
use crate::{Error, Event, Request, hidden};
use rootstrap_debian::packages::{Head, Package};
use rootstrap_debian::version::Version;
use rootstrap_fetch::{Keyring, Options, Policy, Session, VerifiedPocket, Wanted};
use rootstrap_resolve::{Index, Plan, Variant};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The pockets of one suite, verified, and the session they came through.
pub(crate) struct Archive {
    pub session: Session,
    pub pockets: Vec<VerifiedPocket>,
    /// Where downloads lie that are not kept.
    _private: Option<hidden::Directory>,
}

/// The suite a request names: a listed one, or what a modern one would be where mirror and keyring are given.
pub(crate) fn find_suite(request: &Request) -> Result<Cow<'static, Suite>, Error> {
    let name = request.suite.as_str();
    match suite::lookup(name) {
        Some(suite) => Ok(Cow::Borrowed(suite)),
        None if !request.mirrors.is_empty() && !request.keyrings.is_empty() && is_suite_name(name) => {
            Ok(Cow::Owned(suite::unlisted(name, None)))
        }
        None => Err(Error::UnknownSuite { name: name.to_owned(), nearest: suite::nearest(name) }),
    }
}

/// Names go into URLs.
fn is_suite_name(name: &str) -> bool {
    rootstrap_debian::packages::is_relative_path(name) && !name.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Fetches and verifies all pockets asked for.
pub(crate) fn open(request: &Request, suite: &Suite, report: Report<'_>) -> Result<Archive, Error> {
    let architecture = request.architecture()?;
    let keyring = keyring(request, suite)?;
    let pockets = pockets(request, suite, architecture, report)?;
    // One of our own, so that the next run can remove it if this one is killed.
    let private = match request.cache {
        None => Some(hidden::Directory::create(&request.temporary, "cache".as_ref())?),
        Some(_) => None,
    };
    let session = Session::open(Options {
        cache: request.cache.clone().or(private.as_ref().map(|directory| directory.path().to_owned())),
        temporary: request.temporary.clone(),
        offline: request.offline,
        for_later: request.cache.is_some(),
        jobs: request.jobs,
        proxies: request.host.proxies.clone(),
        cancel: request.cancel.clone(),
        ..Options::default()
    })?;
    let policy = Policy { now: request.valid_at.unwrap_or(request.now), allow_rollback: request.allow_rollback };
    let pockets = session.pockets(&pockets, &request.architectures()?, &keyring, &policy, &|event| {
        let hit = match event {
            rootstrap_fetch::Event::CacheHit { .. } => Some(true),
            rootstrap_fetch::Event::IndexDone { .. } => Some(false),
            _ => None,
        };
        report(Event::Fetch(event));
        if let Some(hit) = hit {
            report(Event::Cache { layer: "indexes", hit, bytes: 0 });
        }
    })?;
    Ok(Archive { session, pockets, _private: private })
}

fn keyring(request: &Request, suite: &Suite) -> Result<Keyring, Error> {
    let mut files = Vec::new();
    for path in &request.keyrings {
        files.push(std::fs::read(path).map_err(Error::io("read the keyring", path))?);
    }
    let own = suite.keyrings.iter().filter_map(|name| suite::keyring(name));
    let blobs: Vec<&[u8]> = if files.is_empty() { own.collect() } else { files.iter().map(Vec::as_slice).collect() };
    Ok(Keyring::from_bytes(&blobs)?)
}

/// The pockets wanted, each with the mirrors to try for it.
fn pockets(
    request: &Request,
    suite: &Suite,
    architecture: &str,
    report: Report<'_>,
) -> Result<Vec<rootstrap_fetch::Pocket>, Error> {
    let sources: Vec<(&str, &str)> =
        request.host.sources.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let host = match suite.vendor() {
        // The host's mirrors hold living suites.
        Some(vendor) if request.mirrors.is_empty() && !suite.ended => {
            host_mirrors(&request.host.os_release, &sources, vendor, architecture)
        }
        _ => Vec::new(),
    };
    let mut found = Vec::new();
    for (pocket, name) in wanted_pockets(request, suite)? {
        let of_host = host.iter().filter(|mirror| mirror.serves(pocket)).map(|mirror| mirror.uri.clone());
        let of_suite = suite.mirrors(architecture).into_iter().map(|mirror| mirror.base(pocket).to_owned());
        let mut mirrors: Vec<String> = match request.mirrors.as_slice() {
            [] => of_host.chain(of_suite).collect(),
            named => named.iter().flat_map(|mirror| at_pocket(mirror, suite, pocket)).collect(),
        };
        let mut seen = std::collections::HashSet::new();
        mirrors.retain(|mirror| seen.insert(mirror.clone()));
        if pocket == Pocket::Release && !host.is_empty() {
            report(Event::Note("taking the mirrors of this host's own apt sources first".to_owned()));
        }
        let components = if request.components.is_empty() { suite.components() } else { request.components.clone() };
        found.push(rootstrap_fetch::Pocket {
            name: pocket_name(pocket).to_owned(),
            suite: name,
            mirrors,
            components,
            // Asked for by name it has to be there.
            optional: request.pockets.is_empty() && suite.optional.contains(&pocket),
            ended: suite.ended,
        });
    }
    Ok(found)
}

/// Where a mirror the user named has a pocket. Vendors that keep security fixes in an archive of their own have it
/// beside the main one, and a mirror of theirs follows that layout (`…/debian` and `…/debian-security`).
pub(crate) fn at_pocket(mirror: &str, suite: &Suite, pocket: Pocket) -> Vec<String> {
    let mirror = mirror.trim_end_matches('/');
    let apart = suite.vendor().is_some_and(|vendor| vendor.separate_security());
    // Behind a bare host name there is nothing to be beside of.
    let has_path = mirror.split_once("://").is_none_or(|(_, rest)| rest.contains('/'));
    if pocket == Pocket::Security && apart && has_path && !mirror.ends_with("-security") {
        return vec![format!("{mirror}-security"), mirror.to_owned()];
    }
    vec![mirror.to_owned()]
}

/// The pockets wanted and their names under `dists/`.
pub(crate) fn wanted_pockets(request: &Request, suite: &Suite) -> Result<Vec<(Pocket, String)>, Error> {
    let mut found = Vec::new();
    if request.pockets.is_empty() {
        for pocket in Pocket::DEFAULT {
            found.extend(suite.pocket(pocket).map(|name| (pocket, name.to_owned())));
        }
        return Ok(found);
    }
    let all = [Pocket::Release, Pocket::Updates, Pocket::Security, Pocket::Backports];
    for wanted in &request.pockets {
        let unknown = || Error::UnknownPocket { name: wanted.clone(), suite: suite.codename.clone() };
        let pocket = all.into_iter().find(|pocket| pocket_name(*pocket) == wanted).ok_or_else(unknown)?;
        found.push((pocket, suite.pocket(pocket).ok_or_else(unknown)?.to_owned()));
    }
    Ok(found)
}

fn pocket_name(pocket: Pocket) -> &'static str {
    match pocket {
        Pocket::Release => "release",
        Pocket::Updates => "updates",
        Pocket::Security => "security",
        Pocket::Backports => "backports",
    }
}

impl Archive {
    /// The newest date among the Release files: the natural age of whatever is made from them.
    pub fn date(&self) -> i64 {
        self.pockets.iter().map(|pocket| pocket.release().date).max().unwrap_or_default()
    }

    /// Begins to fetch what is certain to be installed while it is decided what else is. Nothing rests on it: what the plan
    /// does not name after all is given up.
    pub fn begin(&self, request: &Request, suite: &Suite) -> Result<(), Error> {
        let native = request.architecture()?;
        let by_priority = match request.variant {
            Variant::Extract | Variant::Distroless | Variant::Custom => return Ok(()),
            Variant::Essential | Variant::Apt => false,
            Variant::Minbase | Variant::Buildd | Variant::Important | Variant::Standard => true,
        };
        let is_certain = |head: &Head<'_>| {
            let is_selected = head.is_essential() || (by_priority && head.priority == "required");
            let is_left_out = || request.exclude.iter().chain(&suite.exclude).any(|name| name == head.name);
            is_selected && (head.architecture == native || head.architecture == "all") && !is_left_out()
        };
        let mut newest: BTreeMap<&str, (Version<'_>, usize, Package<'_>)> = BTreeMap::new();
        for (number, pocket) in self.pockets.iter().enumerate() {
            for packages in pocket.indexes().iter().map(rootstrap_fetch::Index::packages) {
                for position in 0..packages.len() {
                    let head = packages.head(position);
                    let version = Version::new(head.version);
                    if is_certain(&head) && newest.get(head.name).is_none_or(|known| version > known.0) {
                        newest.insert(head.name, (version, number, packages.package(position)));
                    }
                }
            }
        }
        let wanted = newest.into_values().filter_map(|(_, pocket, package)| {
            let (path, size, digest) = package.file().ok()?;
            let mirrors = self.pockets.get(pocket)?.mirrors().to_vec();
            Some(Wanted { label: package.name.to_owned(), path: path.to_owned(), size, digest, mirrors })
        });
        self.session.begin(&wanted.collect::<Vec<_>>());
        Ok(())
    }

    /// Decides what is installed.
    pub fn plan(&self, request: &Request, suite: &Suite) -> Result<Plan, Error> {
        let indexes: Vec<Index<'_>> = self
            .pockets
            .iter()
            .enumerate()
            .flat_map(|(number, pocket)| {
                pocket.indexes().iter().map(move |index| Index {
                    pocket: number,
                    component: index.component(),
                    packages: index.packages(),
                })
            })
            .collect();
        let buildd = request.variant == rootstrap_resolve::Variant::Buildd;
        let unmerged = suite.merged_usr(buildd) == suite::MergedUsr::No;
        Ok(rootstrap_resolve::plan(
            &indexes,
            &rootstrap_resolve::Request {
                variant: request.variant,
                architecture: request.architecture()?.to_owned(),
                foreign: request.architectures()?.into_iter().skip(1).map(str::to_owned).collect(),
                include: request.include.clone(),
                exclude: request.exclude.clone(),
                recommends: request.recommends,
                add: if unmerged { Vec::new() } else { suite.required.clone() },
                avoid: suite.exclude.clone(),
                hash_bins: suite.dpkg_bins,
            },
        )?)
    }

    /// What to download for a plan, in plan order.
    pub fn wanted(&self, plan: &Plan) -> Vec<Wanted> {
        plan.phases
            .iter()
            .flat_map(|phase| &phase.packages)
            .map(|package| Wanted {
                label: format!("{}_{}_{}.deb", package.name, package.version, package.architecture),
                path: package.path.clone(),
                size: package.size,
                digest: package.digest,
                mirrors: self.pockets.get(package.pocket).map(|p| p.mirrors().to_vec()).unwrap_or_default(),
            })
            .collect()
    }
}
