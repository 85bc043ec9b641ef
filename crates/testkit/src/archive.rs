//! A signed Debian archive composed from a few fields.

use crate::compress::Compression;
use crate::deb::Deb;
use crate::digest;
use crate::keys::{Key, SignatureDigest, Stamp, clearsign_with, detached_with};
use crate::{EPOCH, Files};

/// One suite of an archive. Every field may be changed before [`Archive::build`].
#[derive(Clone, Debug)]
pub struct Archive {
    /// The path below `dists/`: `trixie`, `trixie-security`, `buster/updates`.
    pub dist: String,
    /// Other paths below `dists/` with the same content, as `dists/stable` is.
    pub aliases: Vec<String>,
    /// `Origin`.
    pub origin: String,
    /// `Label`.
    pub label: String,
    /// `Suite`, say `stable`.
    pub suite: String,
    /// `Codename`.
    pub codename: String,
    /// `Version`, if any.
    pub version: Option<String>,
    /// `Architectures`, without `all`.
    pub architectures: Vec<String>,
    /// The components. A component without packages has an index too.
    pub components: Vec<String>,
    /// What Release puts before each component's name: `updates/` in `buster/updates`.
    pub component_prefix: String,
    /// `Date` in unix seconds.
    pub date: u64,
    /// `Valid-Until` in unix seconds.
    pub valid_until: Option<u64>,
    /// Whether `by-hash` copies exist and Release says so.
    pub acquire_by_hash: bool,
    /// The forms in which each `Packages` file exists on the mirror; Release lists these.
    pub forms: Vec<Compression>,
    /// Whether Release lists the plain `Packages` even where the mirror has none, as Debian's does.
    pub list_plain: bool,
    /// Where packages of architecture `all` are listed.
    pub all_index: AllIndex,
    /// The digests in Release.
    pub digests: Vec<Digest>,
    /// More fields of Release; one with an empty value removes the field of that name.
    pub fields: Vec<(String, String)>,
    /// Which signed files exist.
    pub signing: Signing,
    /// The keys. Each of them signs.
    pub keys: Vec<Key>,
    /// The time of the signatures in unix seconds; `date` if `None`.
    pub signed_at: Option<u64>,
    /// The digest that the signatures use.
    pub signature_digest: SignatureDigest,
    pub(crate) debs: Vec<(String, Deb)>,
}

/// Which of the signed forms a mirror offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// `InRelease` alone.
    InRelease,
    /// `Release` and `Release.gpg`.
    Detached,
    /// All three.
    Both,
    /// `Release` alone.
    None,
}

/// Where packages of architecture `all` are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllIndex {
    /// In every architecture's index; no `binary-all`.
    Merged,
    /// In every architecture's index and in `binary-all`, with `No-Support-for-Architecture-all: Packages`, as Debian
    /// does.
    Both,
    /// Only in `binary-all`.
    Separate,
}

/// A digest kind of Release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// MD5, weak.
    Md5Sum,
    /// SHA-1, weak.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Digest {
    /// The weak kinds only: a Release with these must be refused.
    pub const WEAK: [Digest; 2] = [Digest::Md5Sum, Digest::Sha1];

    /// The field's name in Release and the directory's below `by-hash`.
    pub fn name(self) -> &'static str {
        match self {
            Digest::Md5Sum => "MD5Sum",
            Digest::Sha1 => "SHA1",
            Digest::Sha256 => "SHA256",
            Digest::Sha512 => "SHA512",
        }
    }

    /// The digest in lower-case hex.
    pub fn hex(self, bytes: &[u8]) -> String {
        match self {
            Digest::Md5Sum => digest::md5(bytes),
            Digest::Sha1 => digest::sha1(bytes),
            Digest::Sha256 => digest::sha256(bytes),
            Digest::Sha512 => digest::sha512(bytes),
        }
    }
}

impl Archive {
    /// An archive for amd64 with the component `main`, `Packages` as .gz and .xz by-hash, InRelease and
    /// Release.gpg, but no key yet: without keys nothing is signed.
    pub fn new(dist: &str) -> Archive {
        let (codename, component_prefix) = match dist.split_once('/') {
            Some((codename, pocket)) => (codename, format!("{pocket}/")),
            None => (dist, String::new()),
        };
        Archive {
            dist: dist.into(),
            aliases: Vec::new(),
            origin: "Debian".into(),
            label: if dist.contains('/') { "Debian-Security".into() } else { "Debian".into() },
            suite: codename.into(),
            codename: codename.into(),
            version: None,
            architectures: vec!["amd64".into()],
            components: vec!["main".into()],
            component_prefix,
            date: EPOCH,
            valid_until: None,
            acquire_by_hash: true,
            forms: vec![Compression::Gz, Compression::Xz],
            list_plain: true,
            all_index: AllIndex::Merged,
            digests: vec![Digest::Md5Sum, Digest::Sha256],
            fields: Vec::new(),
            signing: Signing::Both,
            keys: Vec::new(),
            signed_at: None,
            signature_digest: SignatureDigest::default(),
            debs: Vec::new(),
        }
    }

    /// Adds a signing key.
    pub fn key(mut self, key: &Key) -> Archive {
        self.keys.push(key.clone());
        self
    }

    /// Adds a package to a component.
    pub fn deb(mut self, component: &str, deb: Deb) -> Archive {
        if !self.components.iter().any(|c| c == component) {
            self.components.push(component.into());
        }
        self.debs.push((component.into(), deb));
        self
    }

    /// Adds packages to `main`.
    pub fn debs(self, debs: impl IntoIterator<Item = Deb>) -> Archive {
        debs.into_iter().fold(self, |archive, deb| archive.deb("main", deb))
    }

    /// Sets a field of Release.
    pub fn field(mut self, key: &str, value: &str) -> Archive {
        self.fields.push((key.into(), value.into()));
        self
    }

    /// Signs `release` and puts it into `files` in place of the Release files there. So a test can serve a Release file
    /// whose signature is good and whose content is wrong.
    pub fn publish(&self, files: &mut Files, release: &str) {
        let stamp = Stamp { at: self.signed_at.or(Some(self.date)), digest: self.signature_digest };
        let keys: Vec<&Key> = self.keys.iter().collect();
        let text = release.as_bytes();
        let signing = if keys.is_empty() { Signing::None } else { self.signing };
        let inline = matches!(signing, Signing::InRelease | Signing::Both).then(|| clearsign_with(&keys, text, stamp));
        let plain = (signing != Signing::InRelease).then(|| text.to_vec());
        let detached = matches!(signing, Signing::Detached | Signing::Both).then(|| detached_with(&keys, text, stamp));
        for (name, content) in [("InRelease", inline), ("Release", plain), ("Release.gpg", detached)] {
            for dist in std::iter::once(&self.dist).chain(&self.aliases) {
                let path = format!("dists/{dist}/{name}");
                match &content {
                    Some(bytes) => files.insert(path, bytes.clone()),
                    None => files.remove(&path),
                };
            }
        }
    }

    /// The concatenated certificates of the archive's keys: a keyring file.
    pub fn keyring(&self) -> Vec<u8> {
        self.keys.iter().flat_map(Key::public).collect()
    }
}

/// Where a package lies on the mirror.
pub fn pool_path(component: &str, deb: &Deb) -> String {
    let name = deb.name();
    let prefix = if name.starts_with("lib") { name.get(..4).unwrap_or(name) } else { &name[..1] };
    let version = deb.get("Version").unwrap();
    // The epoch is never part of a file name.
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    format!("pool/{component}/{prefix}/{name}/{name}_{version}_{}.deb", index_of(deb))
}

/// The architecture, or the variant of one (`Architecture-Variant`), in whose index a package is.
pub(crate) fn index_of(deb: &Deb) -> &str {
    deb.get("Architecture-Variant").or(deb.get("Architecture")).unwrap()
}
