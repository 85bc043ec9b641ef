//! Which version of a package is its candidate: apt's priorities and pins (apt_preferences(5); apt `apt-pkg/policy.cc`,
//! `apt-pkg/versionmatch.cc`).
//!
//! Of all versions with a priority above 0, the candidate is the one of the highest priority, and of equal priorities the newest. A
//! version has the priority of the first preference that names its package and fits it; otherwise the highest of the archives that have it.

use crate::error::Error;
use crate::index::Index;
use regex::{Regex, RegexBuilder};
use rootstrap_debian::fnmatch;
use rootstrap_debian::packages::{Package, source};
use rootstrap_debian::preferences::{Pin, Preference, ReleaseField};
use rootstrap_debian::release::Release;
use rootstrap_debian::version::Version;
use std::collections::BTreeMap;

/// The priority of an ordinary archive.
const USUAL: i16 = 500;
/// That of an archive with `NotAutomatic: yes` and `ButAutomaticUpgrades: yes`.
const UPGRADES_ONLY: i16 = 100;
/// That of an archive with `NotAutomatic: yes` alone.
const LAST: i16 = 1;

/// What decides between versions.
#[derive(Default)]
pub(crate) struct Policy<'r> {
    /// The preferences for all packages, in their order.
    general: Vec<(PinRule, i16)>,
    /// Those that name packages, in their order.
    specific: Vec<(Vec<NameRule>, PinRule, i16)>,
    /// The only version of a package that counts, by its name.
    versions: BTreeMap<&'r str, OnlyVersion<'r>>,
}

/// The only version of a package that counts.
#[derive(Clone)]
pub(crate) struct OnlyVersion<'r> {
    /// Its text.
    pub version: &'r str,
    /// What the Release file says of the archive that it has to come from; any archive if `None`.
    pub release: Option<Vec<(ReleaseField, String)>>,
    /// The pocket that it has to come from, if it was named by its file.
    pub pocket: Option<usize>,
}

/// A shell pattern, or a regular expression.
enum Pattern {
    Shell(String),
    Regex(Regex),
}

/// Which packages a preference names.
struct NameRule {
    pattern: Pattern,
    architecture: Option<String>,
    /// Whether packages for all architectures are meant. To apt they belong to the native one.
    takes_all: bool,
    is_source: bool,
}

/// Which versions a preference is for.
enum PinRule {
    Version(Pattern),
    Origin(Pattern),
    Release(Vec<(ReleaseField, Pattern)>),
}

/// One entry of an index, as the policy sees it.
pub(crate) struct Entry<'e> {
    pub index: &'e Index<'e>,
    pub package: Package<'e>,
}

impl<'r> Policy<'r> {
    /// Returns the policy of these preferences. `versions` has the only version that counts of some packages.
    ///
    /// # Errors
    /// A regular expression is none.
    pub fn new(
        preferences: &[Preference],
        versions: BTreeMap<&'r str, OnlyVersion<'r>>,
        native: &str,
    ) -> Result<Self, Error> {
        let mut policy = Self { versions, ..Self::default() };
        for Preference { packages, pin, priority } in preferences {
            match packages.as_slice() {
                [all] if all == "*" => policy.general.push((PinRule::new(pin)?, *priority)),
                names => {
                    let names = names.iter().map(|name| NameRule::new(name, native)).collect::<Result<_, _>>()?;
                    policy.specific.push((names, PinRule::new(pin)?, *priority));
                }
            }
        }
        Ok(policy)
    }

    /// Whether a version of a package in an index counts at all.
    pub fn admits(&self, index: &Index<'_>, name: &str, version: &str) -> bool {
        self.versions.get(name).is_none_or(|only| {
            let release = only.release.as_deref();
            Version::new(only.version) == Version::new(version)
                && only.pocket.is_none_or(|pocket| pocket == index.pocket)
                && release.is_none_or(|fields| is_of_release(fields, index).unwrap_or_default())
        })
    }

    /// Whether only one version of a package counts. It is the candidate, whatever its priority is.
    pub fn fixes(&self, name: &str) -> bool {
        self.versions.contains_key(name)
    }

    /// Returns the priority of what an index has, if no preference names the package.
    pub fn of_index(&self, index: &Index<'_>) -> i16 {
        let general = self.general.iter().find(|(pin, _)| pin.fits_index(index));
        general.map_or_else(|| default_priority(index.release), |(_, priority)| *priority)
    }

    /// Whether preferences name packages, so that [`Self::of_package`] can differ from [`Self::of_index`].
    pub fn names_packages(&self) -> bool {
        !self.specific.is_empty()
    }

    /// Returns the priority that the first fitting preference gives to a version, which all `entries` have; `None` if none names it.
    pub fn of_package(&self, entries: &[Entry<'_>]) -> Option<i16> {
        let fits = |(names, pin, _): &&(Vec<NameRule>, PinRule, i16)| {
            entries.iter().any(|entry| names.iter().any(|name| name.fits(&entry.package)) && pin.fits(entry))
        };
        self.specific.iter().find(fits).map(|(_, _, priority)| *priority)
    }
}

/// Returns the position of the candidate among the versions of a package, which are given by their priorities, the newest first; `None` if
/// none may be taken (apt `policy.cc:GetCandidateVer`).
pub(crate) fn candidate(priorities: impl Iterator<Item = i16>) -> Option<usize> {
    let mut best: Option<(usize, i16)> = None;
    for (position, priority) in priorities.enumerate() {
        if priority > best.map_or(0, |(_, best)| best) {
            best = Some((position, priority));
        }
    }
    best.map(|(position, _)| position)
}

fn default_priority(release: &Release) -> i16 {
    match (release.not_automatic, release.but_automatic_upgrades) {
        (false, _) => USUAL,
        (true, true) => UPGRADES_ONLY,
        (true, false) => LAST,
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self, Error> {
        let inner = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let Some(expression) = inner else { return Ok(Self::Shell(text.to_owned())) };
        let built = RegexBuilder::new(expression).case_insensitive(true).build();
        let bad = |_| Error::BadSelection { what: text.to_owned(), why: "it is no regular expression".to_owned() };
        Ok(Self::Regex(built.map_err(bad)?))
    }

    fn fits(&self, text: &str) -> bool {
        match self {
            Self::Shell(pattern) => fnmatch::matches(pattern.as_bytes(), text.as_bytes()),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

impl NameRule {
    /// Parses what a preference names. Without an architecture it means the native one (apt `policy.cc:CreatePin`).
    fn new(text: &str, native: &str) -> Result<Self, Error> {
        let (is_source, text) = text.strip_prefix("src:").map_or((false, text), |rest| (true, rest));
        // A regular expression may have colons.
        let (name, architecture) = match text.rsplit_once(':') {
            Some((name, architecture)) if !text.ends_with('/') => (name, Some(architecture.to_owned())),
            _ => (text, None),
        };
        let architecture = match architecture.as_deref() {
            Some("any") => None,
            None | Some("native") => Some(native.to_owned()),
            Some(_) => architecture,
        };
        let takes_all = architecture.as_deref().is_none_or(|name| name == native);
        Ok(Self { pattern: Pattern::new(name)?, architecture, takes_all, is_source })
    }

    fn fits(&self, package: &Package<'_>) -> bool {
        let name = match self.is_source {
            true => source(package.source, package.name, package.version).0,
            false => package.name,
        };
        let is_meant = match package.architecture {
            "all" => self.takes_all,
            own => self.architecture.as_ref().is_none_or(|only| only == own),
        };
        is_meant && self.pattern.fits(name)
    }
}

impl PinRule {
    fn new(pin: &Pin) -> Result<Self, Error> {
        Ok(match pin {
            Pin::Version(version) => Self::Version(Pattern::new(version)?),
            Pin::Origin(host) => Self::Origin(Pattern::new(host)?),
            Pin::Release(fields) => {
                let fields = fields.iter().map(|(field, text)| Ok((*field, Pattern::new(text)?)));
                Self::Release(fields.collect::<Result<_, Error>>()?)
            }
        })
    }

    fn fits(&self, entry: &Entry<'_>) -> bool {
        match self {
            Self::Version(pattern) => pattern.fits(entry.package.version),
            Self::Origin(_) | Self::Release(_) => self.fits_index(entry.index),
        }
    }

    fn fits_index(&self, index: &Index<'_>) -> bool {
        match self {
            Self::Version(_) => false,
            Self::Origin(pattern) => pattern.fits(index.site),
            Self::Release(fields) => fields.iter().all(|(field, pattern)| release_fits(index, *field, pattern)),
        }
    }
}

fn release_fits(index: &Index<'_>, field: ReleaseField, pattern: &Pattern) -> bool {
    let Index { release, component, architecture, .. } = index;
    let fits = |text: &str| pattern.fits(text);
    match field {
        ReleaseField::Suite => fits(&release.suite),
        ReleaseField::Codename => fits(&release.codename),
        ReleaseField::Name => fits(&release.suite) || fits(&release.codename),
        ReleaseField::Version => fits(&release.version),
        ReleaseField::Origin => fits(&release.origin),
        ReleaseField::Label => fits(&release.label),
        ReleaseField::Component => fits(component),
        ReleaseField::Architecture => fits(architecture),
    }
}

/// Whether an index is of the release that stands behind the slash of `package/release`.
///
/// # Errors
/// A regular expression is none.
pub(crate) fn is_of_release(fields: &[(ReleaseField, String)], index: &Index<'_>) -> Result<bool, Error> {
    Ok(PinRule::new(&Pin::Release(fields.to_vec()))?.fits_index(index))
}
