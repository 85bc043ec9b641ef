//! From variant, includes and excludes to the packages everything else follows from.

use crate::index::{Archive, Id, Index};
use crate::nearest::nearest;
use crate::{Error, Request, Variant, without};
use rootstrap_debian::relation::is_package_name;
use rootstrap_debian::version::Version;
use std::collections::{BTreeMap, BTreeSet};

/// Why a package was selected; shown when the selection cannot be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    Included,
    Essential,
    Priority,
    Variant,
    Suite,
}

/// What the closure starts from and what it must keep away from.
pub(crate) struct Selection {
    pub chosen: BTreeMap<Id, Why>,
    /// The chosen, as mmdebstrap names them to apt: includes as given, what the variant is named after, the rest.
    pub order: Vec<Id>,
    /// Never, on request.
    pub excluded: BTreeSet<Id>,
    /// Only if nothing else works.
    pub avoided: BTreeSet<Id>,
}

/// An include as typed, taken apart.
pub(crate) struct Include<'r> {
    pub name: &'r str,
    /// A further architecture of the root, if it is not the native one's.
    pub foreign: Option<&'r str>,
    pub version: Option<&'r str>,
}

/// Takes `name[:architecture][=version]` apart.
///
/// # Errors
/// [`Error::BadSelection`] for what is none, or is of an architecture that the root does not have.
pub(crate) fn parse_include<'r>(text: &'r str, request: &Request) -> Result<Include<'r>, Error> {
    let bad = |why: String| Error::BadSelection { what: text.to_owned(), why };
    let (rest, version) = match text.split_once('=') {
        None => (text, None),
        Some((rest, version)) => (rest, Some(version)),
    };
    let (name, qualifier) = match rest.split_once(':') {
        None => (rest, None),
        Some((name, qualifier)) => (name, Some(qualifier)),
    };
    if !is_package_name(name) || version.is_some_and(str::is_empty) {
        return Err(bad("that is no package name".to_owned()));
    }
    let foreign = qualifier.filter(|other| !["any", "native", "all", request.architecture.as_str()].contains(other));
    match foreign {
        Some(other) if !request.foreign.iter().any(|known| known == other) => {
            Err(bad(format!("the root has no architecture {other}; add it with --add-architecture {other}")))
        }
        _ => Ok(Include { name, foreign, version }),
    }
}

/// The versions that includes insist on, by name.
///
/// # Errors
/// [`Error::BadSelection`]; [`Error::UnknownVersion`] with the versions there are.
pub(crate) fn pins<'r>(request: &'r Request, indexes: &[Index<'_>]) -> Result<BTreeMap<&'r str, &'r str>, Error> {
    let mut pins = BTreeMap::new();
    for text in &request.include {
        let include = parse_include(text, request)?;
        let Some(version) = include.version else { continue };
        let wanted = include.foreign.unwrap_or(&request.architecture);
        let known = |architecture: &str| architecture == "all" || architecture == wanted;
        let mut available: Vec<&str> = (indexes.iter().flat_map(|index| index.packages.packages()))
            .filter(|package| package.name == include.name && known(package.architecture))
            .map(|package| package.version)
            .collect();
        available.sort_unstable_by_key(|text| (Version::new(text), *text));
        available.dedup();
        // A name that is not there at all is reported with the names near it, later.
        if !available.is_empty() && !available.iter().any(|text| Version::new(text) == Version::new(version)) {
            let available = available.into_iter().map(str::to_owned).collect();
            let (name, version) = (include.name.to_owned(), version.to_owned());
            return Err(Error::UnknownVersion { name, version, available });
        }
        if pins.insert(include.name, version).is_some_and(|other| Version::new(other) != Version::new(version)) {
            let why = "another version of it is included too".to_owned();
            return Err(Error::BadSelection { what: text.clone(), why });
        }
    }
    Ok(pins)
}

/// Applies the request to the archive.
///
/// # Errors
/// A name that is unknown, virtual, or both included and excluded.
pub(crate) fn select(archive: &Archive<'_>, request: &Request) -> Result<Selection, Error> {
    let mut chosen = BTreeMap::new();
    let mut order = Vec::new();
    if !request.variant.is_bare() {
        for id in 0..archive.len() {
            if let Some(why) = by_variant(archive, request.variant, id) {
                chosen.insert(id, why);
            }
        }
        for name in &request.add {
            chosen.entry(find(archive, name)?).or_insert(Why::Suite);
        }
        // The package that the variant is named after has to exist.
        for name in named(request.variant) {
            let id = find(archive, name)?;
            // apt beside the essential packages is one set: nothing of it is there for the sake of the rest.
            let why = if request.variant == Variant::Apt { Why::Essential } else { Why::Variant };
            chosen.entry(id).or_insert(why);
            order.push(id);
        }
    }
    if request.variant == Variant::Distroless {
        // What an archive has not of these is not missed.
        chosen.extend(without::DATA.iter().filter_map(|name| Some((archive.id(name)?, Why::Variant))));
    }
    let excluded = request.exclude.iter().map(|name| find(archive, name).map(|id| archive.ids(archive.name(id))));
    let excluded: BTreeSet<Id> = excluded.collect::<Result<Vec<_>, Error>>()?.into_iter().flatten().collect();
    chosen.retain(|id, _| !excluded.contains(id));
    let mut included = Vec::new();
    for text in &request.include {
        let id = find_include(archive, text, &parse_include(text, request)?)?;
        if excluded.contains(&id) {
            return Err(Error::BadSelection { what: text.clone(), why: "it is excluded too".to_owned() });
        }
        chosen.entry(id).or_insert(Why::Included);
        included.push(id);
    }
    order.splice(0..0, included);
    order.extend(chosen.keys());
    let mut seen = BTreeSet::new();
    order.retain(|&id| chosen.contains_key(&id) && seen.insert(id));
    let avoided = request.avoid.iter().filter_map(|name| archive.id(name));
    let avoided = avoided.filter(|id| !chosen.contains_key(id)).collect();
    Ok(Selection { chosen, order, excluded, avoided })
}

fn by_variant(archive: &Archive<'_>, variant: Variant, id: Id) -> Option<Why> {
    if archive.rank(id) != 0 {
        return None;
    }
    let package = archive.head(id);
    if package.is_essential() {
        return Some(Why::Essential);
    }
    let wanted: &[&str] = match variant {
        Variant::Extract | Variant::Distroless | Variant::Custom | Variant::Essential | Variant::Apt => &[],
        Variant::Minbase | Variant::Buildd => &["required"],
        Variant::Important => &["required", "important"],
        Variant::Standard => &["required", "important", "standard"],
    };
    wanted.contains(&package.priority).then_some(Why::Priority)
}

fn named(variant: Variant) -> &'static [&'static str] {
    match variant {
        Variant::Extract | Variant::Distroless | Variant::Custom | Variant::Essential => &[],
        Variant::Apt | Variant::Minbase | Variant::Important | Variant::Standard => &["apt"],
        Variant::Buildd => &["apt", "build-essential"],
    }
}

/// An include may be a virtual name if there is nothing to choose, as with apt.
fn find_include(archive: &Archive<'_>, text: &str, include: &Include<'_>) -> Result<Id, Error> {
    if let Some(rank) = include.foreign.and_then(|architecture| archive.rank_of(architecture)) {
        let why = "there is no such package for that architecture".to_owned();
        let absent = || Error::BadSelection { what: text.to_owned(), why };
        return archive.id_of(include.name, rank).ok_or_else(absent);
    }
    match (find(archive, include.name), include.version) {
        (Err(Error::VirtualPackage { providers, .. }), None) if providers.len() == 1 => {
            find(archive, &providers.concat())
        }
        (found, _) => found,
    }
}

fn find(archive: &Archive<'_>, name: &str) -> Result<Id, Error> {
    if let Some(id) = archive.id(name) {
        return Ok(id);
    }
    let providers = archive.provider_names(name);
    let name = name.to_owned();
    if providers.is_empty() {
        let nearest = nearest(&name, archive.names());
        return Err(Error::UnknownPackage { name, nearest });
    }
    Err(Error::VirtualPackage { name, providers })
}
