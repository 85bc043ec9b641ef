//! One release: everything that differs from one release to the next is a field here and a line in `suites/*.toml`.

use crate::vendor::{Account, Mirror, Pocket, Set, SourceEntry, Vendor, includes};
use serde::Deserialize;

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

/// How `/bin`, `/lib`, `/sbin` and their like become links into `/usr`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum MergedUsr {
    /// The package base-files ships the links.
    Package,
    /// The bootstrapper makes the links.
    Links,
    /// The directories stay directories.
    No,
    /// The suite is not known: `Package` if its base-files ships the links, otherwise `Links`.
    Detect,
}

/// The format of apt sources that a suite's users expect.
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
    pub(crate) vendor: Option<&'static Vendor>,
    /// The name that the suite keeps for life.
    pub codename: String,
    /// Names that the suite has for a time, like `stable`.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The version as people write it.
    #[serde(default)]
    pub version: Option<String>,
    /// The architectures that its Release file lists, without `all` and variants. Nothing is refused for their sake.
    #[serde(default)]
    pub architectures: Vec<String>,
    /// The suite no longer changes, and only the archive of ended suites serves it. Its Release files expired long ago, so they
    /// are judged at their own date, and the target's sources name that archive.
    #[serde(default)]
    pub ended: bool,
    #[serde(default = "current")]
    pub(crate) served_by: Vec<Set>,
    /// The names under `dists/`.
    pub pockets: Pockets,
    /// The pockets that a mirror may lack.
    #[serde(default)]
    pub optional: Vec<Pocket>,
    /// The files of `keyrings/` whose keys may sign the suite; see [`keyring`](crate::keyring).
    pub keyrings: Vec<String>,
    /// How the suite's /usr is merged.
    pub merged_usr: MergedUsr,
    /// How the /usr of a build chroot is merged, where that differs.
    #[serde(default)]
    pub merged_usr_buildd: Option<MergedUsr>,
    /// An unmerged tree gets `/etc/unsupported-skip-usrmerge-conversion`.
    #[serde(default)]
    pub unmerged_note: bool,
    /// Packages that count as required although their Priority says otherwise.
    #[serde(default)]
    pub required: Vec<String>,
    /// Packages that are never chosen for a dependency.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// The init of the suite is or may be upstart, so container images divert `/sbin/initctl`. (While packages are configured,
    /// `/sbin/initctl` is replaced in every suite that has it.)
    #[serde(default)]
    pub fake_initctl: bool,
    /// Container images of the suite prefer gzip indexes.
    #[serde(default)]
    pub gzip_first: bool,
    /// Where required packages ship one directory with different modes, the last package decides, not the first.
    #[serde(default)]
    pub last_dir_wins: bool,
    /// The size of the hash table in the suite's dpkg. It decides the order of pre-dependency groups and of configuring.
    pub dpkg_bins: u32,
    /// Container images of the suite have the vendor's ordinary user.
    #[serde(default)]
    pub(crate) account: bool,
    /// The format of the target's apt sources.
    pub sources_format: SourcesFormat,
    /// The last day of public security support, as YYYY-MM-DD.
    #[serde(default)]
    pub ends: Option<String>,
}

fn current() -> Vec<Set> {
    vec![Set::Current]
}

impl Suite {
    /// Returns the codename and the name of the vendor. For one version of this crate the two decide all other fields, because
    /// [`lookup`](crate::lookup) and [`unlisted`](crate::unlisted) make a suite of nothing else.
    #[must_use]
    pub fn identity(&self) -> (&str, Option<&str>) {
        // A new field does not compile until somebody decides whether that is still so.
        let Self {
            vendor,
            codename,
            architectures: _,
            aliases: _,
            version: _,
            ended: _,
            served_by: _,
            pockets: _,
            optional: _,
            keyrings: _,
            merged_usr: _,
            merged_usr_buildd: _,
            unmerged_note: _,
            required: _,
            exclude: _,
            fake_initctl: _,
            gzip_first: _,
            last_dir_wins: _,
            dpkg_bins: _,
            account: _,
            sources_format: _,
            ends: _,
        } = self;
        (codename, vendor.map(|vendor| vendor.name.as_str()))
    }

    /// Returns who publishes the suite; `None` for a suite that is not listed and has no known vendor.
    #[must_use]
    pub fn vendor(&self) -> Option<&'static Vendor> {
        self.vendor
    }

    /// Returns the ordinary user of the suite's container images.
    #[must_use]
    pub fn account(&self) -> Option<&'static Account> {
        self.vendor()?.account.as_ref().filter(|_| self.account)
    }

    /// Returns the components that packages are chosen from by default.
    #[must_use]
    pub fn components(&self) -> Vec<String> {
        self.vendor.map_or_else(|| vec!["main".to_owned()], |vendor| vendor.components.clone())
    }

    /// Returns the mirrors that hold the suite for an architecture, in the order in which they are tried. A suite without a vendor
    /// has none.
    #[must_use]
    pub fn mirrors(&self, architecture: &str) -> Vec<&'static Mirror> {
        let Some(vendor) = self.vendor() else { return Vec::new() };
        self.served_by.iter().flat_map(|set| vendor.mirrors(*set, architecture)).collect()
    }

    /// Returns the apt sources to write into a target. Empty where the target's own apt package documents them.
    #[must_use]
    pub fn sources(&self, architecture: &str) -> Vec<SourceEntry> {
        let Some(vendor) = self.vendor() else { return Vec::new() };
        let set = if self.ended { Set::Ended } else { Set::Current };
        let fitting = vendor.sources.iter().filter(|s| s.set == set && includes(&s.architectures, architecture));
        fitting
            .map(|source| SourceEntry {
                uri: source.uri.clone(),
                suites: source.pockets.iter().filter_map(|p| self.pocket(*p)).map(str::to_owned).collect(),
                components: vendor.sources_components.clone(),
            })
            .filter(|entry| !entry.suites.is_empty())
            .collect()
    }

    /// Returns the paths, in the target, of package files that decide the target's apt sources: apt's examples and the keyring.
    pub fn apt_source_documents(&self) -> impl Iterator<Item = &str> {
        let keyrings = self.vendor().map_or(&[][..], |vendor| &vendor.signed_by);
        Vendor::apt_examples().into_iter().chain(keyrings.iter().map(String::as_str))
    }

    /// Returns the name of a pocket under `dists/`, if the suite has the pocket.
    #[must_use]
    pub fn pocket(&self, pocket: Pocket) -> Option<&str> {
        match pocket {
            Pocket::Release => Some(&self.pockets.release),
            Pocket::Updates => self.pockets.updates.as_deref(),
            Pocket::Security => self.pockets.security.as_deref(),
            Pocket::Backports => self.pockets.backports.as_deref(),
        }
    }

    /// Returns how /usr is merged, in a build chroot or in any other tree.
    #[must_use]
    pub fn merged_usr(&self, buildd: bool) -> MergedUsr {
        self.merged_usr_buildd.filter(|_| buildd).unwrap_or(self.merged_usr)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        [&self.codename].into_iter().chain(&self.aliases).chain(&self.version).map(String::as_str)
    }
}
