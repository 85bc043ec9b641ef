//! An open archive: the verified pockets of one suite, the plan made of them, and the way to their debs.

use crate::archive::further;
use crate::archive::input_file::read_input;
use crate::archive::local_debs::{self, LocalDebs};
use crate::archive::locked;
use crate::archive::mirrors::pockets;
use crate::archive::served::{ServedPocket, is_local};
use crate::archive::snapshot::{self, FAR};
use crate::error::Error;
use crate::event::{Event, Report};
use crate::request::{Machine, Selection, Sources};
use rootstrap_debian::packages::{Head, Package};
use rootstrap_debian::release::parse_moment;
use rootstrap_debian::version::Version;
use rootstrap_fetch::{Keyring, ListedDeb, Options, Policy, Session, VerifiedPocket};
use rootstrap_http::Url;
use rootstrap_lock::{Lock, Source};
use rootstrap_resolve::{Index, Plan, Variant};
use rootstrap_suites::{MergedUsr, Pocket, Suite};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What is said of `--no-check-sig`.
const UNSIGNED: &str =
    "signatures are not checked, so whoever sits between here and the mirror decides what is installed";

/// The pockets of one suite, and the session that fetches from them.
pub(crate) struct Archive {
    pub session: Session,
    /// The pockets that serve a build, in the order in which plans number them.
    pub served: Vec<ServedPocket>,
    /// The same pockets with their indexes.
    pub(super) pockets: Vec<VerifiedPocket>,
    /// The debs that the user names by their paths. They are the last ones of `served`.
    local: Vec<LocalDebs>,
    /// The keys of the suite, if they are not its own.
    pub own_keys: Option<Vec<u8>>,
    /// The host of each of them, as pins name it.
    sites: Vec<String>,
    /// Set from outside to stop.
    cancel: Arc<AtomicBool>,
}

/// What it takes to open an archive.
pub(crate) struct ArchiveOptions<'a> {
    pub selection: &'a Selection,
    pub sources: &'a Sources,
    pub machine: &'a Machine,
    pub suite: &'a Suite,
    /// Where downloads are kept: the machine's cache, or a directory that lasts as long as the run.
    pub cache: &'a Path,
    pub report: Report<'a>,
}

/// Fetches and verifies all pockets that are asked for.
pub(crate) fn open(options: &ArchiveOptions<'_>) -> Result<Archive, Error> {
    let &ArchiveOptions { selection, sources, machine, suite, report, .. } = options;
    let keyring = keyring(sources, suite)?;
    if let Some(snapshot) = &sources.snapshot {
        snapshot::check(snapshot, suite, machine.now)?;
    }
    let mut pockets = pockets(sources, &machine.host, suite, &selection.architecture, report)?;
    let further = further::pockets(sources, &keyring)?;
    let moment = sources.valid_at.or(sources.snapshot.as_ref().map(|snapshot| snapshot.at));
    let policy = Policy {
        now: moment.unwrap_or(machine.now),
        allow_rollback: sources.allow_rollback,
        unsigned: sources.unsigned,
    };
    let is_unsupported = is_unsupported(suite, policy.now);
    pockets.iter_mut().for_each(|pocket| pocket.unsupported = is_unsupported);
    pockets.extend(further);
    let session = session(options)?;
    if sources.unsigned {
        report(Event::Warning(UNSIGNED.to_owned()));
    }
    let pockets = session.pockets(&pockets, &selection.architectures(), &keyring, &policy, &|event| {
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
    let mut served: Vec<ServedPocket> = pockets.iter().map(ServedPocket::from).collect();
    if let Some(snapshot) = &sources.snapshot {
        let current = current(options)?;
        for (served, pocket) in served.iter_mut().zip(&pockets) {
            let said = snapshot::settle(served, pocket.moved_to(), snapshot);
            let is_far = served.snapshot.as_deref().and_then(parse_moment).is_some_and(|at| snapshot.at - at >= FAR);
            said.into_iter().for_each(|text| report(if is_far { Event::Warning(text) } else { Event::Note(text) }));
            served.current = current(&served.name);
        }
    }
    let local = local_debs::read(selection, served.len())?;
    served.extend(local.iter().map(|debs| debs.served.clone()));
    let own_keys = own_keys(sources, &keyring)?;
    let sites = sites(sources, &pockets);
    Ok(Archive { session, served, pockets, local, sites, own_keys, cancel: machine.cancel.clone() })
}

/// Opens the archive as a lock has it. Nothing is fetched but debs.
///
/// # Errors
/// No key that signed a Release file in the lock is trusted.
pub(crate) fn open_locked(options: &ArchiveOptions<'_>, lock: &Lock, path: &Path) -> Result<Archive, Error> {
    let &ArchiveOptions { selection, sources, machine, suite, report, .. } = options;
    let keyring = keyring(sources, suite)?;
    let further = further::pockets(sources, &keyring)?;
    // The digests of the lock vouch for debs that the user names.
    let judged = |source: &&Source| !sources.unsigned && !is_local(&source.pocket);
    for source in lock.sources_of(&selection.architecture).filter(judged) {
        let of_further = further.iter().find(|pocket| pocket.name == source.pocket);
        let keys = of_further.and_then(|pocket| pocket.further.as_ref()).map_or(&keyring, |further| &further.keyring);
        let trusted = keys.fingerprints();
        if !source.signed_by.iter().any(|key| trusted.contains(key)) {
            let (path, suite) = (path.to_owned(), source.suite.clone());
            return Err(Error::LockKeys { path, suite, keys: source.signed_by.clone() });
        }
    }
    let mut pockets = pockets(sources, &machine.host, suite, &selection.architecture, report)?;
    pockets.extend(further);
    let of_debs = local_debs::mirrors(selection)?;
    let mirrors = |name: &str| {
        if let Some((_, mirror)) = of_debs.iter().find(|(directory, _)| directory == name) {
            return vec![mirror.clone()];
        }
        let pocket = pockets.iter().find(|pocket| pocket.name == name);
        pocket.map(|pocket| pocket.mirrors.clone()).unwrap_or_default()
    };
    let mut served = locked::served(lock, &selection.architecture, &mirrors);
    let current = current(options)?;
    for served in &mut served {
        if sources.snapshot.is_some() {
            served.current = current(&served.name);
        }
        served.mirrors.extend(snapshot::fallbacks(sources, suite, &served.name, served.date, machine.now));
    }
    let session = session(options)?;
    // The tree has the keys of the lock, also if the caller's keyring has been renewed.
    let own_keys = match lock.request.keyring.as_str() {
        "" => own_keys(sources, &keyring)?,
        armored => Some(Keyring::from_bytes(&[armored.as_bytes()])?.to_binary()?),
    };
    Ok(Archive {
        session,
        served,
        pockets: Vec::new(),
        local: Vec::new(),
        sites: Vec::new(),
        own_keys,
        cancel: machine.cancel.clone(),
    })
}

/// Returns the mirrors of a pocket that have the archive as it is now, for a request of a snapshot from the vendor's own services. Those
/// services are to be spared: most packages of a snapshot are still in the archive.
fn current(options: &ArchiveOptions<'_>) -> Result<impl Fn(&str) -> Vec<String>, Error> {
    let &ArchiveOptions { selection, sources, machine, suite, .. } = options;
    let is_vendors = sources.snapshot.as_ref().is_some_and(|snapshot| snapshot.services.is_empty());
    let now = Sources { snapshot: None, ..sources.clone() };
    let pockets = match is_vendors {
        true => pockets(&now, &machine.host, suite, &selection.architecture, &|_| ())?,
        false => Vec::new(),
    };
    Ok(move |name: &str| {
        let pocket = pockets.iter().find(|pocket| pocket.name == name);
        pocket.map(|pocket| pocket.mirrors.clone()).unwrap_or_default()
    })
}

pub(crate) fn session(options: &ArchiveOptions<'_>) -> Result<Session, Error> {
    let &ArchiveOptions { sources, machine, suite, cache, report, .. } = options;
    let session = Session::open(Options {
        cache: Some(cache.to_owned()),
        temporary: machine.temporary.clone(),
        remote: machine.remote.clone(),
        offline: machine.offline,
        for_later: machine.cache.is_some(),
        jobs: machine.jobs,
        gentle: snapshot::servers(sources, suite),
        // The certificate is for mirrors, and not for registries.
        http: rootstrap_http::Options { identity: machine.identity.clone(), ..machine.network.clone() },
        logins: machine.logins.clone(),
        left_out: machine.left_out.clone(),
        cancel: machine.cancel.clone(),
        ..Options::default()
    })?;
    if let Some(reason) = session.cache().distrust() {
        let kept = "only downloads are kept there, and they are verified at each use";
        report(Event::Warning(format!("the cache is not yours alone ({reason}): {kept}")));
    }
    Ok(session)
}

/// Returns whether the vendor's support of a suite has ended at `now`, in seconds since 1970.
fn is_unsupported(suite: &Suite, now: i64) -> bool {
    suite.ended || suite.ends.as_deref().and_then(parse_moment).is_some_and(|end| end < now)
}

/// Returns the keys that take the place of the suite's own.
fn own_keys(sources: &Sources, keyring: &Keyring) -> Result<Option<Vec<u8>>, Error> {
    Ok(if sources.keyrings.is_empty() { None } else { Some(keyring.to_binary()?) })
}

pub(crate) fn keyring(sources: &Sources, suite: &Suite) -> Result<Keyring, Error> {
    let mut files = Vec::new();
    for path in &sources.keyrings {
        files.push(read_input(path).map_err(Error::io("read the keyring", path))?);
    }
    let own = suite.keyrings.iter().filter_map(|name| rootstrap_suites::keyring(name));
    let blobs: Vec<&[u8]> = if files.is_empty() { own.collect() } else { files.iter().map(Vec::as_slice).collect() };
    if blobs.is_empty() && sources.unsigned {
        return Ok(Keyring::default());
    }
    let named = sources.keyrings.iter().zip(&blobs).filter(|_| !files.is_empty());
    for (path, blob) in named {
        Keyring::from_bytes(&[blob]).map_err(|error| match error {
            rootstrap_fetch::Error::Keyring { source } => Error::Keyring { path: path.clone(), source },
            error => error.into(),
        })?;
    }
    Ok(Keyring::from_bytes(&blobs)?)
}

impl Archive {
    /// Returns the newest date among the Release files: the default epoch of whatever is made from them.
    pub fn date(&self) -> i64 {
        self.served.iter().map(|pocket| pocket.date).max().unwrap_or_default()
    }

    /// Returns the keys of the suite as armored text, if they are not its own.
    pub fn keyring(&self) -> Result<String, Error> {
        let Some(keys) = &self.own_keys else { return Ok(String::new()) };
        Ok(Keyring::from_bytes(&[keys])?.to_armor()?)
    }

    /// Starts to fetch the packages that are certain to be installed, while the plan is made. The plan does not depend on this: a
    /// download that the plan turns out not to need is given up.
    pub fn prefetch(&self, selection: &Selection, suite: &Suite) {
        let native = selection.architecture.as_str();
        let by_priority = match selection.variant {
            Variant::Extract | Variant::Distroless | Variant::Custom => return,
            Variant::Essential | Variant::Apt => false,
            Variant::Minbase | Variant::Buildd | Variant::Important | Variant::Standard => true,
        };
        let is_certain = |head: &Head<'_>| {
            let is_selected = head.is_essential() || (by_priority && head.priority == "required");
            let is_left_out = || selection.exclude.iter().chain(&suite.exclude).any(|name| name == head.name);
            is_selected && (head.architecture == native || head.architecture == "all") && !is_left_out()
        };
        let mut newest: BTreeMap<&str, (Version<'_>, usize, Package<'_>)> = BTreeMap::new();
        // Of an archive with another priority, the plan takes what is asked for.
        let usual = self.pockets.iter().enumerate().filter(|(_, pocket)| {
            !pocket.release().not_automatic && Pocket::ALL.iter().any(|known| known.name() == pocket.name())
        });
        for (number, pocket) in usual {
            for index in pocket.indexes() {
                let packages = index.packages();
                for position in 0..packages.len() {
                    let head = packages.head(position);
                    let version = Version::new(head.version);
                    let is_of_index = head.architecture == index.architecture() || head.architecture == "all";
                    if is_of_index && is_certain(&head) && newest.get(head.name).is_none_or(|known| version > known.0) {
                        newest.insert(head.name, (version, number, packages.package(position)));
                    }
                }
            }
        }
        let wanted = newest.into_values().filter_map(|(_, pocket, package)| self.listed(pocket, &package));
        self.session.prefetch(&wanted.collect::<Vec<_>>());
    }

    /// Returns what to download for a package of the pocket with this number; `None` if its stanza names no file.
    pub fn listed(&self, pocket: usize, package: &Package<'_>) -> Option<ListedDeb> {
        let (path, size, digest) = package.file().ok()?;
        let mirrors = self.served.get(pocket)?.deb_mirrors();
        Some(ListedDeb { label: package.name.to_owned(), path: path.to_owned(), size, digest, mirrors })
    }

    /// Decides what is installed. Versions in `keep`, by package name, are taken where the archive still has them.
    pub fn plan(
        &self,
        selection: &Selection,
        suite: &Suite,
        keep: BTreeMap<String, String>,
        report: Report<'_>,
    ) -> Result<Plan, Error> {
        let pockets = self.pockets.iter().zip(&self.sites).enumerate();
        let mut indexes: Vec<Index<'_>> =
            pockets.flat_map(|(number, (pocket, site))| indexes(number, pocket, site)).collect();
        for (number, local) in (self.pockets.len()..).zip(&self.local) {
            indexes.extend(local.indexes(number));
        }
        let is_unmerged = suite.merged_usr(selection.variant == Variant::Buildd) == MergedUsr::No;
        let mut plan = rootstrap_resolve::plan(
            &indexes,
            &rootstrap_resolve::Request {
                variant: selection.variant,
                architecture: selection.architecture.clone(),
                foreign: selection.architectures().into_iter().skip(1).map(str::to_owned).collect(),
                include: selection.include.clone(),
                debs: self.local.iter().flat_map(LocalDebs::debs).cloned().collect(),
                exclude: selection.exclude.clone(),
                recommends: selection.recommends,
                add: if is_unmerged { Vec::new() } else { suite.required.clone() },
                avoid: suite.exclude.clone(),
                preferences: selection.preferences.clone(),
                keep,
                hash_bins: suite.dpkg_bins,
            },
            &self.cancel,
        )?;
        for pattern in &plan.unmatched {
            report(Event::Warning(format!("no package matches the pattern {pattern}")));
        }
        plan.pockets = self.served.iter().map(ServedPocket::place).collect();
        Ok(plan)
    }

    /// Returns what to download for a plan, in plan order.
    pub fn wanted(&self, plan: &Plan) -> Vec<ListedDeb> {
        plan.phases
            .iter()
            .flat_map(|phase| &phase.packages)
            .map(|package| ListedDeb {
                label: format!("{}_{}_{}.deb", package.name, package.version, package.architecture),
                path: package.path.clone(),
                size: package.size,
                digest: package.digest,
                mirrors: self.served.get(package.pocket).map(ServedPocket::deb_mirrors).unwrap_or_default(),
            })
            .collect()
    }
}

/// Returns the name of the host in a URI; nothing for a directory.
fn host(uri: &str) -> String {
    let url = Url::parse(uri).ok().filter(|url| url.scheme().starts_with("http"));
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    host.trim_matches(['[', ']']).to_owned()
}

/// Returns the host that each pocket's packages come from, as pins name it. For the suite's own archive this is the mirror that the user
/// named, or nothing: a plan must not depend on mirrors that only this machine knows.
fn sites(sources: &Sources, pockets: &[VerifiedPocket]) -> Vec<String> {
    let named = sources.mirrors.first().map(|uri| host(uri)).unwrap_or_default();
    let is_own = |pocket: &VerifiedPocket| Pocket::ALL.iter().any(|own| own.name() == pocket.name());
    pockets.iter().map(|pocket| if is_own(pocket) { named.clone() } else { host(pocket.mirror()) }).collect()
}

/// Returns the indexes of one pocket as the resolver takes them.
fn indexes<'a>(number: usize, verified: &'a VerifiedPocket, site: &'a str) -> impl Iterator<Item = Index<'a>> {
    verified.indexes().iter().map(move |index| Index {
        pocket: number,
        release: verified.release(),
        site,
        component: index.component(),
        architecture: index.architecture(),
        packages: index.packages(),
    })
}

#[cfg(test)]
mod tests {
    use super::{host, is_unsupported};
    use rootstrap_debian::release::parse_moment;
    use rootstrap_suites::{keyring, lookup};

    #[test]
    fn hosts_are_named_without_port_and_user() {
        for (uri, name) in [
            ("http://m.example", "m.example"),
            ("https://me:secret@m.example:8080/debian", "m.example"),
            ("http://[::1]:80/x", "::1"),
            ("file:///srv/mirror", ""),
            ("copy:/srv/mirror", ""),
        ] {
            assert_eq!(host(uri), name, "{uri}");
        }
    }

    #[test]
    fn support_ends_at_a_date() {
        let at = |name: &str, date: &str| is_unsupported(lookup(name).unwrap(), parse_moment(date).unwrap());
        assert!(at("buster", "2020-01-01"), "it has moved");
        assert!(!at("trusty", "2019-04-24") && at("trusty", "2019-04-26"));
        assert!(!at("sid", "2090-01-01"), "it never ends");
    }

    /// Each ended release was signed with a key of its own for the archive and another for the security archive. The current
    /// keyring has neither of them any more.
    #[test]
    fn ended_suites_trust_the_keys_that_signed_them() {
        for (name, keys) in [
            ("jessie", ["126C0D24BD8A2942CC7DF8AC7638D0442B90D010", "D21169141CECD440F2EB8DDA9D6D8F6BC857C906"]),
            ("stretch", ["E1CF20DDFFE4B89E802658F1E0B11894F66AEC98", "6ED6F5CB5FA6FB2F460AE88EEDA0D2388AE22BA9"]),
            ("buster", ["80D15823B7FD1561F9F7BCDDDC30D7C23CBBABEE", "5E61B217265DA9807A23C5FF4DFAB270CAA96DFA"]),
            ("trusty", ["790BC7277767219C42C86F933B4FE6ACC0B21F32"; 2]),
        ] {
            let blobs: Vec<&[u8]> = lookup(name).unwrap().keyrings.iter().filter_map(|file| keyring(file)).collect();
            let trusted = rootstrap_fetch::Keyring::from_bytes(&blobs).unwrap().fingerprints();
            assert!(keys.iter().all(|key| trusted.iter().any(|known| known == key)), "{name}: {trusted:?}");
        }
    }
}
