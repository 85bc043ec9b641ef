//! What the packages of a lock were chosen for.

use crate::digest::digest_of;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What was asked for, as far as it decides the tree. The order of lists makes no difference for what is locked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Request {
    /// The suite's codename.
    pub suite: String,
    /// Whether it is a suite of the mirror's own, although the name is an alias of a listed one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_suite: bool,
    /// The architectures of the roots.
    pub architectures: Vec<String>,
    /// The name of the variant.
    pub variant: String,
    /// Packages to add.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Packages that must not be installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Whether recommended packages are installed too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recommends: bool,
    /// Which versions are preferred, as a file of apt says it (apt_preferences(5)).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub preferences: String,
    /// Archives beside the suite's own, as stanzas of apt's sources with their keys (sources.list(5)).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_sources: Vec<String>,
    /// Further architectures of each root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add_architectures: Vec<String>,
    /// The variant of the architecture whose packages are taken, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch_variant: Option<String>,
    /// The pockets to choose from; the default ones if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pockets: Vec<String>,
    /// The components to choose from; the vendor's default if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// The mirror that is written into the target, without user and password, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// The moment of the snapshot that the packages come from, as it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The addresses of the services that have the snapshot; the vendor's if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshot_services: Vec<String>,
    /// `snapshot` if the target's apt gets its packages from the snapshot too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<String>,
    /// Whether other keys than the suite's own are trusted. Which they are is not part of the request, because keyrings change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_keyring: bool,
    /// These keys, armored, as the target's apt gets them. They are not compared: a newer keyring may vouch for the same archive.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub keyring: String,
    /// Whether manuals, translations and documentation are left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub slim: bool,
}

impl Request {
    /// Returns the request with no element of a list twice, and with those lists sorted whose order decides nothing. Of the others, the
    /// tree shows the order: in dpkg's list of architectures, and in apt's sources.
    #[must_use]
    pub fn distinct(mut self) -> Self {
        for list in [&mut self.architectures, &mut self.include, &mut self.exclude] {
            list.sort();
            list.dedup();
        }
        for list in [&mut self.add_architectures, &mut self.pockets, &mut self.components] {
            let mut seen = BTreeSet::new();
            list.retain(|word| seen.insert(word.clone()));
        }
        self
    }

    /// Returns the request with all lists sorted.
    #[must_use]
    pub fn sorted(self) -> Self {
        let mut request = self.distinct();
        for list in [&mut request.add_architectures, &mut request.pockets, &mut request.components] {
            list.sort();
        }
        request
    }

    /// Returns whether nothing but a suite, architectures and whom to trust is asked for.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let plain = Self { variant: "minbase".to_owned(), ..Self::default() };
        let Self { suite, architectures, own_keyring, .. } = self.clone();
        *self == Self { suite, architectures, own_keyring, ..plain }
    }

    /// Returns the digest of the sorted request in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        digest_of(&self.clone().sorted())
    }

    /// Returns in what a lock of this request differs from what is `asked` for, one sentence each. What is asked for may have fewer
    /// architectures.
    #[must_use]
    pub fn differences(&self, asked: &Self) -> Vec<String> {
        let (locked, asked) = (self.clone().sorted(), asked.clone().sorted());
        let mut found = Vec::new();
        let mut compare = |what: &str, locked: String, asked: String| {
            if locked != asked {
                let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
                found.push(format!("{what}: {} in the lock, {} here", or_none(locked), or_none(asked)));
            }
        };
        let list = |words: &[String]| words.join(",");
        let listed = |stanzas: &[String]| stanzas.iter().map(|stanza| shown(stanza)).collect::<Vec<_>>().join(", ");
        let flag = |set: bool| if set { "yes" } else { "no" }.to_owned();
        let is_locked = |name: &String| locked.architectures.contains(name);
        if !asked.architectures.iter().all(is_locked) {
            compare("arch", list(&locked.architectures), list(&asked.architectures));
        }
        compare("suite", locked.suite, asked.suite);
        compare("own suite", flag(locked.own_suite), flag(asked.own_suite));
        compare("variant", locked.variant, asked.variant);
        compare("include", list(&locked.include), list(&asked.include));
        compare("exclude", list(&locked.exclude), list(&asked.exclude));
        compare("recommends", flag(locked.recommends), flag(asked.recommends));
        compare("preferences", locked.preferences, asked.preferences);
        compare("further sources", listed(&locked.further_sources), listed(&asked.further_sources));
        compare("add-architecture", list(&locked.add_architectures), list(&asked.add_architectures));
        compare("arch-variant", locked.arch_variant.unwrap_or_default(), asked.arch_variant.unwrap_or_default());
        compare("pockets", list(&locked.pockets), list(&asked.pockets));
        compare("components", list(&locked.components), list(&asked.components));
        compare("mirror", locked.mirror.unwrap_or_default(), asked.mirror.unwrap_or_default());
        compare("snapshot", locked.snapshot.unwrap_or_default(), asked.snapshot.unwrap_or_default());
        compare("snapshot services", list(&locked.snapshot_services), list(&asked.snapshot_services));
        compare("sources", locked.sources.unwrap_or_default(), asked.sources.unwrap_or_default());
        compare("keyring", flag(locked.own_keyring), flag(asked.own_keyring));
        compare("slim", flag(locked.slim), flag(asked.slim));
        found
    }
}

/// Returns a stanza of apt's sources in a few words: where, which suites, and the beginning of a digest of all of it.
fn shown(stanza: &str) -> String {
    let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let digest = digest_of(&stanza);
    format!("{}{} ({})", field("URIs:").trim(), field("Suites:"), digest.get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn order_and_repetition_make_no_difference() {
        let one = Request { include: words("vim curl"), architectures: words("arm64 amd64"), ..Request::default() };
        let two =
            Request { include: words("curl vim curl"), architectures: words("amd64 arm64"), ..Request::default() };
        assert_eq!(one.digest(), two.digest());
        assert_eq!(one.differences(&two), [""; 0]);
        let other = Request { slim: true, ..two };
        assert_ne!(one.digest(), other.digest());
    }

    #[test]
    fn every_difference_is_named() {
        let locked = Request {
            suite: "trixie".into(),
            architectures: words("amd64 arm64"),
            variant: "minbase".into(),
            include: words("curl"),
            ..Request::default()
        };
        let one = Request { architectures: words("arm64"), ..locked.clone() };
        assert_eq!(locked.differences(&one), [""; 0], "one of two architectures");
        let asked = Request {
            suite: "forky".into(),
            own_suite: true,
            architectures: words("armhf"),
            variant: "apt".into(),
            include: Vec::new(),
            exclude: words("e"),
            recommends: true,
            preferences: "Package: a\nPin: version 1\nPin-Priority: 1\n".into(),
            further_sources: words("Types:deb"),
            add_architectures: words("i386"),
            arch_variant: Some("amd64v3".into()),
            pockets: words("release"),
            components: words("main"),
            mirror: Some("http://m.example".into()),
            snapshot: Some("2026-09-01T00:00:00Z".into()),
            snapshot_services: words("http://s.example/{timestamp}"),
            sources: Some("snapshot".into()),
            own_keyring: true,
            keyring: "not compared".into(),
            slim: true,
        };
        let found = locked.differences(&asked);
        assert_eq!(found.len(), 19, "{found:?}");
        assert!(found.contains(&"include: curl in the lock, none here".to_owned()), "{found:?}");
    }
}
