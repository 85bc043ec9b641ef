//! The bill of materials: what the result is made of and where it came from, written beside it.
//!
//! It depends on the request, the suite and the archive alone, as the result does: addresses are those of the mirror that is
//! written into the target, whichever served this run.

use crate::hidden::NewFile;
use crate::suite::Suite;
use crate::target::{self, parent};
use crate::{Error, Request, Target, archive, first_stage, sources};
use rootstrap_debian::digest::Digest;
use rootstrap_debian::packages;
use rootstrap_debian::relation::{self, Relation};
use rootstrap_debian::version::Version;
use rootstrap_fetch::VerifiedPocket;
use rootstrap_image::compress::Compression;
use rootstrap_resolve::{Plan, Planned};
use rootstrap_rootfs::Root;
use rootstrap_sbom::{Facts, Package, Release, uri};
use sha2::Digest as _;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

const NAMES: &str = "names end in .spdx.json or .spdx for SPDX, and in .cdx.json, .cdx or bom.json for CycloneDX";

const ENDINGS: [(&str, Format); 5] = [
    (".spdx.json", Format::Spdx),
    (".spdx", Format::Spdx),
    (".cdx.json", Format::CycloneDx),
    (".cdx", Format::CycloneDx),
    ("bom.json", Format::CycloneDx),
];

/// What a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Spdx,
    CycloneDx,
}

impl Format {
    /// What a name means by its ending, as the formats' own conventions have it.
    fn from_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| *format)
    }
}

/// The name of a document about one of several platforms: `app.spdx.json` becomes `app.arm64.spdx.json`.
pub(crate) fn of_platform(path: &Path, architecture: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let split = ENDINGS.iter().find_map(|(ending, _)| Some((name.strip_suffix(ending)?, *ending)));
    let (stem, ending) = split.unwrap_or((&name, ""));
    let parts = [stem.trim_end_matches(['.', '-', '_']), architecture, ending.trim_start_matches('.')];
    path.with_file_name(parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("."))
}

fn refuse(path: &Path, reason: &str, hint: &'static str) -> Error {
    Error::Bill { path: path.to_owned(), reason: reason.to_owned(), hint }
}

/// A refused target's words for a refused bill.
fn in_own_words(error: Error) -> Error {
    match error {
        Error::Target { path, reason, hint } => Error::Bill { path, reason, hint },
        error => error,
    }
}

/// The files under names that stay right, as [`target::resolve`] has them. Refuses names that do not say what is meant.
pub(crate) fn resolve(given: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let resolve = |path: &PathBuf| {
        Format::from_name(path).ok_or_else(|| refuse(path, "its name does not say in which format", NAMES))?;
        let resolved = target::resolve(&Target::File(path.clone(), crate::Format::Tar(Compression::default())));
        resolved.map(|file| file.path().unwrap_or(path).to_owned()).map_err(in_own_words)
    };
    given.iter().map(resolve).collect()
}

/// Refuses resolved files that cannot be written.
pub(crate) fn check(request: &Request) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for path in &request.sboms {
        if !seen.insert(path) {
            return Err(refuse(path, "it is named twice", "name another file for the other one"));
        }
        if request.target.path() == Some(path.as_path()) {
            return Err(refuse(path, "it is the target", "name another file for one of them"));
        }
        if let Target::Directory(target) | Target::Layout(target, _) = &request.target
            && path.starts_with(target)
        {
            return Err(refuse(path, "it would be in the target", "choose a place beside it"));
        }
        target::check_file(path).map_err(in_own_words)?;
    }
    Ok(())
}

/// One that is written, and the name it gets.
pub(crate) type Bill = (NewFile, PathBuf);

/// The documents asked for, complete and without a name yet. Dropping them removes them.
pub(crate) fn write(facts: &Facts, request: &Request) -> Result<Vec<Bill>, Error> {
    let write = |path: &PathBuf| {
        let text = match Format::from_name(path) {
            Some(Format::CycloneDx) => rootstrap_sbom::cyclonedx(facts),
            _ => rootstrap_sbom::spdx(facts),
        };
        let mut new = NewFile::create(parent(path))?;
        let written = new.file.write_all(text.as_bytes()).and_then(|()| new.file.sync_all());
        written.map_err(Error::io("write", path))?;
        Ok((new, path.clone()))
    };
    request.sboms.iter().map(write).collect()
}

/// Gives the documents their names: the result has its own by now.
pub(crate) fn publish(bills: Vec<Bill>) -> Result<(), Error> {
    bills.into_iter().try_for_each(|(new, path)| new.publish(&path))
}

/// All that is known of a build whose packages are in `root`, before it is tidied: its apt documents the vendor's mirrors.
///
/// # Errors
/// The tree cannot be read.
pub(crate) fn facts(
    root: &Root,
    request: &Request,
    suite: &Suite,
    served: &[VerifiedPocket],
    plan: &Plan,
    epoch: i64,
) -> Result<Facts, Error> {
    let architecture = request.architecture()?;
    let bases = bases(root, request, suite, served)?;
    let base = |pocket: usize| bases.get(pocket).map_or("", String::as_str);
    let vendor = match suite.vendor() {
        Some(vendor) => vendor.name.clone(),
        // Derivatives sign their Release with a name of their own.
        None => {
            let origin = served.first().map_or("", |pocket| pocket.release().origin.as_str());
            origin.to_lowercase().split_whitespace().collect::<Vec<_>>().join("-")
        }
    };
    let variant = request.variant.name();
    let name = [vendor.as_str(), &suite.codename, variant, architecture].join("-");
    let releases = served.iter().enumerate().map(|(number, pocket)| Release {
        pocket: pocket.name().to_owned(),
        suite: pocket.suite().to_owned(),
        codename: pocket.release().codename.clone(),
        date: pocket.release().date,
        uri: uri(base(number), &format!("dists/{}/Release", pocket.suite())),
        digest: release_digest(pocket.release_text()),
        keys: pocket.keys().to_vec(),
    });
    Ok(Facts {
        name: name.trim_start_matches('-').to_owned(),
        image: request.image,
        vendor,
        codename: suite.codename.clone(),
        version: suite.version.clone().unwrap_or_default(),
        architecture: architecture.to_owned(),
        epoch,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        variant: variant.to_owned(),
        options: options(request),
        packages: materials(served, plan, base),
        releases: releases.collect(),
    })
}

/// Digest of the file `Release`, out of the text that a signature covers: in a message with its signature inside, the line end
/// before the signature is not part of that (RFC 9580 §7.2), and otherwise both are the same bytes.
fn release_digest(text: &str) -> Digest {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    Digest::Sha256(sha2::Sha256::new().chain_update(text).chain_update(end).finalize().into())
}

/// Where each served pocket is on the mirror that the target will use.
fn bases(root: &Root, request: &Request, suite: &Suite, served: &[VerifiedPocket]) -> Result<Vec<String>, Error> {
    // What a tree that is not finished will have for sources lies beside it.
    let places = match request.foreign {
        true => sources::places(&root.below(first_stage::FILES.as_bytes())?, request, suite, served)?,
        false => sources::places(root, request, suite, served)?,
    };
    let wanted = archive::wanted_pockets(request, suite)?;
    let architecture = request.architecture()?;
    let base = |pocket: &VerifiedPocket| {
        let listed = places.iter().find(|(name, _)| name == pocket.suite()).map(|(_, uri)| uri.clone());
        // The target's sources leave out what an ended suite will never change.
        listed.or_else(|| {
            let (kind, _) = wanted.iter().find(|(_, name)| name == pocket.suite())?;
            suite.mirrors(architecture).last().map(|mirror| mirror.base(*kind).to_owned())
        })
    };
    Ok(served.iter().map(|pocket| base(pocket).unwrap_or_default()).collect())
}

/// What was asked for and the result depends on, by the names of the command line.
fn options(request: &Request) -> Vec<(String, String)> {
    let date = |seconds: Option<i64>| seconds.map(|seconds| format!("@{seconds}"));
    let list = |words: &[String]| (!words.is_empty()).then(|| words.join(","));
    let flag = |set: bool| set.then(|| "true".to_owned());
    // Where the host has them is its own business.
    let copied: Vec<String> = request.copies.iter().map(|copy| copy.to.display().to_string()).collect();
    [
        ("foreign", flag(request.foreign)),
        ("image", flag(request.image)),
        ("slim", flag(request.slim)),
        ("copy", list(&copied)),
        ("include", list(&request.include)),
        ("exclude", list(&request.exclude)),
        ("recommends", flag(request.recommends)),
        ("add-architecture", list(&request.add_architectures)),
        ("components", list(&request.components)),
        ("pockets", list(&request.pockets)),
        ("mirror", request.mirrors.first().map(|uri| sources::without_password(uri))),
        ("valid-at", date(request.valid_at)),
        ("allow-rollback", flag(request.allow_rollback)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

/// One package per package of the plan, in its order, with what its index says of it.
fn materials<'a>(served: &'a [VerifiedPocket], plan: &Plan, base: impl Fn(usize) -> &'a str) -> Vec<Package> {
    let planned: Vec<&Planned> = plan.packages().map(|(_, package)| package).collect();
    let entries = entries(served, &planned);
    let graph = Graph::new(&planned, &entries);
    let material = |(position, package): (usize, &&Planned)| {
        let entry = entries.get(position).copied().unwrap_or_default();
        let (source, source_version) = packages::source(&package.source, &package.name, &package.version);
        Package {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            source: source.to_owned(),
            source_version: source_version.to_owned(),
            digest: package.digest,
            size: package.size,
            installed_size: package.installed_size,
            uri: uri(base(package.pocket), package.path.strip_prefix("./").unwrap_or(&package.path)),
            maintainer: entry.maintainer.to_owned(),
            original_maintainer: entry.original_maintainer.to_owned(),
            homepage: entry.homepage.to_owned(),
            summary: entry.description.to_owned(),
            // Debian policy §12.5.
            licence: format!("/usr/share/doc/{}/copyright", package.name),
            depends: graph.depends(position),
        }
    };
    planned.iter().enumerate().map(material).collect()
}

/// The index entry of each package; empty where there is none, which cannot be: the plan was made of them.
fn entries<'a>(served: &'a [VerifiedPocket], planned: &[&Planned]) -> Vec<packages::Package<'a>> {
    let mut found = vec![packages::Package::default(); planned.len()];
    for (number, pocket) in served.iter().enumerate() {
        let of_pocket = planned.iter().enumerate().filter(|(_, package)| package.pocket == number);
        let wanted: HashMap<&str, usize> =
            of_pocket.map(|(position, package)| (package.path.as_str(), position)).collect();
        for entry in pocket.indexes().iter().flat_map(|index| index.packages().packages()) {
            if let Some(slot) = wanted.get(entry.filename).and_then(|position| found.get_mut(*position))
                && slot.name.is_empty()
            {
                *slot = entry;
            }
        }
    }
    found
}

/// Which package of a plan meets which dependency.
struct Graph<'a> {
    planned: &'a [&'a Planned],
    entries: &'a [packages::Package<'a>],
    /// By name: real packages, without a version, and those that provide it, with the version they provide.
    named: BTreeMap<&'a str, Vec<(usize, Option<Relation<'a>>)>>,
}

impl<'a> Graph<'a> {
    fn new(planned: &'a [&'a Planned], entries: &'a [packages::Package<'a>]) -> Self {
        let mut named: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (position, package) in planned.iter().enumerate() {
            named.entry(&package.name).or_default().push((position, None));
        }
        for (position, entry) in entries.iter().enumerate() {
            for provided in relation::parse_field(entry.provides).unwrap_or_default().into_iter().flatten() {
                named.entry(provided.name).or_default().push((position, Some(provided)));
            }
        }
        Self { planned, entries, named }
    }

    /// The packages that the one at `position` depends on: of each group the first alternative that is there, a real package
    /// before one that provides it.
    fn depends(&self, position: usize) -> Vec<usize> {
        let Some(entry) = self.entries.get(position) else { return Vec::new() };
        let fields = [entry.pre_depends, entry.depends];
        let groups = fields.iter().flat_map(|field| relation::parse_field(field).unwrap_or_default());
        let found = groups.filter_map(|group| group.iter().find_map(|wanted| self.meets(wanted, entry.architecture)));
        found.filter(|other| *other != position).collect::<BTreeSet<usize>>().into_iter().collect()
    }

    fn meets(&self, wanted: &Relation<'_>, architecture: &str) -> Option<usize> {
        let admits = |(position, provided): &&(usize, Option<Relation<'_>>)| match provided {
            None => self.planned.get(*position).is_some_and(|found| wanted.admits(Version::new(&found.version))),
            Some(Relation { version: Some((_, version)), .. }) => wanted.admits(*version),
            Some(_) => wanted.version.is_none(),
        };
        let fitting: Vec<usize> =
            self.named.get(wanted.name)?.iter().filter(admits).map(|(position, _)| *position).collect();
        let of_own = |position: &&usize| {
            let found = self.planned.get(**position).map(|package| package.architecture.as_str());
            found.is_some_and(|found| found == architecture || found == "all")
        };
        fitting.iter().find(of_own).or(fitting.first()).copied()
    }
}

#[cfg(test)]
#[path = "bill_tests.rs"]
mod tests;
