//! The packages that a user includes by name, taken apart.

use crate::error::Error;
use crate::index::Index;
use crate::request::Request;
use rootstrap_debian::relation::is_package_name;
use rootstrap_debian::version::Version;
use std::collections::BTreeMap;

/// An include as the user typed it, taken apart.
pub(crate) struct Include<'r> {
    pub name: &'r str,
    /// The architecture, if it is a further one of the root and not the native one.
    pub foreign: Option<&'r str>,
    pub version: Option<&'r str>,
}

/// Takes `name[:architecture][=version]` apart.
///
/// # Errors
/// [`Error::BadSelection`] for text of another form, or an architecture that the root does not have.
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

/// Returns the versions that the includes of a request name, and those to keep that the archive still has, by package name.
///
/// # Errors
/// [`Error::BadSelection`]; [`Error::UnknownVersion`] with the versions that the archive has.
pub(crate) fn pins<'r>(request: &'r Request, indexes: &[Index<'_>]) -> Result<BTreeMap<&'r str, &'r str>, Error> {
    let mut pins = BTreeMap::new();
    for text in &request.include {
        let include = parse_include(text, request)?;
        let Some(version) = include.version else { continue };
        let available = available(include.name, include.foreign.unwrap_or(&request.architecture), indexes);
        // A name that the archive lacks is reported later, together with similar names.
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
    if !request.keep.is_empty() {
        let heads = indexes.iter().flat_map(|index| (0..index.packages.len()).map(|at| index.packages.head(at)));
        for head in heads {
            if let Some((name, version)) = request.keep.get_key_value(head.name)
                && version == head.version
            {
                pins.entry(name).or_insert(version);
            }
        }
    }
    Ok(pins)
}

/// Returns the versions of a package that can be installed for an architecture, the oldest first.
fn available<'a>(name: &str, architecture: &str, indexes: &[Index<'a>]) -> Vec<&'a str> {
    let is_usable = |other: &str| other == "all" || other == architecture;
    let mut available: Vec<&str> = (indexes.iter().flat_map(|index| index.packages.packages()))
        .filter(|package| package.name == name && is_usable(package.architecture))
        .map(|package| package.version)
        .collect();
    available.sort_unstable_by_key(|text| (Version::new(text), *text));
    available.dedup();
    available
}
