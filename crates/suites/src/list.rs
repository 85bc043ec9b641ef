//! The suites and keyrings that are compiled in, found by name.

use crate::suite::{MergedUsr, Pockets, SourcesFormat, Suite};
use crate::vendor::{Pocket, Set, Vendor};
use std::sync::LazyLock;

const FILES: [&str; 2] = [include_str!("../../../suites/debian.toml"), include_str!("../../../suites/ubuntu.toml")];

const KEYRINGS: [(&str, &[u8]); 4] = [
    ("debian-archive-keyring.pgp", include_bytes!("../../../keyrings/debian-archive-keyring.pgp")),
    ("debian-archive-removed-keys.pgp", include_bytes!("../../../keyrings/debian-archive-removed-keys.pgp")),
    ("ubuntu-archive-keyring.pgp", include_bytes!("../../../keyrings/ubuntu-archive-keyring.pgp")),
    ("ubuntu-archive-removed-keys.pgp", include_bytes!("../../../keyrings/ubuntu-archive-removed-keys.pgp")),
];

static DATA: LazyLock<Vec<(&'static Vendor, Vec<Suite>)>> = LazyLock::new(|| {
    FILES.iter().map(|text| parse(text).expect("the tests of this module parse the embedded suites")).collect()
});

/// Returns every listed suite, one vendor after the other, newest first.
pub fn all() -> impl Iterator<Item = &'static Suite> {
    DATA.iter().flat_map(|(_, suites)| suites)
}

/// Returns every listed vendor.
pub fn vendors() -> impl Iterator<Item = &'static Vendor> {
    DATA.iter().map(|(vendor, _)| *vendor)
}

/// Returns the suite with this codename, alias or version, whatever its case.
#[must_use]
pub fn lookup(name: &str) -> Option<&'static Suite> {
    all().find(|suite| suite.names().any(|known| known.eq_ignore_ascii_case(name)))
}

/// Returns up to three names that resemble a name that was not found, the most similar first: "did you mean".
#[must_use]
pub fn nearest(name: &str) -> Vec<&'static str> {
    let name = name.to_ascii_lowercase();
    let limit = (name.chars().count() / 3).clamp(1, 3);
    let distance = |known: &str| strsim::osa_distance(&name, known);
    let mut near: Vec<_> = all().flat_map(Suite::names).map(|known| (distance(known), known)).collect();
    near.retain(|(distance, _)| *distance <= limit);
    near.sort();
    near.into_iter().map(|(_, known)| known).take(3).collect()
}

/// Returns a suite that is not listed, with the rules of a modern suite of this vendor. Without a vendor the suite has only its
/// release pocket and neither mirror nor keyring; the user has to name those.
#[must_use]
pub fn unlisted(name: &str, vendor: Option<&str>) -> Suite {
    let known = DATA.iter().find(|(known, _)| Some(known.name.as_str()) == vendor);
    // The newest release is the best guess at which keys sign the next one and which packages it leaves out.
    let model = known.and_then(|(_, suites)| suites.iter().find(|suite| suite.version.is_some()));
    let pocket = |kind: &str| known.map(|_| format!("{name}-{kind}"));
    Suite {
        architectures: Vec::new(),
        vendor: known.map(|(vendor, _)| *vendor),
        codename: name.to_owned(),
        aliases: Vec::new(),
        version: None,
        ended: false,
        served_by: vec![Set::Current, Set::Ended],
        pockets: Pockets {
            release: name.to_owned(),
            updates: pocket("updates"),
            security: pocket("security"),
            backports: pocket("backports"),
        },
        optional: vec![Pocket::Updates, Pocket::Security, Pocket::Backports],
        keyrings: model.map(|suite| suite.keyrings.clone()).unwrap_or_default(),
        merged_usr: MergedUsr::Detect,
        merged_usr_buildd: None,
        unmerged_note: false,
        required: Vec::new(),
        exclude: model.map(|suite| suite.exclude.clone()).unwrap_or_default(),
        fake_initctl: false,
        gzip_first: false,
        account: model.is_some_and(|suite| suite.account),
        last_dir_wins: false,
        dpkg_bins: 65521,
        sources_format: SourcesFormat::Deb822,
        ends: None,
    }
}

/// Returns the certificates of an embedded keyring in binary form.
#[must_use]
pub fn keyring(name: &str) -> Option<&'static [u8]> {
    KEYRINGS.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}

/// Parses one file of `suites/`.
fn parse(text: &str) -> Result<(&'static Vendor, Vec<Suite>), toml::de::Error> {
    let mut table: toml::Table = toml::from_str(text)?;
    let suites = table.remove("suite").unwrap_or_else(|| toml::Value::Array(Vec::new()));
    let mut suites: Vec<Suite> = suites.try_into()?;
    // Each file is parsed once, and the vendor lives as long as the program.
    let vendor: &'static Vendor = Box::leak(Box::new(table.try_into()?));
    for suite in &mut suites {
        suite.vendor = Some(vendor);
    }
    Ok((vendor, suites))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(name: &str) -> &'static Suite {
        lookup(name).unwrap_or_else(|| panic!("{name} is not listed"))
    }

    fn uris(suite: &Suite, architecture: &str) -> Vec<String> {
        suite.mirrors(architecture).iter().map(|m| m.uri.clone()).collect()
    }

    #[test]
    fn the_files_parse() {
        for text in FILES {
            parse(text).unwrap();
        }
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        for (right, wrong) in
            [("merged_usr =", "merged_user ="), ("sources_components", "source_components"), ("uri =", "url =")]
        {
            assert!(parse(&FILES[0].replace(right, wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_unique_and_lowercase() {
        let mut names: Vec<_> = all().flat_map(Suite::names).collect();
        assert!(names.iter().all(|name| name.to_ascii_lowercase() == **name));
        let before = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), before);
    }

    #[test]
    fn each_suite_has_an_identity_of_its_own() {
        let unlisted = [unlisted("trixie", None), unlisted("duke", None), unlisted("duke", Some("debian"))];
        let mut all: Vec<_> = all().map(Suite::identity).collect();
        all.extend(unlisted.iter().map(Suite::identity));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn found_by_codename_alias_and_version() {
        for name in ["trixie", "Trixie", "stable", "13"] {
            assert_eq!(suite(name).codename, "trixie", "{name}");
        }
        assert_eq!(suite("24.04").codename, "noble");
        assert_eq!(suite("unstable").codename, "sid");
        assert_eq!(suite("oldoldstable").version.as_deref(), Some("11"));
        assert_eq!(lookup("24.4"), None);
        assert_eq!(lookup(""), None);
    }

    #[test]
    fn did_you_mean() {
        assert_eq!(nearest("trxie"), ["trixie"]);
        assert_eq!(nearest("foacl"), ["focal"]);
        assert_eq!(nearest("Bulseye"), ["bullseye"]);
        assert_eq!(nearest("24.4"), ["24.04"]);
        assert_eq!(nearest("potato"), [""; 0]);
    }

    #[test]
    fn mirrors_by_architecture_and_age() {
        assert_eq!(
            uris(suite("trixie"), "amd64"),
            ["https://cloudfront.debian.net/debian", "http://ftp.debian.org/debian"]
        );
        assert_eq!(suite("trixie").mirrors("amd64")[1].base(Pocket::Security), "http://ftp.debian.org/debian-security");
        assert_eq!(uris(suite("bullseye"), "arm64").last().unwrap(), "http://archive.debian.org/debian");
        assert_eq!(uris(suite("jessie"), "amd64"), ["http://archive.debian.org/debian"]);
        assert_eq!(uris(suite("noble"), "i386"), ["http://archive.ubuntu.com/ubuntu"]);
        assert_eq!(uris(suite("noble"), "riscv64"), ["http://ports.ubuntu.com/ubuntu-ports"]);
        assert_eq!(
            uris(suite("focal"), "arm64"),
            ["http://ports.ubuntu.com/ubuntu-ports", "http://old-releases.ubuntu.com/ubuntu"]
        );
    }

    #[test]
    fn every_suite_can_be_downloaded_verified_and_dated() {
        for suite in all() {
            let name = &suite.codename;
            assert!(["amd64", "arm64", "i386"].iter().all(|a| !suite.mirrors(a).is_empty()), "{name}: no mirror");
            assert!(
                !suite.keyrings.is_empty() && suite.keyrings.iter().all(|k| keyring(k).is_some()),
                "{name}: keyring"
            );
            assert!([8191, 65521].contains(&suite.dpkg_bins), "{name}: bins");
            let date =
                suite.ends.as_deref().map(|d| d.len() == 10 && d.chars().all(|c| c == '-' || c.is_ascii_digit()));
            assert!(date.unwrap_or(true), "{name}: ends");
            assert!(suite.merged_usr != MergedUsr::Detect, "{name}: known suites say how they are merged");
        }
    }

    #[test]
    fn every_service_of_snapshots_has_a_place_for_the_moment() {
        for vendor in all().filter_map(Suite::vendor) {
            for service in &vendor.snapshots {
                for pocket in Pocket::ALL {
                    assert_eq!(service.base(pocket).matches("{timestamp}").count(), 1, "{}", vendor.name);
                }
                assert_eq!(service.since.len(), 10, "{}", vendor.name);
            }
        }
        let debian = &suite("trixie").vendor().unwrap().snapshots[0];
        assert_eq!(debian.base(Pocket::Updates), "https://snapshot-cloudflare.debian.org/archive/debian/{timestamp}");
        assert_eq!(
            debian.base(Pocket::Security),
            "https://snapshot-cloudflare.debian.org/archive/debian-security/{timestamp}"
        );
        assert_eq!(suite("noble").vendor().unwrap().snapshots[0].since, "2023-03-01");
    }

    #[test]
    fn pockets_by_name() {
        assert_eq!(suite("sid").pocket(Pocket::Updates), None);
        assert_eq!(suite("trixie").pocket(Pocket::Security), Some("trixie-security"));
        assert_eq!(suite("stretch").pocket(Pocket::Security), Some("stretch/updates"));
        assert!(!Pocket::DEFAULT.contains(&Pocket::Backports));
    }

    #[test]
    fn sources_for_the_target() {
        assert_eq!(suite("trixie").sources("amd64"), []);
        let entries = suite("noble").sources("amd64");
        assert_eq!(entries[0].uri, "http://archive.ubuntu.com/ubuntu");
        assert_eq!(entries[0].suites, ["noble", "noble-updates", "noble-backports"]);
        assert_eq!(entries[0].components, ["main", "universe", "restricted", "multiverse"]);
        assert_eq!(
            (entries[1].uri.as_str(), entries[1].suites.as_slice()),
            ("http://security.ubuntu.com/ubuntu", &["noble-security".to_owned()][..])
        );
        assert!(suite("noble").sources("arm64").iter().all(|e| e.uri == "http://ports.ubuntu.com/ubuntu-ports"));
        let buster: Vec<_> = suite("buster").sources("amd64").into_iter().flat_map(|e| e.suites).collect();
        assert_eq!(buster, ["buster", "buster/updates"]);
    }

    #[test]
    fn a_build_chroot_may_be_merged_otherwise() {
        assert_eq!(suite("bookworm").merged_usr(false), MergedUsr::Links);
        assert_eq!(suite("bookworm").merged_usr(true), MergedUsr::No);
        assert_eq!(suite("trixie").merged_usr(true), MergedUsr::Package);
    }

    #[test]
    fn an_unlisted_suite_is_taken_for_a_modern_one() {
        let next = unlisted("duke", Some("debian"));
        assert_eq!(uris(&next, "amd64")[0], "https://cloudfront.debian.net/debian");
        assert_eq!(next.pocket(Pocket::Security), Some("duke-security"));
        assert!(next.optional.contains(&Pocket::Security));
        assert_eq!(
            (next.merged_usr, next.sources_format, next.dpkg_bins),
            (MergedUsr::Detect, SourcesFormat::Deb822, 65521)
        );
        assert_eq!(next.exclude, ["usrmerge"]);

        let stranger = unlisted("ceres", None);
        assert!(stranger.mirrors("amd64").is_empty() && stranger.keyrings.is_empty());
        assert_eq!(stranger.pocket(Pocket::Updates), None);
        assert_eq!(stranger.components(), ["main"]);
        assert_eq!(unlisted("ceres", Some("devuan")).vendor(), None);
    }
}
