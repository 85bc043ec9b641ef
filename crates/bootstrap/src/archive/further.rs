//! Archives beside the suite's own: a third party's, or others of the same vendor.

use crate::archive::input_file::read_input;
use crate::error::Error;
use crate::request::{FurtherSource, Sources};
use rootstrap_debian::sources::{self, Source};
use rootstrap_fetch::{Further, Keyring, Pocket};
use rootstrap_http::redact;
use std::path::Path;

impl FurtherSource {
    /// Parses lines or stanzas of apt's sources and reads the keys that they name. `path` names the file in errors; it is empty for a line
    /// of the command line.
    ///
    /// # Errors
    /// The text is malformed or names no archive, keys cannot be read or used, or an entry wants to be trusted without a signature.
    pub fn parse(text: &str, path: &str) -> Result<Vec<Self>, Error> {
        let bad = |reason: String| {
            // A message must not show the password of an address.
            let words: Vec<String> = reason.split(' ').map(shown_word).collect();
            let entry = if path.is_empty() { "of the command line" } else { path };
            let hint = "write it as apt's sources.list(5) does: deb [signed-by=KEY] URI SUITE COMPONENTS";
            Error::FurtherSource { entry: entry.to_owned(), reason: words.join(" "), hint }
        };
        let entries = sources::parse(text).map_err(|error| bad(error.to_string()))?;
        if entries.is_empty() {
            return Err(bad("it names no archive".to_owned()));
        }
        entries.into_iter().map(Self::read).collect()
    }

    /// Takes an entry with the keys that it names. Relative paths begin at the working directory. The path of a
    /// vendor's own keyring stands for that vendor's keys, whatever the host has there.
    ///
    /// # Errors
    /// The keys cannot be read or used, or the entry wants to be trusted without a signature.
    fn read(mut entry: Source) -> Result<Self, Error> {
        if entry.trusted == Some(true) {
            let reason = "it wants its packages to be trusted without a signature".to_owned();
            let hint = "sign its Release file, and name the file of the key with signed-by";
            return Err(Error::FurtherSource { entry: shown(&entry), reason, hint });
        }
        let mut blobs: Vec<Vec<u8>> = entry.key.take().map(String::into_bytes).into_iter().collect();
        for path in std::mem::take(&mut entry.signed_by) {
            // The keys that are compiled in, so that a lock does not depend on the host.
            let of_vendor = vendor_keys(&path);
            if of_vendor.is_empty() {
                blobs.push(read_input(Path::new(&path)).map_err(|error| unreadable(&entry, &path, &error))?);
            }
            blobs.extend(of_vendor.into_iter().map(<[u8]>::to_vec));
        }
        let blobs: Vec<&[u8]> = blobs.iter().map(Vec::as_slice).collect();
        let keys = (!blobs.is_empty()).then(|| Keyring::from_bytes(&blobs)?.to_armor()).transpose()?;
        Ok(Self { entry, keys })
    }
}

/// Returns a word of a message without the password that an address in it may have.
fn shown_word(word: &str) -> String {
    let Some(at) = word.find("://") else { return word.to_owned() };
    let start = word
        .get(..at)
        .unwrap_or_default()
        .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '+')
        .map_or(0, |end| end + 1);
    let (before, uri) = word.split_at(start);
    format!("{before}{}", redact::password(uri))
}

fn unreadable(entry: &Source, path: &str, error: &std::io::Error) -> Error {
    let reason = format!("cannot read the keyring {path}: {error}");
    Error::FurtherSource { entry: shown(entry), reason, hint: "name the file of the keys that sign it" }
}

/// Returns an entry for messages.
fn shown(entry: &Source) -> String {
    let uri = entry.uris.first().map(|uri| redact::password(uri)).unwrap_or_default();
    format!("{uri} {}", entry.suites.join(" "))
}

/// Returns the keys of the vendor whose own keyring is at this path in its systems.
fn vendor_keys(path: &str) -> Vec<&'static [u8]> {
    let is_there = |suite: &&rootstrap_suites::Suite| {
        let vendor = suite.vendor();
        vendor.is_some_and(|vendor| vendor.signed_by.iter().any(|known| path.strip_prefix('/') == Some(known)))
    };
    let mut names: Vec<&String> = rootstrap_suites::all().filter(is_there).flat_map(|suite| &suite.keyrings).collect();
    names.sort();
    names.dedup();
    names.into_iter().filter_map(|name| rootstrap_suites::keyring(name)).collect()
}

/// Returns the name that a further archive has in plans and locks: its address without user and password, and its suite.
pub(crate) fn name(uri: &str, suite: &str) -> String {
    format!("{} {suite}", redact::userinfo(uri.trim_end_matches('/')))
}

/// Returns the pockets of the further sources. `own` are the keys of the suite.
///
/// # Errors
/// Two sources for one archive contradict each other.
pub(crate) fn pockets(sources: &Sources, own: &Keyring) -> Result<Vec<Pocket>, Error> {
    let mut found = Vec::new();
    for FurtherSource { entry, keys } in sources.merged_binary()? {
        let keyring = keys.as_ref().map_or_else(|| Ok(own.clone()), |keys| Keyring::from_bytes(&[keys.as_bytes()]))?;
        for uri in &entry.uris {
            for suite in &entry.suites {
                let further = Further {
                    keyring: keyring.clone(),
                    architectures: entry.architectures.clone(),
                    may_be_expired: entry.check_valid_until == Some(false),
                };
                found.push(Pocket {
                    name: name(uri, suite),
                    suite: suite.clone(),
                    mirrors: vec![uri.clone()],
                    components: entry.components.clone(),
                    variant: sources.arch_variant.clone(),
                    further: Some(further),
                    ..Pocket::default()
                });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_vendors_keyring_means_the_same_keys_everywhere() {
        let line = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://m.example x main";
        let keys = FurtherSource::parse(line, "").unwrap().remove(0).keys.unwrap();
        let blobs = vendor_keys("/usr/share/keyrings/debian-archive-keyring.gpg");
        assert!(!blobs.is_empty());
        let expected = Keyring::from_bytes(&blobs).unwrap().fingerprints();
        assert_eq!(Keyring::from_bytes(&[keys.as_bytes()]).unwrap().fingerprints(), expected);
    }

    #[test]
    fn passwords_in_messages_are_hidden() {
        for text in
            ["deb http://me:secret@m.example x", "x \"http://me:secret@m.example/y\" is", "http://me:secret@m.example"]
        {
            let shown: Vec<String> = text.split(' ').map(shown_word).collect();
            assert!(!shown.concat().contains("secret") && shown.concat().contains("m.example"), "{shown:?}");
        }
    }
}
