//! The target's apt sources for archives beside the suite's own, each with the keys that sign it.

use crate::error::Error;
use crate::request::{FurtherSource, Sources};
use rootstrap_debian::version::Version;
use rootstrap_fetch::Keyring;
use rootstrap_http::redact;
use rootstrap_rootfs::Root;
use rootstrap_suites::{SourcesFormat, Suite};

/// The version of apt that brought `Signed-By`.
const SIGNED_BY: &str = "1.1";

/// Writes one file for each source. `own` is the path of the suite's own keyring in the target, for sources without keys of their own.
pub(crate) fn write(
    root: &Root,
    sources: &Sources,
    suite: &Suite,
    apt: &AptKeys<'_>,
    own: Option<&str>,
) -> Result<(), Error> {
    let names = names(&sources.further);
    for (FurtherSource { entry, keys }, name) in sources.further.iter().zip(names) {
        let mut entry = entry.clone();
        // User and password are for this run, not for every reader of the target.
        entry.uris.iter_mut().for_each(|uri| *uri = redact::userinfo(uri));
        let keyring = match keys {
            Some(keys) => apt.write(root, &name, &Keyring::from_bytes(&[keys.as_bytes()])?.to_binary()?)?,
            None => None,
        };
        root.create_directories(b"etc/apt/sources.list.d", 0o755)?;
        let (path, text) = match suite.sources_format {
            SourcesFormat::OneLine => (format!("{name}.list"), entry.to_lines(keyring.as_deref())),
            SourcesFormat::Deb822 => (format!("{name}.sources"), entry.to_stanza(keyring.as_deref().or(own))),
        };
        root.write(format!("etc/apt/sources.list.d/{path}").as_bytes(), text.as_bytes(), 0o644)?;
    }
    Ok(())
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

/// Returns a name of files for each source, from its host and its first suite. apt reads only names of letters, digits, `_`, `-` and `.`.
fn names(sources: &[FurtherSource]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for FurtherSource { entry, .. } in sources {
        let uri = entry.uris.first().map(|uri| redact::userinfo(uri)).unwrap_or_default();
        let place = match uri.split_once("://").filter(|(scheme, _)| scheme.starts_with("http")) {
            Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
            None => uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default(),
        };
        let text = format!("{place}-{}", entry.suites.first().map_or("", String::as_str));
        let clean = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '_' { c } else { '-' };
        let name: String = text.chars().map(clean).collect();
        let name = name.trim_matches(['-', '.']).to_owned();
        let taken = |name: &String| names.contains(name);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken(name));
        names.extend(free);
    }
    names
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
        let names = names(&sources.collect::<Vec<_>>());
        assert_eq!(names, ["m.example-8443-stable", "my-20repo", "m.example-x-y", "m.example-x-y-2"]);
    }
}
