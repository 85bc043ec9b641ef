//! Turns variant, includes and excludes into the packages whose dependencies are followed.

use crate::archive::{Archive, Id};
use crate::error::Error;
use crate::group::{group, is_group};
use crate::include::{Include, parse_include};
use crate::nearest::nearest;
use crate::request::{Request, Variant};
use crate::without;
use std::collections::{BTreeMap, BTreeSet};

/// Why a package was selected. It is shown if the selection cannot be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    Included,
    Essential,
    Priority,
    Variant,
    Suite,
}

/// The packages to start from, and those to leave out.
pub(crate) struct Selection {
    pub chosen: BTreeMap<Id, Why>,
    /// The chosen packages in the order in which mmdebstrap names them to apt: the includes as given, the packages that the
    /// variant is named after, the rest.
    pub order: Vec<Id>,
    /// The patterns among the includes that no package matches.
    pub unmatched: Vec<String>,
    /// Packages that the user excludes.
    pub excluded: BTreeSet<Id>,
    /// Packages to install only if nothing else works.
    pub avoided: BTreeSet<Id>,
}

/// Applies the request to the archive.
///
/// # Errors
/// A name that is unknown, virtual, or both included and excluded.
pub(crate) fn select(archive: &Archive<'_>, request: &Request) -> Result<Selection, Error> {
    let (mut chosen, named) = chosen_by_variant(archive, request)?;
    let excluded = request.exclude.iter().map(|name| find(archive, name).map(|id| archive.ids(archive.name(id))));
    let mut excluded: BTreeSet<Id> = excluded.collect::<Result<Vec<_>, Error>>()?.into_iter().flatten().collect();
    let mut includes = Vec::new();
    for text in &request.include {
        match is_group(text) {
            true => includes.push((text, None)),
            false => match parse_include(text, request)? {
                left_out if left_out.is_excluded => {
                    excluded.extend(archive.ids(archive.name(find(archive, left_out.name)?)));
                }
                include => includes.push((text, Some(include))),
            },
        }
    }
    chosen.retain(|id, _| !excluded.contains(id));
    let (mut order, mut unmatched) = (Vec::new(), Vec::new());
    for (text, include) in includes {
        let Some(include) = include else {
            let ids = group(archive, text)?;
            if ids.is_empty() {
                unmatched.push(text.clone());
            }
            for id in ids.into_iter().filter(|id| !excluded.contains(id)) {
                chosen.entry(id).or_insert(Why::Included);
                order.push(id);
            }
            continue;
        };
        let id = find_include(archive, text, &include)?;
        if excluded.contains(&id) {
            return Err(Error::BadSelection { what: text.clone(), why: "it is excluded too".to_owned() });
        }
        chosen.entry(id).or_insert(Why::Included);
        order.push(id);
    }
    order.extend(named);
    order.extend(chosen.keys());
    let mut seen = BTreeSet::new();
    order.retain(|&id| chosen.contains_key(&id) && seen.insert(id));
    let avoided = request.avoid.iter().filter_map(|name| archive.id(name));
    let avoided = avoided.filter(|id| !chosen.contains_key(id)).collect();
    Ok(Selection { chosen, order, excluded, avoided, unmatched })
}

/// Returns what the variant and the suite select, and separately the packages that the variant is named after.
fn chosen_by_variant(archive: &Archive<'_>, request: &Request) -> Result<(BTreeMap<Id, Why>, Vec<Id>), Error> {
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
        // The packages that the variant is named after have to exist.
        for name in named(request.variant) {
            let id = find(archive, name)?;
            // In the variant `apt`, apt and the essential packages are one set, so apt counts as essential too.
            let why = if request.variant == Variant::Apt { Why::Essential } else { Why::Variant };
            chosen.entry(id).or_insert(why);
            order.push(id);
        }
    }
    if request.variant == Variant::Distroless {
        // An archive may lack some of them.
        chosen.extend(without::DATA.iter().filter_map(|name| Some((archive.id(name)?, Why::Variant))));
    }
    Ok((chosen, order))
}

/// Returns why the variant selects a package because it is essential or because of its priority, if it does.
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

/// Returns the packages that a variant is named after, or that it needs by definition.
fn named(variant: Variant) -> &'static [&'static str] {
    match variant {
        Variant::Extract | Variant::Distroless | Variant::Custom | Variant::Essential => &[],
        Variant::Apt | Variant::Minbase | Variant::Important | Variant::Standard => &["apt"],
        Variant::Buildd => &["apt", "build-essential"],
    }
}

/// Finds an included package. As with apt, the name may be virtual if only one package provides it.
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
