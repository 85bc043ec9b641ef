//! What is wanted: a variant, packages to include and exclude, and the suite's own rules. Plain data.

use crate::error::Error;
use crate::nearest::nearest;
use rootstrap_debian::preferences::Preference;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The number of bins in dpkg's hash table of packages since 1.19.7 (lib/dpkg/pkg-hash.c).
pub const HASH_BINS: u32 = 65521;
/// The number of bins in dpkg 1.17.5 to 1.19.0.
pub const HASH_BINS_OLD: u32 = 8191;

/// Which packages to start from. The variants are those of mmdebstrap(1), and `distroless` beside them. Dependencies are
/// added to them.
///
/// Where debootstrap differs, this follows mmdebstrap. `buildd` is `minbase` plus build-essential in both. debootstrap has
/// no `essential`, `apt`, `standard`, `custom` or `extract`, and its sets lack a package that is essential without being
/// `Priority: required`. Dependencies are followed as apt follows them: debootstrap always takes the first alternative,
/// even if another one is installed anyway, so it may install a package or two more (`cron` for logrotate's
/// `cron | … | systemd-sysv`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Only the included packages, unpacked and never configured.
    Extract,
    /// Only the included packages, what they need to run, and a few packages of data. They are unpacked, and finished
    /// without running any script.
    Distroless,
    /// Only the included packages.
    Custom,
    /// `Essential: yes`.
    Essential,
    /// Essential plus apt.
    Apt,
    /// Essential, apt and `Priority: required`; also called `required`.
    #[default]
    Minbase,
    /// Minbase plus build-essential.
    Buildd,
    /// Minbase plus `Priority: important`: debootstrap's default, also called `debootstrap` and `-`.
    Important,
    /// Important plus `Priority: standard`.
    Standard,
}

impl Variant {
    /// Every variant under its first name, smallest first.
    pub const ALL: [Self; 9] = [
        Self::Extract,
        Self::Distroless,
        Self::Custom,
        Self::Essential,
        Self::Apt,
        Self::Minbase,
        Self::Buildd,
        Self::Important,
        Self::Standard,
    ];

    /// Returns the variant's first name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Extract => "extract",
            Self::Distroless => "distroless",
            Self::Custom => "custom",
            Self::Essential => "essential",
            Self::Apt => "apt",
            Self::Minbase => "minbase",
            Self::Buildd => "buildd",
            Self::Important => "important",
            Self::Standard => "standard",
        }
    }

    /// Whether the variant selects no package because it is essential or because of its priority.
    #[must_use]
    pub fn is_bare(self) -> bool {
        matches!(self, Self::Extract | Self::Distroless | Self::Custom)
    }

    /// Whether packages are configured, so that programs of the target run. Otherwise they are only unpacked, and the tree
    /// has no dpkg database.
    #[must_use]
    pub fn runs_scripts(self) -> bool {
        !matches!(self, Self::Extract | Self::Distroless)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Variant {
    type Err = Error;

    /// # Errors
    /// [`Error::UnknownVariant`] with the most similar names.
    fn from_str(name: &str) -> Result<Self, Error> {
        let name = match name {
            "required" => "minbase",
            "debootstrap" | "-" => "important",
            other => other,
        };
        Self::ALL.into_iter().find(|variant| variant.name() == name).ok_or_else(|| Error::UnknownVariant {
            name: name.to_owned(),
            nearest: nearest(name, Self::ALL.iter().map(|variant| variant.name())),
            known: Self::ALL.map(Self::name).to_vec(),
        })
    }
}

/// Everything that [`plan`](crate::plan::plan) needs to know beside the indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which packages to start from.
    pub variant: Variant,
    /// The native architecture. A package name without an architecture means it.
    pub architecture: String,
    /// Further architectures of the root (dpkg --add-architecture). Stanzas of other architectures are ignored, except
    /// `all`.
    pub foreign: Vec<String>,
    /// Packages to add: `name`, `name=version`, `name/release`, each also with `:architecture`; `name-` must not be installed. `task^` and
    /// patterns of apt (apt-patterns(7)) stand for all packages of a task, or that they are true of.
    pub include: Vec<String>,
    /// The files among the packages to add.
    pub debs: Vec<NamedDeb>,
    /// Packages that must not be installed, whatever selects or needs them.
    pub exclude: Vec<String>,
    /// Whether to install recommended packages where that is possible.
    pub recommends: bool,
    /// Suite rule: packages that belong to the first phase of every variant that is not [bare](Variant::is_bare).
    pub add: Vec<String>,
    /// Suite rule: packages to avoid, unless the variant or an include selects them, or nothing else works.
    pub avoid: Vec<String>,
    /// Which versions are preferred, before the archives' own priorities.
    pub preferences: Vec<Preference>,
    /// The versions to keep where the archive still has them, by package name. The includes' own versions come first.
    pub keep: BTreeMap<String, String>,
    /// The number of bins in the hash table of the target's dpkg. It decides the order of the pre-dependency groups.
    pub hash_bins: u32,
}

/// A package that the user names by the path of its file. One of the indexes lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedDeb {
    /// The path, as in [`Request::include`].
    pub path: String,
    /// The name of the package.
    pub name: String,
    /// Its architecture.
    pub architecture: String,
    /// Its version.
    pub version: String,
    /// [`Index::pocket`](crate::Index::pocket) of the index.
    pub pocket: usize,
}

impl Default for Request {
    /// Returns `minbase` on no architecture, for a current dpkg.
    fn default() -> Self {
        Self {
            variant: Variant::default(),
            architecture: String::new(),
            foreign: Vec::new(),
            include: Vec::new(),
            debs: Vec::new(),
            exclude: Vec::new(),
            recommends: false,
            add: Vec::new(),
            avoid: Vec::new(),
            preferences: Vec::new(),
            keep: BTreeMap::new(),
            hash_bins: HASH_BINS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_have_their_usual_names() {
        for variant in Variant::ALL {
            assert_eq!(variant.name().parse::<Variant>().unwrap(), variant);
        }
        assert_eq!("-".parse::<Variant>().unwrap(), Variant::Important);
        assert_eq!("required".parse::<Variant>().unwrap(), Variant::default());
        let error = "minbas".parse::<Variant>().unwrap_err();
        assert_eq!(error.hint().unwrap(), "did you mean minbase?");
    }
}
