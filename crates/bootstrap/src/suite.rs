//! Which suites there are: the data of `suites/*.toml`, found by codename, alias or version.
//!
//! Everything that differs from one release to the next is a field here and a line in those files, so a new release
//! is a change of data. A suite that is not listed still works: [`unlisted`] fills in what a modern one looks like.

use crate::account::Account;
use serde::Deserialize;
use std::sync::LazyLock;

const FILES: [&str; 2] = [include_str!("../../../suites/debian.toml"), include_str!("../../../suites/ubuntu.toml")];

const KEYRINGS: [(&str, &[u8]); 4] = [
    ("debian-archive-keyring.pgp", include_bytes!("../../../keyrings/debian-archive-keyring.pgp")),
    ("debian-archive-removed-keys.pgp", include_bytes!("../../../keyrings/debian-archive-removed-keys.pgp")),
    ("ubuntu-archive-keyring.pgp", include_bytes!("../../../keyrings/ubuntu-archive-keyring.pgp")),
    ("ubuntu-archive-removed-keys.pgp", include_bytes!("../../../keyrings/ubuntu-archive-removed-keys.pgp")),
];

static DATA: LazyLock<Vec<(&'static Vendor, Vec<Suite>)>> = LazyLock::new(|| {
    FILES.iter().map(|text| parse(text).expect("the embedded suites are parsed by this module's tests")).collect()
});

/// Who publishes a suite, and what all its suites share.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Vendor {
    /// As in the `ID` of `/etc/os-release`.
    pub name: String,
    /// For people.
    pub label: String,
    /// Components packages are chosen from unless told otherwise.
    pub components: Vec<String>,
    /// Components written into the target's apt sources.
    pub sources_components: Vec<String>,
    /// The ordinary user in container images of those suites that have one.
    #[serde(default)]
    account: Option<Account>,
    /// Where the target keeps the keyring its apt sources name; the first that exists there.
    pub signed_by: Vec<String>,
    /// Where packages are downloaded from, in the order to try.
    #[serde(rename = "mirror")]
    mirrors: Vec<Mirror>,
    /// What is written into the target.
    #[serde(default)]
    sources: Vec<Source>,
}

impl Vendor {
    /// Whether security fixes are in an archive of their own, beside the main one.
    pub(crate) fn separate_security(&self) -> bool {
        self.mirrors.iter().any(|mirror| mirror.uri != mirror.security)
    }

    /// Those of its mirrors that hold a set of suites for an architecture.
    pub(crate) fn mirrors(&self, set: Set, architecture: &str) -> impl Iterator<Item = &Mirror> {
        self.mirrors.iter().filter(move |mirror| mirror.set == set && matches(&mirror.architectures, architecture))
    }
}

/// Which of a vendor's mirrors hold a suite.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Set {
    /// The living archive.
    Current,
    /// Where suites go that have left it.
    Ended,
}

/// A place packages are downloaded from.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    set: Set,
    /// Empty: all; otherwise a list, or a list of `!` exceptions.
    #[serde(default)]
    architectures: Vec<String>,
    /// Base of `dists/` and `pool/`.
    pub uri: String,
    /// The same for the security pocket.
    pub security: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Source {
    set: Set,
    #[serde(default)]
    architectures: Vec<String>,
    uri: String,
    pockets: Vec<Pocket>,
}

/// One line or stanza of the apt sources to write into a target.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceEntry {
    /// Base of `dists/` and `pool/`.
    pub uri: String,
    /// As in `dists/SUITE`.
    pub suites: Vec<String>,
    /// As in the vendor's `sources_components`.
    pub components: Vec<String>,
}

/// A part of a suite with a Release file of its own.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "kebab-case")]
pub enum Pocket {
    /// The suite as released.
    Release,
    /// Corrections that do not wait for the next point release.
    Updates,
    /// Security fixes.
    Security,
    /// Newer versions, for those who ask; never used for resolving.
    Backports,
}

impl Pocket {
    /// The pockets packages are chosen from, in the order they are listed to people.
    pub const DEFAULT: [Pocket; 3] = [Pocket::Release, Pocket::Updates, Pocket::Security];
}

/// The name of each pocket under `dists/`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the names are those of `Pocket`")]
pub struct Pockets {
    pub release: String,
    pub updates: Option<String>,
    pub security: Option<String>,
    pub backports: Option<String>,
}

/// How `/bin`, `/lib`, `/sbin` and their like come to point into `/usr`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum MergedUsr {
    /// base-files ships the links.
    Package,
    /// Whoever bootstraps makes them.
    Links,
    /// They stay directories.
    No,
    /// Not known beforehand: `Package` if the base-files at hand ships the links, else `Links`.
    Detect,
}

/// The shape of the apt sources a suite's users expect.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum SourcesFormat {
    /// `deb URI SUITE COMPONENT...` in `sources.list`.
    OneLine,
    /// Stanzas in `sources.list.d/VENDOR.sources`.
    Deb822,
}

/// What differs from one release to the next.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    #[serde(skip)]
    vendor: Option<&'static Vendor>,
    /// The name that stays with it for life.
    pub codename: String,
    /// Names it has for now, like `stable`.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// As people say it.
    #[serde(default)]
    pub version: Option<String>,
    /// No longer changes and is served by the archive of ended suites alone: its Release files expired long ago and are
    /// judged at their own date, and the target's sources name that archive.
    #[serde(default)]
    pub ended: bool,
    #[serde(default = "current")]
    served_by: Vec<Set>,
    /// Names under `dists/`.
    pub pockets: Pockets,
    /// Pockets that may be missing from a mirror.
    #[serde(default)]
    pub optional: Vec<Pocket>,
    /// Files of `keyrings/` whose keys may sign it; see [`keyring`].
    pub keyrings: Vec<String>,
    /// How it is merged.
    pub merged_usr: MergedUsr,
    /// How it is merged as a build chroot, where that differs.
    #[serde(default)]
    pub merged_usr_buildd: Option<MergedUsr>,
    /// If left unmerged, `/etc/unsupported-skip-usrmerge-conversion` says so.
    #[serde(default)]
    pub unmerged_note: bool,
    /// Packages to treat as required though their Priority says otherwise.
    #[serde(default)]
    pub required: Vec<String>,
    /// Packages never to choose for a dependency.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Its init is or may be upstart: container images divert `/sbin/initctl`. (While packages are configured it is replaced in
    /// every suite that has it.)
    #[serde(default)]
    pub fake_initctl: bool,
    /// Its container images ask for gzip indexes before others.
    #[serde(default)]
    pub gzip_first: bool,
    /// Of required packages that ship one directory with different modes the last decides, not the first.
    #[serde(default)]
    pub last_dir_wins: bool,
    /// Size of the hash table in its dpkg, which decides the order of pre-dependency groups and of configuring.
    pub dpkg_bins: u32,
    /// Container images have the vendor's ordinary user.
    #[serde(default)]
    account: bool,
    /// The shape of its apt sources.
    pub sources_format: SourcesFormat,
    /// Last day of public security support, as YYYY-MM-DD.
    #[serde(default)]
    pub ends: Option<String>,
}

fn current() -> Vec<Set> {
    vec![Set::Current]
}

impl Suite {
    /// Who publishes it; none if it is not listed and nothing hints at its vendor.
    pub fn vendor(&self) -> Option<&'static Vendor> {
        self.vendor
    }

    /// The ordinary user of its container images.
    pub(crate) fn account(&self) -> Option<&'static Account> {
        self.vendor()?.account.as_ref().filter(|_| self.account)
    }

    /// Components packages are chosen from unless told otherwise.
    pub fn components(&self) -> Vec<String> {
        self.vendor.map_or_else(|| vec!["main".to_owned()], |vendor| vendor.components.clone())
    }

    /// The mirrors that hold it for an architecture, in the order to try; none if it is not listed with a vendor.
    pub fn mirrors(&self, architecture: &str) -> Vec<&'static Mirror> {
        let Some(vendor) = self.vendor() else {
            return Vec::new();
        };
        self.served_by.iter().flat_map(|set| vendor.mirrors(*set, architecture)).collect()
    }

    /// The apt sources to write into a target, or none where its own apt package documents them.
    pub fn sources(&self, architecture: &str) -> Vec<SourceEntry> {
        let Some(vendor) = self.vendor() else {
            return Vec::new();
        };
        let set = if self.ended { Set::Ended } else { Set::Current };
        let fitting = vendor.sources.iter().filter(|s| s.set == set && matches(&s.architectures, architecture));
        fitting
            .map(|source| SourceEntry {
                uri: source.uri.clone(),
                suites: source.pockets.iter().filter_map(|p| self.pocket(*p)).map(str::to_owned).collect(),
                components: vendor.sources_components.clone(),
            })
            .filter(|entry| !entry.suites.is_empty())
            .collect()
    }

    /// The name of a pocket under `dists/`, if the suite has it.
    pub fn pocket(&self, pocket: Pocket) -> Option<&str> {
        match pocket {
            Pocket::Release => Some(&self.pockets.release),
            Pocket::Updates => self.pockets.updates.as_deref(),
            Pocket::Security => self.pockets.security.as_deref(),
            Pocket::Backports => self.pockets.backports.as_deref(),
        }
    }

    /// How it is merged, as a build chroot or not.
    pub fn merged_usr(&self, buildd: bool) -> MergedUsr {
        self.merged_usr_buildd.filter(|_| buildd).unwrap_or(self.merged_usr)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        [&self.codename].into_iter().chain(&self.aliases).chain(&self.version).map(String::as_str)
    }
}

impl Mirror {
    /// Where a pocket is under this mirror.
    pub fn base(&self, pocket: Pocket) -> &str {
        if pocket == Pocket::Security { &self.security } else { &self.uri }
    }
}

/// Every suite listed, newest first, one vendor after the other.
pub fn all() -> impl Iterator<Item = &'static Suite> {
    DATA.iter().flat_map(|(_, suites)| suites)
}

/// Every vendor listed.
pub fn vendors() -> impl Iterator<Item = &'static Vendor> {
    DATA.iter().map(|(vendor, _)| *vendor)
}

/// The suite with this codename, alias or version, in capitals or not.
pub fn lookup(name: &str) -> Option<&'static Suite> {
    all().find(|suite| suite.names().any(|known| known.eq_ignore_ascii_case(name)))
}

/// The names most like one that was not found, the likeliest first: "did you mean".
pub fn nearest(name: &str) -> Vec<&'static str> {
    let name = name.to_ascii_lowercase();
    let limit = (name.chars().count() / 3).clamp(1, 3);
    let mut near: Vec<_> = all().flat_map(Suite::names).map(|known| (distance(&name, known), known)).collect();
    near.retain(|(distance, _)| *distance <= limit);
    near.sort();
    near.into_iter().map(|(_, known)| known).take(3).collect()
}

/// A suite that is not listed, as a modern one of this vendor would be. Without a vendor it has no mirror, no keyring
/// and only its release pocket; the caller has to be told them.
pub fn unlisted(name: &str, vendor: Option<&str>) -> Suite {
    let known = DATA.iter().find(|(known, _)| Some(known.name.as_str()) == vendor);
    // The newest release is the best guess at what the next one is signed with and leaves out.
    let model = known.and_then(|(_, suites)| suites.iter().find(|suite| suite.version.is_some()));
    let pocket = |kind: &str| known.map(|_| format!("{name}-{kind}"));
    Suite {
        vendor: known.map(|(vendor, _)| *vendor),
        codename: name.to_owned(),
        aliases: Vec::new(),
        version: None,
        ended: false,
        served_by: vec![Set::Current, Set::Ended],
        pockets: Pockets {
            release: name.to_owned(),
            updates: pocket("updates"),
            security: pocket("security"),
            backports: pocket("backports"),
        },
        optional: vec![Pocket::Updates, Pocket::Security, Pocket::Backports],
        keyrings: model.map(|suite| suite.keyrings.clone()).unwrap_or_default(),
        merged_usr: MergedUsr::Detect,
        merged_usr_buildd: None,
        unmerged_note: false,
        required: Vec::new(),
        exclude: model.map(|suite| suite.exclude.clone()).unwrap_or_default(),
        fake_initctl: false,
        gzip_first: false,
        account: model.is_some_and(|suite| suite.account),
        last_dir_wins: false,
        dpkg_bins: 65521,
        sources_format: SourcesFormat::Deb822,
        ends: None,
    }
}

/// The certificates in one of the embedded keyrings, in binary form.
pub fn keyring(name: &str) -> Option<&'static [u8]> {
    KEYRINGS.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}

/// One file of `suites/`.
fn parse(text: &str) -> Result<(&'static Vendor, Vec<Suite>), toml::de::Error> {
    let mut table: toml::Table = toml::from_str(text)?;
    let suites = table.remove("suite").unwrap_or_else(|| toml::Value::Array(Vec::new()));
    let mut suites: Vec<Suite> = suites.try_into()?;
    // Once per file, for the life of the program.
    let vendor: &'static Vendor = Box::leak(Box::new(table.try_into()?));
    for suite in &mut suites {
        suite.vendor = Some(vendor);
    }
    Ok((vendor, suites))
}

/// Whether a list of architectures, or of exceptions, includes one.
fn matches(list: &[String], architecture: &str) -> bool {
    let (not, only): (Vec<_>, Vec<_>) = list.iter().partition(|entry| entry.starts_with('!'));
    (only.is_empty() || only.iter().any(|a| *a == architecture)) && !not.iter().any(|a| a[1..] == *architecture)
}

/// Edits that turn one word into another: a letter added, dropped or changed, or two neighbours swapped.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut cost = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            cost[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = cost[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let best = changed.min(cost[i - 1][j] + 1).min(cost[i][j - 1] + 1);
                if swapped { best.min(cost[i - 2][j - 2] + 1) } else { best }
            };
        }
    }
    cost[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(name: &str) -> &'static Suite {
        lookup(name).unwrap_or_else(|| panic!("{name} is not listed"))
    }

    fn uris(suite: &Suite, architecture: &str) -> Vec<String> {
        suite.mirrors(architecture).iter().map(|m| m.uri.clone()).collect()
    }

    #[test]
    fn the_files_parse() {
        for text in FILES {
            parse(text).unwrap();
        }
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        for (right, wrong) in
            [("merged_usr =", "merged_user ="), ("sources_components", "source_components"), ("uri =", "url =")]
        {
            assert!(parse(&FILES[0].replace(right, wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_unique_and_lowercase() {
        let mut names: Vec<_> = all().flat_map(Suite::names).collect();
        assert!(names.iter().all(|name| name.to_ascii_lowercase() == **name));
        let before = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), before);
    }

    #[test]
    fn found_by_codename_alias_and_version() {
        for name in ["trixie", "Trixie", "stable", "13"] {
            assert_eq!(suite(name).codename, "trixie", "{name}");
        }
        assert_eq!(suite("24.04").codename, "noble");
        assert_eq!(suite("unstable").codename, "sid");
        assert_eq!(suite("oldoldstable").version.as_deref(), Some("11"));
        assert_eq!(lookup("24.4"), None);
        assert_eq!(lookup(""), None);
    }

    #[test]
    fn did_you_mean() {
        assert_eq!(nearest("trxie"), ["trixie"]);
        assert_eq!(nearest("foacl"), ["focal"]);
        assert_eq!(nearest("Bulseye"), ["bullseye"]);
        assert_eq!(nearest("24.4"), ["24.04"]);
        assert_eq!(nearest("potato"), [""; 0]);
    }

    #[test]
    fn distances() {
        let cases = [
            ("", "", 0),
            ("a", "", 1),
            ("ab", "ba", 1),
            ("sid", "sda", 2),
            ("focal", "local", 1),
            ("jammy", "noble", 5),
        ];
        for (a, b, edits) in cases {
            assert_eq!((distance(a, b), distance(b, a)), (edits, edits), "{a} {b}");
        }
    }

    #[test]
    fn mirrors_by_architecture_and_age() {
        assert_eq!(
            uris(suite("trixie"), "amd64"),
            ["https://cloudfront.debian.net/debian", "http://ftp.debian.org/debian"]
        );
        assert_eq!(suite("trixie").mirrors("amd64")[1].base(Pocket::Security), "http://ftp.debian.org/debian-security");
        assert_eq!(uris(suite("bullseye"), "arm64").last().unwrap(), "http://archive.debian.org/debian");
        assert_eq!(uris(suite("jessie"), "amd64"), ["http://archive.debian.org/debian"]);
        assert_eq!(uris(suite("noble"), "i386"), ["http://archive.ubuntu.com/ubuntu"]);
        assert_eq!(uris(suite("noble"), "riscv64"), ["http://ports.ubuntu.com/ubuntu-ports"]);
        assert_eq!(
            uris(suite("focal"), "arm64"),
            ["http://ports.ubuntu.com/ubuntu-ports", "http://old-releases.ubuntu.com/ubuntu"]
        );
    }

    #[test]
    fn every_suite_can_be_downloaded_verified_and_dated() {
        for suite in all() {
            let name = &suite.codename;
            assert!(["amd64", "arm64", "i386"].iter().all(|a| !suite.mirrors(a).is_empty()), "{name}: no mirror");
            assert!(
                !suite.keyrings.is_empty() && suite.keyrings.iter().all(|k| keyring(k).is_some()),
                "{name}: keyring"
            );
            assert!([8191, 65521].contains(&suite.dpkg_bins), "{name}: bins");
            let date =
                suite.ends.as_deref().map(|d| d.len() == 10 && d.chars().all(|c| c == '-' || c.is_ascii_digit()));
            assert!(date.unwrap_or(true), "{name}: ends");
            assert!(suite.merged_usr != MergedUsr::Detect, "{name}: known suites say how they are merged");
        }
    }

    /// The archive's and the security archive's own key of each release, which nothing else could sign with: they have
    /// left the current keyring.
    #[test]
    fn ended_suites_trust_the_keys_of_their_days() {
        for (name, keys) in [
            ("jessie", ["126C0D24BD8A2942CC7DF8AC7638D0442B90D010", "D21169141CECD440F2EB8DDA9D6D8F6BC857C906"]),
            ("stretch", ["E1CF20DDFFE4B89E802658F1E0B11894F66AEC98", "6ED6F5CB5FA6FB2F460AE88EEDA0D2388AE22BA9"]),
            ("buster", ["80D15823B7FD1561F9F7BCDDDC30D7C23CBBABEE", "5E61B217265DA9807A23C5FF4DFAB270CAA96DFA"]),
            ("trusty", ["790BC7277767219C42C86F933B4FE6ACC0B21F32"; 2]),
        ] {
            let blobs: Vec<&[u8]> = suite(name).keyrings.iter().filter_map(|file| keyring(file)).collect();
            let trusted = rootstrap_fetch::Keyring::from_bytes(&blobs).unwrap().fingerprints();
            assert!(keys.iter().all(|key| trusted.iter().any(|known| known == key)), "{name}: {trusted:?}");
        }
    }

    #[test]
    fn pockets_by_name() {
        assert_eq!(suite("sid").pocket(Pocket::Updates), None);
        assert_eq!(suite("trixie").pocket(Pocket::Security), Some("trixie-security"));
        assert_eq!(suite("stretch").pocket(Pocket::Security), Some("stretch/updates"));
        assert!(!Pocket::DEFAULT.contains(&Pocket::Backports));
    }

    #[test]
    fn sources_for_the_target() {
        assert_eq!(suite("trixie").sources("amd64"), []);
        let entries = suite("noble").sources("amd64");
        assert_eq!(entries[0].uri, "http://archive.ubuntu.com/ubuntu");
        assert_eq!(entries[0].suites, ["noble", "noble-updates", "noble-backports"]);
        assert_eq!(entries[0].components, ["main", "universe", "restricted", "multiverse"]);
        assert_eq!(
            (entries[1].uri.as_str(), entries[1].suites.as_slice()),
            ("http://security.ubuntu.com/ubuntu", &["noble-security".to_owned()][..])
        );
        assert!(suite("noble").sources("arm64").iter().all(|e| e.uri == "http://ports.ubuntu.com/ubuntu-ports"));
        let buster: Vec<_> = suite("buster").sources("amd64").into_iter().flat_map(|e| e.suites).collect();
        assert_eq!(buster, ["buster", "buster/updates"]);
    }

    #[test]
    fn a_build_chroot_may_be_merged_otherwise() {
        assert_eq!(suite("bookworm").merged_usr(false), MergedUsr::Links);
        assert_eq!(suite("bookworm").merged_usr(true), MergedUsr::No);
        assert_eq!(suite("trixie").merged_usr(true), MergedUsr::Package);
    }

    #[test]
    fn an_unlisted_suite_is_taken_for_a_modern_one() {
        let next = unlisted("duke", Some("debian"));
        assert_eq!(uris(&next, "amd64")[0], "https://cloudfront.debian.net/debian");
        assert_eq!(next.pocket(Pocket::Security), Some("duke-security"));
        assert!(next.optional.contains(&Pocket::Security));
        assert_eq!(
            (next.merged_usr, next.sources_format, next.dpkg_bins),
            (MergedUsr::Detect, SourcesFormat::Deb822, 65521)
        );
        assert_eq!(next.exclude, ["usrmerge"]);

        let stranger = unlisted("ceres", None);
        assert!(stranger.mirrors("amd64").is_empty() && stranger.keyrings.is_empty());
        assert_eq!(stranger.pocket(Pocket::Updates), None);
        assert_eq!(stranger.components(), ["main"]);
        assert_eq!(unlisted("ceres", Some("devuan")).vendor(), None);
    }
}
