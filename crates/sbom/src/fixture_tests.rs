//! A small build for the tests of this crate, and tests of all documents.

use crate::{Facts, Package, Release, Subject, cyclonedx, spdx, statement_provenance, statement_spdx};
use rootstrap_debian::digest::Digest;
use rootstrap_testkit::readers::{self, Format};

fn package(name: &str, version: &str, architecture: &str, source: [&str; 2]) -> Package {
    Package {
        name: name.into(),
        version: version.into(),
        architecture: architecture.into(),
        vendor: "debian".into(),
        source: source[0].into(),
        source_version: source[1].into(),
        digest: Digest::Sha256([0xab; 32]),
        size: 1000,
        installed_size: 4096,
        uri: format!("http://deb.example.org/debian/pool/{name}_{version}.deb"),
        maintainer: "A. U. Thor <thor@example.org>".into(),
        original_maintainer: String::new(),
        homepage: "https://example.org/".into(),
        summary: format!("what {name} is"),
        licence: format!("/usr/share/doc/{name}/copyright"),
        depends: Vec::new(),
    }
}

/// Four packages of three sources, from two pockets.
pub(crate) fn facts() -> Facts {
    let mut packages = vec![
        package("base-files", "13.8", "amd64", ["base-files", "13.8"]),
        package("libc6", "2.41-12", "amd64", ["glibc", "2.41-12"]),
        package("libstdc++6", "14.2.0-19+b1", "amd64", ["gcc-14", "14.2.0-19"]),
        package("libc-bin", "2.41-12", "all", ["glibc", "2.41-12"]),
    ];
    packages[2].depends = vec![1];
    packages[3].depends = vec![1];
    packages[1].maintainer = "GNU Libc Maintainers <debian-glibc@lists.example.org>".into();
    packages[1].original_maintainer = "Some Body <body@example.org>".into();
    packages[3].maintainer = String::new();
    packages[3].homepage = "gopher://example.org/1 x".into();
    packages[3].summary = String::new();
    packages[3].digest = Digest::Sha512([0xcd; 64]);
    packages[3].uri = "file:/srv/mirror/pool/libc-bin_2.41-12.deb".into();
    let release = |pocket: &str, suite: &str, date| Release {
        pocket: pocket.into(),
        suite: suite.into(),
        codename: suite.into(),
        date,
        uri: format!("http://deb.example.org/debian/dists/{suite}/Release"),
        digest: Digest::Sha256([0x11; 32]),
        keys: vec!["0123456789ABCDEF0123456789ABCDEF01234567".into()],
    };
    Facts {
        name: "debian-trixie-minbase-amd64".into(),
        image: false,
        vendor: "debian".into(),
        codename: "trixie".into(),
        version: "13".into(),
        architecture: "amd64".into(),
        epoch: 1_461_281_026,
        tool_version: "0.1.0".into(),
        variant: "minbase".into(),
        changes: vec![("copy".into(), "/app 0755 sha256:11".into())],
        options: vec![("include".into(), "libstdc++6".into()), ("components".into(), "main".into())],
        packages,
        releases: vec![release("release", "trixie", 1_461_281_026), release("security", "trixie-security", 0)],
    }
}

/// A build without packages.
pub(crate) fn empty() -> Facts {
    Facts { packages: Vec::new(), releases: Vec::new(), changes: Vec::new(), options: Vec::new(), ..facts() }
}

pub(crate) fn subjects() -> Vec<Subject> {
    vec![Subject { name: "image".into(), digest: Digest::Sha256([0x22; 32]) }]
}

pub(crate) fn json(text: impl AsRef<[u8]>) -> serde_json::Value {
    serde_json::from_slice(text.as_ref()).unwrap()
}

fn documents(facts: &Facts) -> Vec<Vec<u8>> {
    let subjects = subjects();
    vec![
        spdx(facts).into_bytes(),
        cyclonedx(facts).into_bytes(),
        statement_spdx(facts, &subjects),
        statement_provenance(facts, &subjects),
    ]
}

#[test]
fn the_same_facts_give_the_same_bytes() {
    for facts in [facts(), empty()] {
        assert_eq!(documents(&facts), documents(&facts.clone()));
    }
}

#[test]
fn other_facts_give_other_documents() {
    let (first, mut other) = (facts(), facts());
    other.packages[1].digest = Digest::Sha256([0xac; 32]);
    for (one, two) in documents(&first).iter().zip(documents(&other)) {
        assert_ne!(*one, two);
    }
    let key = |facts: &Facts| {
        let (spdx, bom) = (json(spdx(facts)), json(cyclonedx(facts)));
        (spdx["documentNamespace"].to_string(), bom["serialNumber"].to_string())
    };
    // The document about another build has another name, even if the difference is not printed.
    other = facts();
    other.releases[0].keys.clear();
    let ((space, serial), (other_space, other_serial)) = (key(&first), key(&other));
    assert!(space != other_space && serial != other_serial);
}

/// The tools of the formats' authors accept the documents. They also get broken documents, which they have to reject.
#[test]
fn the_tools_of_the_formats_accept_the_documents() {
    let python = match readers::python() {
        Ok(python) => python,
        Err(reason) => return rootstrap_testkit::skip(reason),
    };
    let formats = [Format::Spdx, Format::CycloneDx, Format::Statement, Format::Statement];
    let image = Facts { image: true, ..strange() };
    for facts in [facts(), empty(), strange(), image] {
        for (format, document) in formats.into_iter().zip(documents(&facts)) {
            let text = String::from_utf8_lossy(&document);
            assert_eq!(readers::complaints(&python, format, &document), "", "{text}");
            for (from, to) in [("NOASSERTION", "NO ASSERTION"), ("\"library\"", "\"books\""), ("resolvedDep", "dep")] {
                let broken = text.replace(from, to);
                if broken != text && !facts.packages.is_empty() {
                    assert_ne!(readers::complaints(&python, format, broken.as_bytes()), "", "{from}");
                }
            }
        }
    }
}

fn strange() -> Facts {
    let mut facts = facts();
    for package in &mut facts.packages {
        package.maintainer = "\"Evil\" \\ \u{7}\n{} (x) <a@b> <c@d>".into();
        package.summary = "a \"b\" \\ \u{0}\u{1f}é".into();
        package.homepage = "javascript:alert(1)".into();
        package.name = format!("{}+é", package.name);
    }
    facts.options.push(("é\"".into(), "\n".into()));
    facts
}

#[test]
fn any_text_is_written_as_valid_json() {
    for document in documents(&strange()) {
        json(&document);
    }
}
