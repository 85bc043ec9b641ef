//! What a lock says.

use crate::request::Request;
use rootstrap_debian::digest::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The packages of one or several root filesystems, which differ in their architecture alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The epoch of what is built, in seconds since 1970.
    pub epoch: i64,
    /// What the packages were chosen for.
    pub request: Request,
    /// The Release files that the packages were chosen from.
    pub sources: Vec<Source>,
    /// The roots, in the order of their architectures.
    pub platforms: Vec<Platform>,
}

/// A Release file that was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Source {
    /// rootstrap's name for the pocket: `release`, `updates`, `security` or `backports`.
    pub pocket: String,
    /// The path below `dists/`.
    pub suite: String,
    /// `Codename`.
    pub codename: String,
    /// `Origin`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub origin: String,
    /// The architectures that it serves, sorted.
    pub architectures: Vec<String>,
    /// Base URIs where packages are found, without user and password. The first is where the target's apt looks, if the user named it.
    pub uris: Vec<String>,
    /// The moment of the vendor's snapshot that the Release came from, as the service resolved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The digest of the signed text.
    #[serde(with = "sha256")]
    pub release_sha256: Digest,
    /// `Date`, in seconds since 1970.
    #[serde(with = "moment")]
    pub date: i64,
    /// `Valid-Until`, in seconds since 1970.
    #[serde(default, with = "optional_moment", skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<i64>,
    /// The fingerprints of the primary keys whose signatures were good.
    pub signed_by: Vec<String>,
}

/// The root of one architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Platform {
    /// The native architecture.
    pub architecture: String,
    /// Packages that others depend on and that are left out on purpose (variant `distroless`), sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// The phases, in their order.
    #[serde(rename = "phase")]
    pub phases: Vec<Phase>,
    /// The packages, sorted by name and architecture.
    #[serde(rename = "package")]
    pub packages: Vec<Package>,
}

/// Packages that are unpacked together and configured before the next phase begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// The phase's name.
    pub name: String,
    /// The packages in the order in which they are unpacked, as [`Platform::label`] writes them.
    pub packages: Vec<String>,
}

/// A package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Package {
    /// The name.
    pub name: String,
    /// The version, with the epoch.
    pub version: String,
    /// The architecture, or `all`.
    pub architecture: String,
    /// The source package, with its version in parentheses if that is another one.
    pub source: String,
    /// [`Source::pocket`] of the source that lists it.
    pub pocket: String,
    /// The component that lists it.
    pub component: String,
    /// The path of the .deb below a base URI.
    pub path: String,
    /// The length of the .deb in bytes.
    pub size: u64,
    /// The digest of the .deb.
    #[serde(with = "sha256")]
    pub sha256: Digest,
    /// The installed size in bytes, as its maintainer estimated it.
    pub installed_size: u64,
    /// The index's `Priority`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub priority: String,
    /// The index's `Section`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub section: String,
    /// The index's `Multi-Arch`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub multi_arch: String,
    /// Whether it is `Essential: yes`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub essential: bool,
    /// Whether it is installed only because others need it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub automatic: bool,
    /// Why it is there: `included`, `essential`, `priority`, `variant`, `suite`, or which package needs it.
    pub why: String,
}

impl Lock {
    /// Returns a lock of the same packages that does not say when and by whom the Release files were signed.
    #[must_use]
    pub fn undated(&self) -> Self {
        let mut lock = Self { epoch: 0, ..self.clone() };
        for source in &mut lock.sources {
            source.release_sha256 = Digest::Sha256([0; 32]);
            source.date = 0;
            source.valid_until = None;
            source.signed_by.clear();
        }
        lock
    }

    /// Returns the root of an architecture.
    #[must_use]
    pub fn platform(&self, architecture: &str) -> Option<&Platform> {
        self.platforms.iter().find(|platform| platform.architecture == architecture)
    }

    /// Returns the sources of an architecture, in the order of the pockets.
    pub fn sources_of<'a>(&'a self, architecture: &'a str) -> impl Iterator<Item = &'a Source> {
        self.sources.iter().filter(move |source| source.architectures.iter().any(|served| served == architecture))
    }
}

impl Platform {
    /// Returns how a phase names a package: with its architecture if that is a further one of the root.
    #[must_use]
    pub fn label(&self, package: &Package) -> String {
        label(&self.architecture, &package.name, &package.architecture)
    }
}

/// Returns a package's name, with its architecture if that is neither `all` nor the root's own.
#[must_use]
pub(crate) fn label(of_root: &str, name: &str, architecture: &str) -> String {
    match architecture {
        "all" => name.to_owned(),
        own if own == of_root => name.to_owned(),
        further => format!("{name}:{further}"),
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_false(flag: &bool) -> bool {
    !flag
}

mod sha256 {
    use super::{Deserialize, Deserializer, Digest, Serializer};

    pub fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(digest)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        Digest::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Moments as text such as `2026-11-29T08:00:00Z`.
mod moment {
    use super::{Deserialize, Deserializer, Serializer};
    use rootstrap_debian::release::{format_date, parse_moment};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
    pub fn serialize<S: Serializer>(seconds: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_date(*seconds))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_moment(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no date")))
    }
}

mod optional_moment {
    use super::{Deserializer, Serializer, moment};

    #[allow(clippy::ref_option, reason = "serde hands over references")]
    pub fn serialize<S: Serializer>(seconds: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        match seconds {
            Some(seconds) => moment::serialize(seconds, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        moment::deserialize(deserializer).map(Some)
    }
}
