//! apt's patterns, which select packages by what archives say of them (apt-patterns(7)).
//!
//! A pattern is true of a package if it is true of any of its versions, each part of it for itself. `?narrow`, `?any-version` and
//! `?all-versions` ask for a version of which all is true.

use crate::index::Index;
use regex::Regex;
use rootstrap_debian::packages::{Package, source};

/// A parsed pattern.
pub(crate) enum Pattern {
    Always(bool),
    Not(Box<Pattern>),
    And(Vec<Pattern>),
    Or(Vec<Pattern>),
    AnyVersion(Box<Pattern>),
    AllVersions(Box<Pattern>),
    Essential,
    Name(Regex),
    ExactName(String),
    Architecture(String),
    Archive(Regex),
    Codename(Regex),
    Origin(Regex),
    Priority(String),
    Section(Regex),
    SourcePackage(Regex),
    ExactSourcePackage(String),
    SourceVersion(Regex),
    Version(Regex),
}

/// One version of a package: its stanzas in all indexes that have it, each with its index.
pub(crate) type Version<'a> = Vec<(&'a Index<'a>, Package<'a>)>;

/// What a pattern is asked about.
#[derive(Clone, Copy)]
pub(crate) struct Object<'o, 'a> {
    /// All versions of the package.
    pub versions: &'o [Version<'a>],
    /// The version that is meant; any if `None`.
    pub only: Option<&'o Version<'a>>,
}

impl Pattern {
    /// Whether it is true of a package, or of one version of it.
    pub fn fits(&self, object: Object<'_, '_>) -> bool {
        let any = |is_meant: &dyn Fn(&Index<'_>, &Package<'_>) -> bool| {
            let versions = object.versions.iter().filter(|it| object.only.is_none_or(|only| std::ptr::eq(only, *it)));
            versions.flatten().any(|(index, package)| is_meant(index, package))
        };
        let of_package = |is_meant: &dyn Fn(&Package<'_>) -> bool| {
            object.versions.iter().flatten().any(|(_, package)| is_meant(package))
        };
        let version = |only| Object { only: Some(only), ..object };
        match self {
            Self::Always(answer) => *answer,
            Self::Not(pattern) => !pattern.fits(object),
            Self::And(patterns) => patterns.iter().all(|pattern| pattern.fits(object)),
            Self::Or(patterns) => patterns.iter().any(|pattern| pattern.fits(object)),
            Self::AnyVersion(pattern) | Self::AllVersions(pattern) if object.only.is_some() => pattern.fits(object),
            Self::AnyVersion(pattern) => object.versions.iter().any(|only| pattern.fits(version(only))),
            Self::AllVersions(pattern) => object.versions.iter().all(|only| pattern.fits(version(only))),
            Self::Essential => of_package(&|package| package.is_essential()),
            Self::Name(regex) => of_package(&|package| regex.is_match(package.name)),
            Self::ExactName(name) => of_package(&|package| package.name == name),
            Self::Architecture(wanted) => of_package(&|package| is_architecture(wanted, package.architecture)),
            Self::Archive(regex) => any(&|index, _| regex.is_match(&index.release.suite)),
            Self::Codename(regex) => any(&|index, _| regex.is_match(&index.release.codename)),
            Self::Origin(regex) => any(&|index, _| regex.is_match(&index.release.origin)),
            Self::Priority(name) => any(&|_, package| package.priority.eq_ignore_ascii_case(name)),
            Self::Section(regex) => any(&|_, package| regex.is_match(package.section)),
            Self::SourcePackage(regex) => any(&|_, package| regex.is_match(source_of(package).0)),
            Self::ExactSourcePackage(name) => any(&|_, package| source_of(package).0 == name),
            Self::SourceVersion(regex) => any(&|_, package| regex.is_match(source_of(package).1)),
            Self::Version(regex) => any(&|_, package| regex.is_match(package.version)),
        }
    }
}

fn source_of<'p>(package: &Package<'p>) -> (&'p str, &'p str) {
    source(package.source, package.name, package.version)
}

/// Whether an architecture is the one that is wanted. `any` stands for each.
fn is_architecture(wanted: &str, architecture: &str) -> bool {
    match wanted {
        "any" | "linux-any" => true,
        _ => wanted.strip_prefix("any-").or(wanted.strip_prefix("linux-")).unwrap_or(wanted) == architecture,
    }
}
