//! The packages that a user includes by name, taken apart.

use crate::error::Error;
use crate::group::is_group;
use crate::index::Index;
use crate::policy::{OnlyVersion, is_of_release};
use crate::request::Request;
use rootstrap_debian::preferences::{ReleaseField, parse_release};
use rootstrap_debian::relation::is_package_name;
use rootstrap_debian::version::Version;
use std::collections::BTreeMap;

/// An include as the user typed it, taken apart.
pub(crate) struct Include<'r> {
    pub name: &'r str,
    /// The architecture, if it is a further one of the root and not the native one.
    pub foreign: Option<&'r str>,
    pub version: Option<&'r str>,
    /// What the Release file says that lists the wanted version.
    pub release: Option<(&'r str, Vec<(ReleaseField, String)>)>,
    /// The pocket that has the package, if it is named by its file.
    pub pocket: Option<usize>,
    /// Whether the package must not be installed.
    pub is_excluded: bool,
}

/// Takes `name[:architecture][=version|/release]` or `name-` apart, as apt does (apt `apt-pkg/cacheset.cc`). A release is a suite, a
/// codename, or what a pin says of one.
///
/// # Errors
/// [`Error::BadSelection`] for text of another form, or an architecture that the root does not have.
pub(crate) fn parse_include<'r>(text: &'r str, request: &'r Request) -> Result<Include<'r>, Error> {
    let bad = |why: String| Error::BadSelection { what: text.to_owned(), why };
    if let Some(deb) = request.debs.iter().find(|deb| deb.path == text) {
        let is_native = deb.architecture == "all" || deb.architecture == request.architecture;
        let foreign = (!is_native).then_some(deb.architecture.as_str());
        let (version, pocket) = (Some(deb.version.as_str()), Some(deb.pocket));
        return Ok(Include { name: &deb.name, foreign, version, release: None, pocket, is_excluded: false });
    }
    let (is_excluded, whole) = text.strip_suffix('-').map_or((false, text), |rest| (true, rest));
    let (rest, version, release) = match whole.split_once(['=', '/']) {
        None => (whole, None, None),
        Some((rest, version)) if whole.get(rest.len()..).is_some_and(|tail| tail.starts_with('=')) => {
            (rest, Some(version), None)
        }
        Some((rest, release)) => {
            let fields = parse_release(release).map_err(|error| bad(error.to_string()))?;
            (rest, None, Some((release, fields)))
        }
    };
    let (name, qualifier) = match rest.split_once(':') {
        None => (rest, None),
        Some((name, qualifier)) => (name, Some(qualifier)),
    };
    let is_empty = |text: &str| text.is_empty();
    if !is_package_name(name)
        || version.is_some_and(is_empty)
        || release.as_ref().is_some_and(|(text, _)| is_empty(text))
        || is_excluded && name.len() < whole.len()
    {
        return Err(bad("that is no package name".to_owned()));
    }
    let foreign = qualifier.filter(|other| !["any", "native", "all", request.architecture.as_str()].contains(other));
    match foreign {
        Some(other) if !request.foreign.iter().any(|known| known == other) => {
            Err(bad(format!("the root has no architecture {other}; add it with --add-architecture {other}")))
        }
        _ => Ok(Include { name, foreign, version, release, pocket: None, is_excluded }),
    }
}

/// Returns the versions that the includes of a request name, and those to keep that the archive still has, by package name.
///
/// # Errors
/// [`Error::BadSelection`]; [`Error::UnknownVersion`] with the versions that the archive has.
pub(crate) fn versions<'a>(
    request: &'a Request,
    indexes: &[Index<'a>],
) -> Result<BTreeMap<&'a str, OnlyVersion<'a>>, Error> {
    let mut versions: BTreeMap<&'a str, OnlyVersion<'a>> = BTreeMap::new();
    for text in request.include.iter().filter(|text| !is_group(text)) {
        let include = parse_include(text, request)?;
        let architecture = include.foreign.unwrap_or(&request.architecture);
        let available = available(include.name, architecture, indexes, None)?;
        let version = match (&include.release, include.version) {
            (Some((_, fields)), _) => {
                let of_release = self::available(include.name, architecture, indexes, Some(fields))?;
                of_release.last().copied()
            }
            (None, Some(version)) => {
                available.iter().find(|text| Version::new(text) == Version::new(version)).map(|_| version)
            }
            (None, None) => continue,
        };
        let Some(version) = version else {
            // A name that the archive lacks is reported later, together with similar names.
            if available.is_empty() {
                continue;
            }
            let name = include.name.to_owned();
            let available = available.into_iter().map(str::to_owned).collect();
            return Err(match (include.release, include.version) {
                (Some((release, _)), _) => Error::UnknownRelease { name, release: release.to_owned(), available },
                (None, version) => {
                    Error::UnknownVersion { name, version: version.unwrap_or_default().to_owned(), available }
                }
            });
        };
        let only = OnlyVersion { version, release: include.release.map(|(_, fields)| fields), pocket: include.pocket };
        let other = versions.insert(include.name, only);
        if other
            .is_some_and(|other| Version::new(other.version) != Version::new(version) || other.pocket != include.pocket)
        {
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
                versions.entry(name).or_insert(OnlyVersion { version, release: None, pocket: None });
            }
        }
    }
    Ok(versions)
}

/// Returns the versions of a package that can be installed for an architecture, the oldest first. `release` restricts them to those that
/// archives of that release have.
pub(crate) fn available<'a>(
    name: &str,
    architecture: &str,
    indexes: &[Index<'a>],
    release: Option<&[(ReleaseField, String)]>,
) -> Result<Vec<&'a str>, Error> {
    let is_usable = |other: &str| other == "all" || other == architecture;
    let mut available: Vec<&str> = Vec::new();
    for index in indexes {
        let heads = (0..index.packages.len()).map(|position| index.packages.head(position));
        let fitting = heads.filter(|head| head.name == name && is_usable(head.architecture));
        let versions: Vec<&str> = fitting.map(|head| head.version).collect();
        if !versions.is_empty() && release.map_or(Ok(true), |fields| is_of_release(fields, index))? {
            available.extend(versions);
        }
    }
    available.sort_unstable_by_key(|text| (Version::new(text), *text));
    available.dedup();
    Ok(available)
}
