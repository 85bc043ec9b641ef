//! What is wanted: a variant, names to add and to leave out, and the suite's own rules. Plain data.

use crate::Error;
use crate::nearest::nearest;
use std::fmt;
use std::str::FromStr;

/// Number of bins in dpkg's package hash since 1.19.7 (lib/dpkg/pkg-hash.c).
pub const HASH_BINS: u32 = 65521;
/// The same in dpkg 1.17.5 to 1.19.0.
pub const HASH_BINS_OLD: u32 = 8191;

/// Which packages to start from, as mmdebstrap(1) defines its variants; `distroless` is our own. Hard dependencies come
/// on top.
///
/// Where debootstrap differs, mmdebstrap is followed: `buildd` is `minbase` plus build-essential in both, but
/// debootstrap has no `essential`, `apt`, `standard`, `custom` or `extract`, and its sets leave out a package that is
/// essential without being `Priority: required`. Dependencies are closed as apt closes them: debootstrap always takes the
/// first alternative, even where another one is installed anyway, so it can have a package or two more (`cron` for
/// logrotate's `cron | … | systemd-sysv`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Only what is included, unpacked and never configured.
    Extract,
    /// Only what is included and what it needs to run, and a few packages of data; unpacked and finished without any
    /// script.
    Distroless,
    /// Only what is included.
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

    /// The name the variant goes by.
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

    /// Whether nothing is selected for being essential, or for its priority.
    #[must_use]
    pub fn is_bare(self) -> bool {
        matches!(self, Self::Extract | Self::Distroless | Self::Custom)
    }

    /// Whether packages are configured, so that programs of the target run. Else they are only unpacked, and there is no
    /// database of dpkg.
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
    /// [`Error::UnknownVariant`] with the nearest names.
    fn from_str(name: &str) -> Result<Self, Error> {
        let name = match name {
            "required" => "minbase",
            "debootstrap" | "-" => "important",
            other => other,
        };
        Self::ALL.into_iter().find(|variant| variant.name() == name).ok_or_else(|| Error::UnknownVariant {
            name: name.to_owned(),
            nearest: nearest(name, Self::ALL.iter().map(|variant| variant.name())),
        })
    }
}

/// Everything [`plan`](crate::plan::plan) needs to know beside the indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The set to start from.
    pub variant: Variant,
    /// The native architecture, of which all is taken that nobody qualifies.
    pub architecture: String,
    /// Further architectures of the root (dpkg --add-architecture). Stanzas of others, `all` excepted, are not looked
    /// at.
    pub foreign: Vec<String>,
    /// Packages to add: `name`, `name=version`, `name:architecture` or `name:architecture=version`.
    pub include: Vec<String>,
    /// Packages that must not be there, whatever selects or needs them.
    pub exclude: Vec<String>,
    /// Whether recommended packages are taken where they can be.
    pub recommends: bool,
    /// Suite rule: packages that belong to the first phase of every variant that is not [bare](Variant::is_bare).
    pub add: Vec<String>,
    /// Suite rule: packages to do without unless they are selected themselves (by variant or include) or nothing else
    /// works.
    pub avoid: Vec<String>,
    /// Number of bins in the package hash of the target's dpkg: it decides the order of pre-dependency groups.
    pub hash_bins: u32,
}

impl Default for Request {
    /// `minbase` on no architecture, for a current dpkg.
    fn default() -> Self {
        Self {
            variant: Variant::default(),
            architecture: String::new(),
            foreign: Vec::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            recommends: false,
            add: Vec::new(),
            avoid: Vec::new(),
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
