//! The target's apt sources for archives beside the suite's own, each with the keys that sign it.

use crate::error::Error;
use crate::request::{FurtherSource, Sources};
use rootstrap_debian::sources::Source;
use rootstrap_debian::version::Version;
use rootstrap_fetch::Keyring;
use rootstrap_http::redact;
use rootstrap_rootfs::Root;
use rootstrap_suites::{SourceEntry, SourcesFormat, Suite};
use std::collections::BTreeMap;

/// The version of apt that brought `Signed-By`.
const SIGNED_BY: &str = "1.1";

/// An entry as it is written, and the name of its files.
pub(crate) struct NamedEntry {
    pub entry: Source,
    pub name: String,
    /// The path, in the target, of its keys.
    pub signed_by: Option<String>,
}

/// Returns the entries of the sources, and writes their keys. `main` are the entries of the suite's own archive, and `own` is the path of its
/// keyring in the target, for sources without keys of their own.
pub(crate) fn entries(
    root: &Root,
    sources: &Sources,
    suite: &Suite,
    apt: &AptKeys<'_>,
    (main, own): (&[SourceEntry], Option<&str>),
) -> Result<Vec<NamedEntry>, Error> {
    let further = sources.merged_further()?;
    let names = names(&further, vendor_name(suite));
    let mut keyrings: BTreeMap<&str, Option<String>> = BTreeMap::new();
    let mut entries = Vec::new();
    for (FurtherSource { entry, keys }, name) in further.iter().zip(names) {
        let mut entry = entry.clone();
        // User and password are for this run, not for every reader of the target.
        entry.uris.iter_mut().for_each(|uri| *uri = redact::userinfo(uri));
        // apt wants one keyring for all entries of an archive, also if the suite's own is among them.
        let is_main = |known: &SourceEntry| {
            entry.uris.contains(&known.uri) && known.suites.iter().any(|suite| entry.suites.contains(suite))
        };
        let signed_by = match keys.as_deref().filter(|_| !main.iter().any(is_main)) {
            None => own.map(str::to_owned),
            Some(keys) => match keyrings.get(keys) {
                Some(known) => known.clone(),
                None => {
                    let path = apt.write(root, &name, &Keyring::from_bytes(&[keys.as_bytes()])?.to_binary()?)?;
                    keyrings.insert(keys, path.clone());
                    path
                }
            },
        };
        entries.push(NamedEntry { entry, name, signed_by });
    }
    Ok(entries)
}

/// Writes one file for each source.
pub(crate) fn write(root: &Root, suite: &Suite, entries: &[NamedEntry]) -> Result<(), Error> {
    for NamedEntry { entry, name, signed_by } in entries {
        root.create_directories(b"etc/apt/sources.list.d", 0o755)?;
        let (path, text) = match suite.sources_format {
            SourcesFormat::OneLine => (format!("{name}.list"), entry.to_lines(signed_by.as_deref())),
            SourcesFormat::Deb822 => (format!("{name}.sources"), entry.to_stanza(signed_by.as_deref())),
        };
        root.write(format!("etc/apt/sources.list.d/{path}").as_bytes(), text.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// Returns the name of the files that are about the suite's own archive.
pub(crate) fn vendor_name(suite: &Suite) -> &str {
    suite.vendor().map_or("rootstrap", |vendor| vendor.name.as_str())
}

/// What decides how the target's apt gets keys.
pub(crate) struct AptKeys<'a> {
    /// The version of the target's apt. If there is none yet, a newer one may come.
    pub apt: Option<&'a str>,
    /// The keys of the suite, if they are not its own.
    pub own_keys: Option<&'a [u8]>,
}

impl AptKeys<'_> {
    /// Writes a keyring where an administrator would put it (sources.list(5)). Returns its path for `Signed-By`; `None` for an apt that
    /// does not know this option yet and trusts all keyrings of one directory.
    pub fn write(&self, root: &Root, name: &str, keys: &[u8]) -> Result<Option<String>, Error> {
        let knows_signed_by = self.apt.is_none_or(|version| Version::new(version) >= Version::new(SIGNED_BY));
        let directory = if knows_signed_by { "keyrings" } else { "trusted.gpg.d" };
        root.create_directories(format!("etc/apt/{directory}").as_bytes(), 0o755)?;
        let path = format!("etc/apt/{directory}/{name}.gpg");
        root.write(path.as_bytes(), keys, 0o644)?;
        Ok(knows_signed_by.then(|| format!("/{path}")))
    }
}

/// The longest name of a file, without what tells two of one name apart.
const LONGEST_NAME: usize = 100;

/// Returns a name of files for each source, from its host and its first suite, other than `taken`. apt reads only names of letters, digits,
/// `_`, `-` and `.`.
fn names(sources: &[FurtherSource], taken: &str) -> Vec<String> {
    let mut names: Vec<String> = vec![taken.to_owned()];
    for FurtherSource { entry, .. } in sources {
        let uri = entry.uris.first().map(|uri| redact::userinfo(uri)).unwrap_or_default();
        let place = match uri.split_once("://").filter(|(scheme, _)| scheme.starts_with("http")) {
            Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
            None => uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default(),
        };
        let text = format!("{place}-{}", entry.suites.first().map_or("", String::as_str));
        let clean = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '_' { c } else { '-' };
        let name: String = text.chars().map(clean).take(LONGEST_NAME).collect();
        let name = name.trim_matches(['-', '.']).to_owned();
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !names.contains(name));
        names.extend(free);
    }
    names.split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rootstrap_debian::sources::parse;

    #[test]
    fn old_apts_know_no_keyrings_of_one_source() {
        let place = tempfile::tempdir().unwrap();
        let root = Root::open(place.path()).unwrap();
        let path = |apt| AptKeys { apt, own_keys: None }.write(&root, "x", b"keys").unwrap();
        assert_eq!(path(Some("1.0.9.8.6")), None);
        assert_eq!(std::fs::read(place.path().join("etc/apt/trusted.gpg.d/x.gpg")).unwrap(), b"keys");
        for apt in [None, Some("1.2.10"), Some("3.0.3")] {
            assert_eq!(path(apt).unwrap(), "/etc/apt/keyrings/x.gpg");
        }
    }

    #[test]
    fn files_are_named_after_host_and_suite() {
        let text = "deb https://me:secret@m.example:8443/linux/debian stable main\ndeb file:/srv/my%20repo ./\n\
                    deb http://m.example/other x/y main\ndeb http://m.example/third x/y main\n";
        let sources = parse(text).unwrap().into_iter().map(|entry| FurtherSource { entry, keys: None });
        let names = names(&sources.collect::<Vec<_>>(), "my-20repo");
        assert_eq!(names, ["m.example-8443-stable", "my-20repo-2", "m.example-x-y", "m.example-x-y-2"]);
    }
}
