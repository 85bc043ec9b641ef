//! What has to be known of a build before anything can be written about it.

use rootstrap_debian::digest::Digest;
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A build. Absent text is empty.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    /// What to call the result: `debian-trixie-minbase-amd64`.
    pub name: String,
    /// Whether the result is a container image and not a bare root filesystem.
    pub image: bool,
    /// Who publishes the suite, in lower case, as in the `ID` of `/etc/os-release`: `debian`,
    /// `ubuntu`.
    pub vendor: String,
    /// The suite's name for life.
    pub codename: String,
    /// The suite's version as people say it: `13`, `24.04`. A rolling suite has none.
    pub version: String,
    /// Native Debian architecture.
    pub architecture: String,
    /// The date of the result, in seconds since 1970. Documents bear it too.
    pub epoch: i64,
    /// Version of rootstrap.
    pub tool_version: String,
    /// Which packages the build started from.
    pub variant: String,
    /// What else was asked for, as name and value; each name once. Only what the result depends on.
    pub options: Vec<(String, String)>,
    /// The packages of the root, in the order of their installation. Name and architecture are not there twice.
    pub packages: Vec<Package>,
    /// The Release files all of them were chosen from.
    pub releases: Vec<Release>,
}

/// A binary package of the root. Absent text is empty.
#[derive(Clone, Debug, Serialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, with the epoch.
    pub version: String,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// Name of the source package it was built from.
    pub source: String,
    /// Version of that, with the epoch.
    pub source_version: String,
    /// Digest of the .deb, as its index lists it.
    #[serde(serialize_with = "hex")]
    pub digest: Digest,
    /// Length of the .deb in bytes.
    pub size: u64,
    /// Bytes it takes once installed, by its maintainer's estimate; 0 if not stated.
    pub installed_size: u64,
    /// Where the .deb is on the mirror that the result itself uses.
    pub uri: String,
    /// The index's `Maintainer`: `NAME <MAIL>`.
    pub maintainer: String,
    /// The index's `Original-Maintainer`: whose package a derivative has taken over.
    pub original_maintainer: String,
    /// The index's `Homepage`.
    pub homepage: String,
    /// The first line of the index's `Description`.
    pub summary: String,
    /// Absolute path, in a system that has the package installed, of the text that says how it is licensed.
    pub licence: String,
    /// What of [`Facts::packages`] it depends on, by position.
    pub depends: Vec<usize>,
}

/// A Release file that was verified.
#[derive(Clone, Debug, Serialize)]
pub struct Release {
    /// What rootstrap calls its pocket: `security`.
    pub pocket: String,
    /// Its path below `dists/`: `trixie-security`.
    pub suite: String,
    /// Its own `Codename`.
    pub codename: String,
    /// Its own `Date`, in seconds since 1970.
    pub date: i64,
    /// Where it is on the mirror that the result itself uses.
    pub uri: String,
    /// Digest of the text that the signature covers.
    #[serde(serialize_with = "hex")]
    pub digest: Digest,
    /// Fingerprints of the primary keys whose signatures are good.
    pub keys: Vec<String>,
}

impl Facts {
    /// SHA-256 over all of it: what identifies a document about it.
    pub(crate) fn digest(&self) -> [u8; 32] {
        // Everything in it has a JSON form, and fields have an order.
        Sha256::digest(serde_json::to_vec(self).unwrap_or_default()).into()
    }

    /// The suite's version, or its codename where it has none.
    pub(crate) fn release(&self) -> &str {
        if self.version.is_empty() { &self.codename } else { &self.version }
    }

    /// Positions of the packages that are the first of their source, in order.
    pub(crate) fn sources(&self) -> Vec<usize> {
        let mut seen = std::collections::BTreeSet::new();
        let packages = self.packages.iter().enumerate();
        let first = packages.filter(|(_, package)| seen.insert(package.source()));
        first.map(|(position, _)| position).collect()
    }
}

impl Package {
    /// Name and version of its source package.
    pub(crate) fn source(&self) -> (&str, &str) {
        (&self.source, &self.source_version)
    }
}

fn hex<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(digest)
}
