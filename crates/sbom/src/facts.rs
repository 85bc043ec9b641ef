//! What has to be known of a build to write documents about it.

use rootstrap_debian::digest::Digest;
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

/// A build. Text that is unknown is empty.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    /// The name of the result, such as `debian-trixie-minbase-amd64`.
    pub name: String,
    /// Whether the result is a container image and not a bare root filesystem.
    pub image: bool,
    /// Who publishes the suite, in lower case, as in the `ID` of `/etc/os-release`: `debian`, `ubuntu`.
    pub vendor: String,
    /// The suite's codename, which never changes.
    pub codename: String,
    /// The suite's version, as in `13` or `24.04`. A rolling suite has none.
    pub version: String,
    /// The native Debian architecture.
    pub architecture: String,
    /// The date of the result and of the documents, in seconds since 1970.
    pub epoch: i64,
    /// The version of rootstrap.
    pub tool_version: String,
    /// The name of the variant: which packages the build started from.
    pub variant: String,
    /// What changes the tree beside the packages: options, as name and value, with digests of files and commands.
    pub changes: Vec<(String, String)>,
    /// The other options that decide the result, as name and value; each name once.
    pub options: Vec<(String, String)>,
    /// The packages of the root, in the order of their installation. No two have the same name and architecture.
    pub packages: Vec<Package>,
    /// The Release files that the packages were chosen from.
    pub releases: Vec<Release>,
}

/// A binary package of the root. Text that is unknown is empty.
#[derive(Clone, Debug, Serialize)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// The version, with the epoch.
    pub version: String,
    /// The architecture, or `all`.
    pub architecture: String,
    /// Who publishes it, in the form of [`Facts::vendor`].
    pub vendor: String,
    /// The name of the source package that it was built from.
    pub source: String,
    /// The version of that source package, with the epoch.
    pub source_version: String,
    /// The digest of the .deb, as its index lists it.
    #[serde(serialize_with = "hex")]
    pub digest: Digest,
    /// The length of the .deb in bytes.
    pub size: u64,
    /// The installed size in bytes, as its maintainer estimated it; 0 if not stated.
    pub installed_size: u64,
    /// The address of the .deb on the mirror that the result itself uses.
    pub uri: String,
    /// The package's `Maintainer`: `NAME <MAIL>`.
    pub maintainer: String,
    /// The package's `Original-Maintainer`: who maintains the package in the distribution that a derivative took it from.
    pub original_maintainer: String,
    /// The package's `Homepage`.
    pub homepage: String,
    /// The first line of the package's `Description`.
    pub summary: String,
    /// The absolute path of the file with the package's licence, in a system that has the package installed.
    pub licence: String,
    /// The positions in [`Facts::packages`] of the packages that it depends on.
    pub depends: Vec<usize>,
}

/// A Release file that was verified.
#[derive(Clone, Debug, Serialize)]
pub struct Release {
    /// rootstrap's name for its pocket, such as `security`.
    pub pocket: String,
    /// Its path below `dists/`, such as `trixie-security`.
    pub suite: String,
    /// The file's `Codename`.
    pub codename: String,
    /// The file's `Date`, in seconds since 1970.
    pub date: i64,
    /// The file's address on the mirror that the result itself uses.
    pub uri: String,
    /// The digest of the text that the signature covers.
    #[serde(serialize_with = "hex")]
    pub digest: Digest,
    /// The fingerprints of the primary keys whose signatures are good.
    pub keys: Vec<String>,
}

impl Facts {
    /// Returns the SHA-256 of all facts, which identifies a document about the build.
    pub(crate) fn digest(&self) -> [u8; 32] {
        // All values can be written as JSON, and the fields of a struct have an order.
        Sha256::digest(serde_json::to_vec(self).unwrap_or_default()).into()
    }

    /// Returns the name of the operating system: the vendor, or the name of the result if the vendor is unknown.
    pub(crate) fn system_name(&self) -> &str {
        if self.vendor.is_empty() { &self.name } else { &self.vendor }
    }

    /// Returns one line that describes the operating system.
    pub(crate) fn system_summary(&self) -> String {
        format!("{} ({}, {})", self.name, self.codename, self.architecture)
    }

    /// Returns the suite's version, or its codename if it has no version.
    pub(crate) fn release(&self) -> &str {
        if self.version.is_empty() { &self.codename } else { &self.version }
    }

    /// Returns, for each source package, the first package that was built from it, in order.
    pub(crate) fn first_of_each_source(&self) -> Vec<&Package> {
        let mut seen = BTreeSet::new();
        self.packages.iter().filter(|package| seen.insert(package.source())).collect()
    }
}

impl Package {
    /// Returns name and version of its source package.
    pub(crate) fn source(&self) -> (&str, &str) {
        (&self.source, &self.source_version)
    }
}

fn hex<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(digest)
}
