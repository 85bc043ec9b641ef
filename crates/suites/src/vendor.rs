//! Who publishes suites, and what all suites of one vendor share: mirrors, apt sources, the user of container images.

use serde::Deserialize;

/// Who publishes a suite.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Vendor {
    /// The `ID` of `/etc/os-release` (os-release(5)).
    pub name: String,
    /// The name for people.
    pub label: String,
    /// The components that packages are chosen from by default.
    pub components: Vec<String>,
    /// The components that are written into the target's apt sources.
    pub sources_components: Vec<String>,
    /// The ordinary user in the container images of those suites that set `account`.
    #[serde(default)]
    pub(crate) account: Option<Account>,
    /// Paths in the target of the keyring that its apt sources name. The first path that exists there is used.
    pub signed_by: Vec<String>,
    /// The mirrors that packages are downloaded from, in the order in which they are tried.
    #[serde(rename = "mirror")]
    mirrors: Vec<Mirror>,
    /// The services that have the vendor's archive as it was, in the order in which they are tried.
    #[serde(rename = "snapshot", default)]
    pub snapshots: Vec<SnapshotService>,
    /// What is written into the target's apt sources.
    #[serde(default)]
    pub(crate) sources: Vec<Source>,
}

/// A service that has an archive as it was at earlier moments.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct SnapshotService {
    /// The first day that it has, as YYYY-MM-DD.
    pub since: String,
    /// The base URI of `dists/` and `pool/`, with `{timestamp}` in the place of a moment such as 20260901T000000Z.
    pub uri: String,
    /// The same for the security pocket.
    pub security: String,
}

impl SnapshotService {
    /// Returns the base URI of a pocket, with `{timestamp}` in it.
    #[must_use]
    pub fn base(&self, pocket: Pocket) -> &str {
        if pocket == Pocket::Security { &self.security } else { &self.uri }
    }
}

/// Files in which the target's apt package documents the vendor's own sources (package apt, `doc/examples`).
const APT_EXAMPLES: [&str; 2] =
    ["usr/share/doc/apt/examples/debian.sources", "usr/share/doc/apt/examples/sources.list"];

impl Vendor {
    /// Returns whether security fixes are in an archive of their own beside the main one.
    #[must_use]
    pub fn separate_security(&self) -> bool {
        self.mirrors.iter().any(|mirror| mirror.uri != mirror.security)
    }

    /// Returns the vendor's mirrors that hold a set of suites for an architecture.
    pub fn mirrors(&self, set: Set, architecture: &str) -> impl Iterator<Item = &Mirror> {
        self.mirrors.iter().filter(move |mirror| mirror.set == set && includes(&mirror.architectures, architecture))
    }

    /// Returns the files of packages, as paths in the target, that document the vendor's own apt sources.
    #[must_use]
    pub fn apt_examples() -> [&'static str; 2] {
        APT_EXAMPLES
    }
}

/// A user as useradd(8) makes one, with a group and a home directory of its own. The fields are those of passwd(5).
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The login name.
    pub name: String,
    /// The number of the user and of the user's own group.
    pub uid: u32,
    /// The GECOS field.
    pub comment: String,
    /// The login shell.
    pub shell: String,
    /// Further groups. Those that the target lacks are left out.
    pub groups: Vec<String>,
}

/// Which of a vendor's archives hold a suite.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Set {
    /// The current archive.
    Current,
    /// The archive to which suites move when they end.
    Ended,
}

/// A place that packages are downloaded from.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    set: Set,
    /// Empty for all architectures; otherwise a list, or a list of exceptions that begin with `!`.
    #[serde(default)]
    architectures: Vec<String>,
    /// The base URI of `dists/` and `pool/`.
    pub uri: String,
    /// The base URI of the security pocket.
    pub security: String,
}

impl Mirror {
    /// Returns the base URI of a pocket on this mirror.
    #[must_use]
    pub fn base(&self, pocket: Pocket) -> &str {
        if pocket == Pocket::Security { &self.security } else { &self.uri }
    }
}

/// An entry of the apt sources that the vendor recommends.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    pub set: Set,
    #[serde(default)]
    pub architectures: Vec<String>,
    pub uri: String,
    pub pockets: Vec<Pocket>,
}

/// One line or stanza of the apt sources to write into a target.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceEntry {
    /// The base URI of `dists/` and `pool/`.
    pub uri: String,
    /// The names under `dists/`.
    pub suites: Vec<String>,
    /// The components.
    pub components: Vec<String>,
}

/// A part of a suite that has a Release file of its own.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "kebab-case")]
pub enum Pocket {
    /// The suite as released.
    Release,
    /// Corrections that do not wait for the next point release.
    Updates,
    /// Security fixes.
    Security,
    /// Newer versions, only for those who ask for them.
    Backports,
}

impl Pocket {
    /// All pockets.
    pub const ALL: [Self; 4] = [Self::Release, Self::Updates, Self::Security, Self::Backports];

    /// The pockets that packages are chosen from by default, in the order in which people list them.
    pub const DEFAULT: [Self; 3] = [Self::Release, Self::Updates, Self::Security];

    /// Returns the name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Updates => "updates",
            Self::Security => "security",
            Self::Backports => "backports",
        }
    }
}

/// Returns whether a list of architectures, or of exceptions, includes an architecture.
pub(crate) fn includes(list: &[String], architecture: &str) -> bool {
    let (not, only): (Vec<&str>, Vec<&str>) = list.iter().map(String::as_str).partition(|entry| entry.starts_with('!'));
    let is_excluded = not.iter().any(|entry| entry.strip_prefix('!') == Some(architecture));
    (only.is_empty() || only.contains(&architecture)) && !is_excluded
}
