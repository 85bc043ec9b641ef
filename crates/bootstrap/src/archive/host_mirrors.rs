//! The mirrors that the host itself uses: its apt sources, read for what they say about one vendor's archive.
//!
//! An administrator who points a machine at a near mirror or a proxy expects every download to come from there. The same files also
//! name archives of third parties. So an entry counts only if it looks like the vendor's own archive in every respect: the host runs
//! the vendor's system, the suite is one of the vendor's, the path ends as on the vendor's mirrors, `main` is among the components,
//! and no foreign key is named. A mistake costs a download and never trust, because everything that is fetched is verified.

use rootstrap_debian::control;
use rootstrap_debian::sources::{self, Source};
use rootstrap_suites::{Pocket, Set, Suite, Vendor, all};

/// A mirror in the host's apt sources.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HostMirror {
    /// The base URI of `dists/` and `pool/`, with the scheme http, https, file or copy.
    pub uri: String,
    /// The suites that are listed, as under `dists/`.
    pub suites: Vec<String>,
    /// The components that are listed.
    pub components: Vec<String>,
}

impl HostMirror {
    /// Returns whether the mirror serves a pocket of the vendor's suites: the security pocket if the host gets its security fixes
    /// there, the other pockets if the host gets releases there.
    pub fn serves(&self, pocket: Pocket) -> bool {
        self.suites.iter().any(|suite| is_security(suite) == (pocket == Pocket::Security))
    }
}

/// Returns the vendor's mirrors in a host's apt sources. `sources` has file names and contents in the order in which apt reads them:
/// `sources.list`, then `sources.list.d/` by name. `os_release` is the text of the host's `/etc/os-release`.
pub(crate) fn host_mirrors(
    os_release: &str,
    sources: &[(&str, &str)],
    vendor: &Vendor,
    architecture: &str,
) -> Vec<HostMirror> {
    if os_release_id(os_release) != Some(vendor.name.as_str()) {
        return Vec::new();
    }
    let suites: Vec<&Suite> = all().filter(|suite| suite.vendor() == Some(vendor)).collect();
    let mirrors = vendor.mirrors(Set::Current, architecture);
    let paths: Vec<&str> =
        mirrors.flat_map(|mirror| [last_segment(&mirror.uri), last_segment(&mirror.security)]).collect();

    let mut mirrors: Vec<HostMirror> = Vec::new();
    for (name, text) in sources {
        for mut entry in entries(name, text) {
            entry.suites.retain(|suite| is_of(suite, &suites));
            let fits = !entry.suites.is_empty()
                && entry.components.iter().any(|component| component == "main")
                && (entry.architectures.is_empty() || entry.architectures.iter().any(|a| a == architecture))
                && entry.key.is_none()
                && entry.signed_by.iter().all(|file| is_vendor_keyring(file, vendor));
            if !fits {
                continue;
            }
            for uri in entry.uris.iter().filter(|uri| is_supported(uri) && paths.contains(&last_segment(uri))) {
                add(&mut mirrors, uri, &entry);
            }
        }
    }
    // A third party's archive may give its only suite the vendor's name, but it has no pockets.
    if mirrors.iter().any(has_updates) {
        mirrors.retain(|mirror| has_updates(mirror) || mirror.suites.iter().any(|suite| is_security(suite)));
    }
    mirrors
}

/// Returns all URIs in one file of apt sources, each with whether it serves a security pocket.
pub(crate) fn uris(name: &str, text: &str) -> Vec<(String, bool)> {
    let described = entries(name, text).into_iter().map(|entry| {
        let security = entry.suites.iter().any(|suite| is_security(suite));
        entry.uris.into_iter().map(move |uri| (uri.trim_end_matches('/').to_owned(), security))
    });
    described.flatten().collect()
}

fn add(mirrors: &mut Vec<HostMirror>, uri: &str, entry: &Source) {
    let uri = uri.trim_end_matches('/');
    let position = mirrors.iter().position(|mirror| mirror.uri == uri).unwrap_or_else(|| {
        mirrors.push(HostMirror { uri: uri.to_owned(), suites: Vec::new(), components: Vec::new() });
        mirrors.len() - 1
    });
    let mirror = &mut mirrors[position];
    for (list, new) in [(&mut mirror.suites, &entry.suites), (&mut mirror.components, &entry.components)] {
        for word in new {
            if !list.contains(word) {
                list.push(word.clone());
            }
        }
    }
}

/// Returns the entries for packages in one file of apt sources. Entries that are malformed, or that ask for what is not supported, are left
/// out: nothing depends on them.
fn entries(name: &str, text: &str) -> Vec<Source> {
    let parsed: Vec<Source> = if name.ends_with(".sources") {
        let text = control::without_comments(text);
        let stanzas = control::parse_all(&text).unwrap_or_default();
        stanzas.iter().filter_map(|stanza| sources::parse_stanza(stanza).ok().flatten()).collect()
    } else {
        text.lines().filter_map(|line| sources::parse_line(line).ok().flatten()).collect()
    };
    parsed.into_iter().filter(|source| source.binary).collect()
}

fn os_release_id(text: &str) -> Option<&str> {
    os_release_field(text, "ID")
}

/// Returns the value of a field of os-release(5) without its quotes.
pub(crate) fn os_release_field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches(['"', '\'']))
}

/// Returns whether a name under `dists/` is one of these suites or a pocket of one.
fn is_of(name: &str, suites: &[&Suite]) -> bool {
    let stem = name.split_once(['-', '/']).map_or(name, |(stem, _)| stem);
    let rests = ["-updates", "-security", "/updates", "-backports", ""];
    suites.iter().any(|suite| suite.codename == stem || suite.aliases.iter().any(|alias| alias == stem))
        && rests.contains(&name.get(stem.len()..).unwrap_or_default())
}

fn is_security(suite: &str) -> bool {
    suite.ends_with("-security") || suite.ends_with("/updates")
}

fn has_updates(mirror: &HostMirror) -> bool {
    mirror.suites.iter().any(|suite| suite.ends_with("-updates"))
}

fn is_supported(uri: &str) -> bool {
    ["http://", "https://", "file:", "copy:"].iter().any(|scheme| uri.starts_with(scheme))
}

fn is_vendor_keyring(path: &str, vendor: &Vendor) -> bool {
    path.starts_with('/') && last_segment(path).starts_with(&format!("{}-archive-", vendor.name))
}

fn last_segment(uri: &str) -> &str {
    uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rootstrap_suites::vendors;

    const DEBIAN: &str = "PRETTY_NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\n";
    const UBUNTU: &str = "ID=\"ubuntu\"\nID_LIKE=debian\n";

    fn mirrors(os_release: &str, sources: &[(&str, &str)], vendor: &str, architecture: &str) -> Vec<HostMirror> {
        let vendor = vendors().find(|known| known.name == vendor).unwrap();
        host_mirrors(os_release, sources, vendor, architecture)
    }

    fn uris(text: &str) -> Vec<String> {
        mirrors(DEBIAN, &[("sources.list", text)], "debian", "amd64").into_iter().map(|m| m.uri).collect()
    }

    #[test]
    fn deb822_of_a_debian_host() {
        let text = "Types: deb deb-src\n# a remark\nURIs: http://near.example/debian/\nSuites: bookworm\n# another\n bookworm-updates\n\
            Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
            Types: deb\nURIs: http://near.example/debian-security\nSuites: bookworm-security\nComponents: main\n";
        let found = mirrors(DEBIAN, &[("debian.sources", text)], "debian", "amd64");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].uri, "http://near.example/debian");
        assert_eq!(found[0].suites, ["bookworm", "bookworm-updates"]);
        assert_eq!(found[0].components, ["main"]);
        assert!(found[0].serves(Pocket::Release) && !found[0].serves(Pocket::Security));
        assert!(found[1].serves(Pocket::Security) && !found[1].serves(Pocket::Updates));
    }

    #[test]
    fn one_line_of_an_ubuntu_host() {
        let text = "# made by the installer\ndeb http://near.example/ubuntu jammy main universe # inline\n\
            deb-src http://near.example/ubuntu jammy main\n\
            deb\thttp://near.example/ubuntu jammy-updates main\ndeb http://near.example/ubuntu jammy-security main\n";
        let found = mirrors(UBUNTU, &[("sources.list", text)], "ubuntu", "amd64");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].suites, ["jammy", "jammy-updates", "jammy-security"]);
        assert_eq!(found[0].components, ["main", "universe"]);
        assert!(found[0].serves(Pocket::Security) && found[0].serves(Pocket::Updates));
    }

    #[test]
    fn the_host_of_another_vendor_names_no_mirror() {
        let text = "deb http://near.example/debian trixie main";
        assert_eq!(mirrors(UBUNTU, &[("sources.list", text)], "debian", "amd64"), []);
        assert_eq!(mirrors("NAME=x", &[("sources.list", text)], "debian", "amd64"), []);
    }

    #[test]
    fn the_ports_archive_is_not_the_main_one() {
        let text = "deb http://near.example/ubuntu noble main\ndeb http://near.example/ubuntu-ports noble main";
        let at = |architecture| mirrors(UBUNTU, &[("sources.list", text)], "ubuntu", architecture);
        assert!(at("amd64").iter().all(|m| m.uri.ends_with("/ubuntu")));
        assert!(at("riscv64").iter().all(|m| m.uri.ends_with("/ubuntu-ports")));
        assert_eq!((at("i386").len(), at("arm64").len()), (1, 1));
    }

    #[test]
    fn third_parties_are_ignored() {
        let cases = [
            ("other component", "deb http://other.example/linux/debian bookworm stable"),
            ("other suite", "deb http://other.example/debian bookworm-pgdg main"),
            ("other path", "deb http://other.example/debian/12/prod bookworm main"),
            ("other key", "deb [signed-by=/etc/apt/keyrings/other.gpg] http://other.example/debian bookworm main"),
            ("other architecture", "deb [arch=arm64,armhf] http://other.example/debian bookworm main"),
            (
                "other scheme",
                "deb mirror+file:/etc/apt/mirrors/debian bookworm main\ndeb cdrom:[x]/debian bookworm main",
            ),
            ("flat", "deb http://other.example/debian ./"),
            ("unclosed option", "deb [arch=amd64 http://other.example/debian bookworm main"),
        ];
        for (case, line) in cases {
            assert_eq!(uris(line), [""; 0], "{case}");
        }
    }

    #[test]
    fn a_lone_suite_yields_to_a_mirror_with_updates() {
        let other = "deb http://other.example/tool/debian bookworm main\n";
        let own = "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://near.example/debian bookworm main\n\
            deb https://near.example/debian bookworm-updates main\ndeb http://near.example/debian-security bookworm-security main\n";
        assert_eq!(
            uris(&format!("{other}{own}")),
            ["https://near.example/debian", "http://near.example/debian-security"]
        );
        assert_eq!(uris("deb file:/srv/mirror/debian sid main"), ["file:/srv/mirror/debian"]);
    }

    #[test]
    fn disabled_and_source_only_stanzas_are_ignored() {
        let stanza = "URIs: http://near.example/debian\nSuites: stable\nComponents: main\n";
        for (extra, found) in [("Types: deb\n", 1), ("Types: deb\nEnabled: no\n", 0), ("Types: deb-src\n", 0)] {
            let text = format!("{extra}{stanza}");
            assert_eq!(mirrors(DEBIAN, &[("x.sources", &text)], "debian", "amd64").len(), found, "{extra}");
        }
        let embedded = format!("Types: deb\n{stanza}Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n");
        assert_eq!(mirrors(DEBIAN, &[("x.sources", &embedded)], "debian", "amd64"), []);
    }
}
