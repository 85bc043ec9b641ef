//! The SBOM: what the result is made of and where that came from, written beside the result.
//!
//! An SBOM depends on the request, the suite and the archive alone, as the result does: its addresses are those of the mirror that is
//! written into the target, whichever mirror served this run.

use crate::archive::{self, ServedPocket};
use crate::error::Error;
use crate::finish::sources;
use crate::publish::options;
use crate::publish::side_file::{self, SideFile};
use crate::request::sbom::SbomFormat;
use crate::request::{Output, Request};
use crate::staging::new_file::NewFile;
use crate::staging::place::parent;
use crate::two_stage::first;
use rootstrap_configure::privilege::Janitor;
use rootstrap_debian::packages;
use rootstrap_debian::relation::{self, Relation};
use rootstrap_debian::sources::path_in_suite;
use rootstrap_debian::version::Version;
use rootstrap_http::redact;
use rootstrap_resolve::{Plan, Planned};
use rootstrap_rootfs::Root;
use rootstrap_sbom::{Facts, Package, Release, uri};
use rootstrap_suites::Suite;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

const NAMES: &str = "names end in .spdx.json or .spdx for SPDX, and in .cdx.json, .cdx or bom.json for CycloneDX";

fn refuse(path: &Path, reason: &str, hint: &'static str) -> Error {
    Error::Sbom { path: path.to_owned(), reason: reason.to_owned(), hint }
}

/// Returns the files with paths that stay valid, as [`side_file::resolve`] does. Refuses names that do not decide the format.
pub(crate) fn resolve(given: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let resolve = |path: &PathBuf| {
        SbomFormat::from_name(path).ok_or_else(|| refuse(path, "its name does not say in which format", NAMES))?;
        side_file::resolve(path).map_err(|error| match error {
            Error::Target { path, reason, hint } => Error::Sbom { path, reason, hint },
            error => error,
        })
    };
    given.iter().map(resolve).collect()
}

/// Refuses resolved files that cannot be written.
pub(crate) fn check(output: &Output, janitor: &Janitor) -> Result<(), Error> {
    let refuse = |path: &Path, reason, hint| Error::Sbom { path: path.to_owned(), reason, hint };
    side_file::check(output.sboms.iter(), output, janitor, &refuse)
}

/// Writes the SBOMs at `paths` without giving them their names. Dropping the result removes them.
pub(crate) fn write(facts: &Facts, paths: &[PathBuf], janitor: &Janitor) -> Result<Vec<SideFile>, Error> {
    let write = |path: &PathBuf| {
        let text = match SbomFormat::from_name(path) {
            Some(SbomFormat::CycloneDx) => rootstrap_sbom::cyclonedx(facts),
            _ => rootstrap_sbom::spdx(facts),
        };
        let mut new = NewFile::create(parent(path), janitor)?;
        let written = new.file.write_all(text.as_bytes()).and_then(|()| new.file.sync_all());
        written.map_err(Error::io("write", path))?;
        Ok((new, path.clone()))
    };
    paths.iter().map(write).collect()
}

/// What is known of a build.
pub(crate) struct BuildFacts<'a> {
    /// The root, before it is tidied: its apt documents the vendor's mirrors.
    pub root: &'a Root,
    pub request: &'a Request,
    pub suite: &'a Suite,
    /// The pockets that served the build.
    pub served: &'a [ServedPocket],
    pub plan: &'a Plan,
    /// The control file of each package of the plan, in its order.
    pub controls: &'a [String],
    pub epoch: i64,
}

/// Returns what SBOMs and attestations say of a build.
///
/// # Errors
/// The tree cannot be read.
pub(crate) fn facts(build: &BuildFacts<'_>) -> Result<Facts, Error> {
    let &BuildFacts { request, suite, served, plan, controls, epoch, .. } = build;
    let architecture = request.selection.architecture.as_str();
    let bases = bases(build)?;
    let base = |pocket: usize| bases.get(pocket).map_or("", String::as_str);
    let vendor = match suite.vendor() {
        Some(vendor) => vendor.name.clone(),
        // Derivatives sign their Release with a name of their own.
        None => vendor_of(served.first().map_or("", |pocket| pocket.origin.as_str())),
    };
    let publisher = |pocket: usize| match served.get(pocket) {
        Some(pocket) if pocket.is_further() => publisher_of(&pocket.origin, &vendor),
        _ => vendor.clone(),
    };
    let variant = request.selection.variant.name();
    let name = [vendor.as_str(), &suite.codename, variant, architecture].join("-");
    let described = served.iter().enumerate().filter(|(_, pocket)| !pocket.is_local());
    let releases = described.map(|(number, pocket)| Release {
        pocket: pocket.name.clone(),
        suite: pocket.suite.clone(),
        codename: pocket.codename.clone(),
        date: pocket.date,
        uri: uri(base(number), &path_in_suite(&pocket.suite, "Release")),
        digest: pocket.release,
        keys: pocket.keys.clone(),
    });
    Ok(Facts {
        name: name.trim_start_matches('-').to_owned(),
        image: request.output.is_base_image(),
        vendor: vendor.clone(),
        codename: suite.codename.clone(),
        version: suite.version.clone().unwrap_or_default(),
        architecture: architecture.to_owned(),
        epoch,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        variant: variant.to_owned(),
        changes: options::changes(&request.customization)?,
        options: options::packages(request),
        packages: materials(plan, controls, base, publisher),
        releases: releases.collect(),
    })
}

/// Returns the name of who publishes an archive, from the `Origin` of its Release, as package URLs have it.
pub(crate) fn vendor_of(origin: &str) -> String {
    origin.to_lowercase().split_whitespace().collect::<Vec<_>>().join("-")
}

/// Returns who publishes an archive beside that of the suite, which `vendor` publishes. Its own archives have names such as
/// `Debian Backports`.
pub(crate) fn publisher_of(origin: &str, vendor: &str) -> String {
    match vendor_of(origin) {
        name if !vendor.is_empty() && name.split('-').next() == Some(vendor) => vendor.to_owned(),
        name => name,
    }
}

/// Returns the base URI of each served pocket on the mirror that the target will use.
fn bases(build: &BuildFacts<'_>) -> Result<Vec<String>, Error> {
    let &BuildFacts { root, request, suite, served, .. } = build;
    let architecture = request.selection.architecture.as_str();
    let sources = &request.sources;
    // The sources of a tree that is not finished lie beside it.
    let uris = match request.output.is_first_stage() {
        true => {
            let files = root.below(first::FILES.as_bytes())?;
            sources::pocket_uris(&files, architecture, sources, suite, served)?
        }
        false => sources::pocket_uris(root, architecture, sources, suite, served)?,
    };
    let wanted = archive::wanted_pockets(sources, suite)?;
    let base = |pocket: &ServedPocket| {
        if pocket.is_local() {
            return None;
        }
        if pocket.is_further() {
            return Some(redact::userinfo(pocket.mirror()));
        }
        let listed = uris.iter().find(|(name, _)| *name == pocket.suite).map(|(_, uri)| uri.clone());
        // The target's sources leave out pockets of an ended suite that never change.
        listed.or_else(|| {
            let (kind, _) = wanted.iter().find(|(_, name)| *name == pocket.suite)?;
            suite.mirrors(architecture).last().map(|mirror| mirror.base(*kind).to_owned())
        })
    };
    Ok(served.iter().map(|pocket| base(pocket).unwrap_or_default()).collect())
}

/// Returns the address of a package. One of the user's own files has no more than a name: where it is concerns nobody else.
pub(crate) fn address(base: &str, path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    if base.is_empty() { path.to_owned() } else { uri(base, path) }
}

/// Returns the packages of the plan, in its order, with what their control files say of them.
fn materials<'a>(
    plan: &Plan,
    controls: &[String],
    base: impl Fn(usize) -> &'a str,
    publisher: impl Fn(usize) -> String,
) -> Vec<Package> {
    let planned: Vec<&Planned> = plan.packages().map(|(_, package)| package).collect();
    let entry = |position: usize| controls.get(position).and_then(|text| packages::parse(text).into_iter().next());
    let entries: Vec<packages::Package<'_>> = (0..planned.len()).map(|at| entry(at).unwrap_or_default()).collect();
    let graph = Graph::new(&planned, &entries);
    let material = |(position, package): (usize, &&Planned)| {
        let entry = entries.get(position).copied().unwrap_or_default();
        let (source, source_version) = packages::source(&package.source, &package.name, &package.version);
        Package {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            vendor: publisher(package.pocket),
            source: source.to_owned(),
            source_version: source_version.to_owned(),
            digest: package.digest,
            size: package.size,
            installed_size: package.installed_size,
            uri: address(base(package.pocket), &package.path),
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

/// Which package of a plan satisfies which dependency.
struct Graph<'a> {
    planned: &'a [&'a Planned],
    entries: &'a [packages::Package<'a>],
    /// The packages by name: real ones, and those that provide the name, with the relation that says so.
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

    /// Returns the packages that the package at `position` depends on: of each group of alternatives the first one in the plan, a real
    /// package before one that provides the name.
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
#[path = "sbom_tests.rs"]
mod tests;
