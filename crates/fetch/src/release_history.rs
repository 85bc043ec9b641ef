//! Release files that were verified before, in the cache: what `--offline` uses, and what shows that a Release is older than one
//! seen before.
//!
//! They are only stored here, not trusted: whoever reads one verifies it again.

use crate::error::Error;
use crate::layers::RELEASES_DIRECTORY;
use crate::limits;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rootstrap_cache::{Cache, CachedFile};
use rootstrap_http::redact;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Write};
use std::path::Path;

/// Bytes of the digest that tells files of one date apart.
const HASH_LENGTH: usize = 8;

/// The name of the file that says which mirror has the suite.
const MIRROR: &str = "mirror";

/// A Release file as a mirror sends it, not yet trusted.
#[derive(Clone, Debug)]
pub(crate) enum SignedRelease {
    /// `InRelease`: text and signature in one.
    Inline(Vec<u8>),
    /// `Release` and `Release.gpg`.
    Detached { text: Vec<u8>, signature: Vec<u8> },
}

/// The Release files of one suite that were seen before.
pub(crate) struct ReleaseHistory {
    cache: Cache,
    /// The suite's directory below `v1/`.
    directory: String,
}

/// A Release file that was seen before, not yet read.
pub(crate) struct SeenRelease {
    /// The `Date` that is part of its name, in seconds since 1970.
    pub date: i64,
    file: CachedFile,
    /// The file with its signature, if that is not part of it.
    signature: Option<CachedFile>,
}

impl ReleaseHistory {
    pub fn new(cache: &Cache, suite: &str) -> Self {
        Self { cache: cache.clone(), directory: format!("{RELEASES_DIRECTORY}/{}", directory_name(suite)) }
    }

    /// Stores a Release file that was verified.
    pub fn add(&self, date: i64, release: &SignedRelease) -> Result<(), Error> {
        let parts: Vec<(&str, &[u8])> = match release {
            SignedRelease::Inline(message) => vec![(".InRelease", message)],
            // The signature first: a Release without it could not be verified.
            SignedRelease::Detached { text, signature } => vec![(".Release.gpg", signature), (".Release", text)],
        };
        let mut hasher = Sha256::new();
        parts.iter().for_each(|(_, bytes)| hasher.update(bytes));
        let hash = hasher.finalize();
        let hash = base16ct::lower::encode_string(hash.get(..HASH_LENGTH).unwrap_or_default());
        for (extension, bytes) in parts {
            let file = CachedFile::verified(&self.cache, &self.directory, &format!("{date}-{hash}{extension}"));
            if read_at_most(&file, limits::RELEASE).is_ok_and(|there| there == bytes) {
                continue;
            }
            let mut new = file.create()?;
            let written = new.file().write_all(bytes);
            written.map_err(|source| rootstrap_cache::Error::write(file.path(), source))?;
            new.keep()?;
        }
        Ok(())
    }

    /// Remembers which mirror has the suite: the first of those that did not lack it when the last Release file came.
    pub fn set_mirror(&self, uri: &str) -> Result<(), Error> {
        // The user may name it with another password next time.
        let uri = redact::userinfo(uri);
        if self.mirror().as_ref() == Some(&uri) {
            return Ok(());
        }
        let mut new = CachedFile::verified(&self.cache, &self.directory, MIRROR).create()?;
        let written = new.file().write_all(uri.as_bytes());
        written.map_err(|source| rootstrap_cache::Error::write(Path::new(MIRROR), source))?;
        new.keep().map(drop).map_err(Error::from)
    }

    /// Returns the mirror that has the suite, without user and password, if that is known.
    pub fn mirror(&self) -> Option<String> {
        let file = CachedFile::verified(&self.cache, &self.directory, MIRROR);
        String::from_utf8(read_at_most(&file, limits::RELEASE).ok()?).ok()
    }

    /// Returns the stored Release files, the newest first.
    pub fn newest_first(&self) -> Vec<SeenRelease> {
        let names = self.cache.names(&self.directory).into_iter();
        let mut seen: Vec<(i64, String)> = names
            .filter_map(|name| {
                let name = name.into_string().ok()?;
                let is_text = name.ends_with(".InRelease") || name.ends_with(".Release");
                // A date before 1970 would begin with a dash of its own; no archive is that old.
                let date = name.split_once('-')?.0.parse().ok()?;
                is_text.then_some((date, name))
            })
            .collect();
        seen.sort();
        seen.reverse();
        let file = |name: &str| CachedFile::verified(&self.cache, &self.directory, name);
        let seen_release = |(date, name): (i64, String)| {
            let signature = name.strip_suffix(".Release").map(|stem| file(&format!("{stem}.Release.gpg")));
            SeenRelease { date, file: file(&name), signature }
        };
        seen.into_iter().map(seen_release).collect()
    }
}

impl SeenRelease {
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Reads the file, which counts as a use.
    pub fn read(&self) -> io::Result<SignedRelease> {
        let text = read_at_most(&self.file, limits::RELEASE)?;
        match &self.signature {
            None => Ok(SignedRelease::Inline(text)),
            Some(file) => Ok(SignedRelease::Detached { text, signature: read_at_most(file, limits::SIGNATURE)? }),
        }
    }
}

fn read_at_most(file: &CachedFile, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.open().ok_or(io::ErrorKind::NotFound)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The bytes that are percent-encoded in the name of a file.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Returns a file name for a suite. Different suites have different names, and none has a slash or begins with a dot.
fn directory_name(suite: &str) -> String {
    let name = utf8_percent_encode(suite, ENCODED).to_string();
    match name.strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_suite_has_one_safe_name() {
        assert_eq!(directory_name("buster/updates"), "buster%2Fupdates");
        assert_eq!(directory_name("../x"), "%2E.%2Fx");
        assert_eq!(directory_name("a.b-c"), "a.b-c");
    }

    #[test]
    fn the_newest_comes_first() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(directory.path()), Path::new("/nowhere")).unwrap();
        let history = ReleaseHistory::new(&cache, "x");
        assert!(history.newest_first().is_empty());
        history.add(9, &SignedRelease::Inline(b"inline".to_vec())).unwrap();
        let (text, signature) = (b"text".to_vec(), b"signature".to_vec());
        history.add(10, &SignedRelease::Detached { text, signature }).unwrap();
        let seen = history.newest_first();
        assert_eq!(seen.iter().map(|seen| seen.date).collect::<Vec<_>>(), [10, 9]);
        let read: Vec<_> = seen.iter().map(|seen| seen.read().unwrap()).collect();
        let [SignedRelease::Detached { text, signature }, SignedRelease::Inline(inline)] = read.as_slice() else {
            panic!("{read:?}");
        };
        assert_eq!(
            (text.as_slice(), signature.as_slice(), inline.as_slice()),
            (&b"text"[..], &b"signature"[..], &b"inline"[..])
        );
    }
}
