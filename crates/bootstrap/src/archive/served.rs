//! A pocket that serves a build, as a verified Release or a lock describes it.

use rootstrap_cache::KeyBuilder;
use rootstrap_debian::digest::Digest;
use rootstrap_fetch::VerifiedPocket;
use rootstrap_suites::Pocket;
use sha2::{Digest as _, Sha256};

/// A pocket that serves a build: all that is made of it besides the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServedPocket {
    /// rootstrap's name for it.
    pub name: String,
    /// Its path below `dists/`.
    pub suite: String,
    /// `Codename`.
    pub codename: String,
    /// `Origin`.
    pub origin: String,
    /// `Date`, in seconds since 1970.
    pub date: i64,
    /// `Valid-Until`, in seconds since 1970.
    pub valid_until: Option<i64>,
    /// The digest of the file `Release`.
    pub release: Digest,
    /// The fingerprints of the primary keys whose signatures are good.
    pub keys: Vec<String>,
    /// The moment of the archive, as the service of snapshots has resolved it.
    pub snapshot: Option<String>,
    /// Mirrors of the archive as it is now, which are asked for debs first. They may have dropped some.
    pub current: Vec<String>,
    /// The first of the mirrors that did not answer that it lacks the pocket. It contains the password, if there is one.
    pub first_having: String,
    /// The mirrors that debs are fetched from, the one that sent the Release first. They contain passwords.
    pub mirrors: Vec<String>,
}

impl From<&VerifiedPocket> for ServedPocket {
    fn from(pocket: &VerifiedPocket) -> Self {
        let release = pocket.release();
        Self {
            name: pocket.name().to_owned(),
            suite: pocket.suite().to_owned(),
            codename: release.codename.clone(),
            origin: release.origin.clone(),
            date: release.date,
            valid_until: release.valid_until,
            release: release_digest(pocket.release_text()),
            keys: pocket.keys().to_vec(),
            snapshot: None,
            current: Vec::new(),
            first_having: pocket.first_having().to_owned(),
            mirrors: pocket.mirrors().to_vec(),
        }
    }
}

impl ServedPocket {
    /// Returns the mirror that sent the Release; offline, the first mirror of the pocket. It contains the password, if there is one.
    pub fn mirror(&self) -> &str {
        self.mirrors.first().map_or("", String::as_str)
    }

    /// Returns what plans call it: the path below `dists/`, or the address and the suite of another archive, or a directory.
    pub fn place(&self) -> String {
        if self.is_further() { self.name.clone() } else { self.suite.clone() }
    }

    /// Whether it is an archive beside the suite's own.
    pub fn is_further(&self) -> bool {
        is_further(&self.name)
    }

    /// Whether it is a directory with debs that the user names, and no archive.
    pub fn is_local(&self) -> bool {
        is_local(&self.name)
    }

    /// Returns the mirrors that debs are fetched from, in the order in which they are tried.
    pub fn deb_mirrors(&self) -> Vec<String> {
        self.current.iter().chain(&self.mirrors).cloned().collect()
    }

    /// Adds to a key what a result can show of the pocket besides the packages of its plan: the target's apt sources name the suite
    /// and the mirror, and the date may be the date of the files.
    pub fn add_to_key<'k>(&self, key: &'k mut KeyBuilder) -> &'k mut KeyBuilder {
        // The keys and the other mirrors decide what is accepted, not what is made of it. What SBOMs say is in no archive that is kept.
        let Self {
            name,
            suite,
            codename: _,
            origin: _,
            date,
            valid_until: _,
            release: _,
            keys: _,
            snapshot: _,
            current: _,
            first_having,
            mirrors: _,
        } = self;
        key.text("name", name).text("suite", suite).text("mirror", first_having).number("date", *date)
    }
}

/// Whether this is the name of an archive beside the suite's own.
pub(crate) fn is_further(name: &str) -> bool {
    Pocket::ALL.iter().all(|pocket| pocket.name() != name)
}

/// Whether this is the name of a directory with debs, and not of a pocket or of a further archive.
pub(crate) fn is_local(name: &str) -> bool {
    name.starts_with(['/', '.'])
}

/// Returns the digest of the file `Release`, from the text that a signature covers. In a message with its signature inside, that text
/// lacks the line end before the signature (RFC 9580 §7.2); otherwise both are the same bytes.
fn release_digest(text: &str) -> Digest {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    Digest::Sha256(Sha256::new().chain_update(text).chain_update(end).finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_one_digest_however_it_was_signed() {
        assert_eq!(release_digest("Origin: x\nDate: y"), release_digest("Origin: x\nDate: y\n"));
        let sha256 = "98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4";
        assert_eq!(release_digest("hi").to_string(), sha256, "sha256sum of `echo hi`");
    }
}
