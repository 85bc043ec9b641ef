//! The document has every field that SPDX demands, and every fact that is known.

use super::*;
use crate::fixture::{empty, facts, json};
use serde_json::Value;

fn find<'v>(list: &'v Value, key: &str, value: &str) -> &'v Value {
    list.as_array().unwrap().iter().find(|item| item[key] == value).unwrap_or_else(|| panic!("no {value}"))
}

fn relations(document: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().trim_start_matches("SPDXRef-").to_owned();
    let relations = document["relationships"].as_array().unwrap().iter();
    relations
        .map(|r| [&r["spdxElementId"], &r["relationshipType"], &r["relatedSpdxElement"]].map(text).join(" "))
        .collect()
}

#[test]
fn an_element_says_what_is_known_of_a_package() {
    let document = json(spdx(&facts()));
    let packages = &document["packages"];
    let expect = serde_json::json!({
        "SPDXID": "SPDXRef-Package-libc6-amd64",
        "name": "libc6",
        "versionInfo": "2.41-12",
        "packageFileName": "libc6_2.41-12.deb",
        "supplier": "Organization: GNU Libc Maintainers (debian-glibc@lists.example.org)",
        "originator": "Person: Some Body (body@example.org)",
        "downloadLocation": "http://deb.example.org/debian/pool/libc6_2.41-12.deb",
        "filesAnalyzed": false,
        "checksums": [{ "algorithm": "SHA256", "checksumValue": "ab".repeat(32) }],
        "homepage": "https://example.org/",
        "sourceInfo": "built package from: glibc 2.41-12",
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "LicenseRef-copyright-libc6",
        "copyrightText": "NOASSERTION",
        "summary": "what libc6 is",
        "primaryPackagePurpose": "INSTALL",
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13&upstream=glibc",
        }],
    });
    assert_eq!(*find(packages, "name", "libc6"), expect);
    let bare = find(packages, "name", "libc-bin");
    for (key, value) in [("supplier", "NOASSERTION"), ("downloadLocation", "NOASSERTION")] {
        assert_eq!(bare[key], value);
    }
    assert_eq!(bare["checksums"][0]["algorithm"], "SHA512");
    for key in ["homepage", "summary", "originator"] {
        assert_eq!(bare.get(key), None, "{key}");
    }
    let glibc = find(packages, "name", "glibc");
    assert_eq!(glibc["externalRefs"][0]["referenceLocator"], "pkg:deb/debian/glibc@2.41-12?arch=source");
    assert_eq!((&glibc["primaryPackagePurpose"], &glibc["licenseDeclared"]), (&"SOURCE".into(), &"NOASSERTION".into()));
}

#[test]
fn the_system_contains_packages_built_from_sources() {
    let mut facts = facts();
    let document = json(spdx(&facts));
    let all = [
        "DOCUMENT DESCRIBES OperatingSystem",
        "OperatingSystem CONTAINS Package-base-files-amd64",
        "Package-base-files-amd64 GENERATED_FROM Source-base-files-13.8",
        "OperatingSystem CONTAINS Package-libc6-amd64",
        "Package-libc6-amd64 GENERATED_FROM Source-glibc-2.41-12",
        "OperatingSystem CONTAINS Package-libstdc--6-amd64",
        "Package-libstdc--6-amd64 GENERATED_FROM Source-gcc-14-14.2.0-19",
        "Package-libstdc--6-amd64 DEPENDS_ON Package-libc6-amd64",
        "OperatingSystem CONTAINS Package-libc-bin-all",
        "Package-libc-bin-all GENERATED_FROM Source-glibc-2.41-12",
        "Package-libc-bin-all DEPENDS_ON Package-libc6-amd64",
    ];
    assert_eq!(relations(&document), all);
    assert_eq!(document["packages"].as_array().unwrap().len(), 1 + 4 + 3);
    let system = &document["packages"][0];
    assert_eq!((&system["name"], &system["versionInfo"]), (&"debian".into(), &"13".into()));
    facts.image = true;
    let document = json(spdx(&facts));
    assert_eq!(document["documentDescribes"], serde_json::json!(["SPDXRef-Image"]));
    assert_eq!(relations(&document)[..2], ["DOCUMENT DESCRIBES Image", "Image CONTAINS OperatingSystem"]);
    assert_eq!(document["packages"][0]["primaryPackagePurpose"], "CONTAINER");
}

#[test]
fn the_document_names_tool_time_and_licences() {
    let facts = facts();
    let text = spdx(&facts);
    assert!(
        text.starts_with("{\n  \"spdxVersion\": \"SPDX-2.3\",\n  \"dataLicense\": \"CC0-1.0\",")
            && text.ends_with("}\n")
    );
    let document = json(&text);
    assert_eq!(document["creationInfo"]["created"], "2016-04-21T23:23:46Z");
    assert_eq!(document["creationInfo"]["creators"], serde_json::json!(["Tool: rootstrap-0.1.0"]));
    let annotation = &document["annotations"][0];
    assert_eq!(annotation["comment"], "--copy=/app 0755 sha256:11");
    assert_eq!(annotation["annotator"], "Tool: rootstrap-0.1.0");
    assert_eq!(annotation["annotationDate"], "2016-04-21T23:23:46Z");
    let space = document["documentNamespace"].as_str().unwrap();
    let digest = space.strip_prefix("https://spdx.org/spdxdocs/rootstrap/debian-trixie-minbase-amd64-").unwrap();
    assert!(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()), "{space}");
    let licences = document["hasExtractedLicensingInfos"].as_array().unwrap();
    assert_eq!(licences.len(), 4);
    let licence = find(&document["hasExtractedLicensingInfos"], "licenseId", "LicenseRef-copyright-libstdc--6");
    assert_eq!(licence["name"], "/usr/share/doc/libstdc++6/copyright");
    assert!(licence["extractedText"].as_str().unwrap().contains("/usr/share/doc/libstdc++6/copyright"));
}

#[test]
fn identifiers_are_unique_and_clean() {
    let mut taken = BTreeSet::new();
    let mut id = |words: &[&str]| unique(&mut taken, "SPDXRef", words);
    assert_eq!(id(&["libstdc++6", "amd64"]), "SPDXRef-libstdc--6-amd64");
    assert_eq!(id(&["libstdc--6", "amd64"]), "SPDXRef-libstdc--6-amd64-2");
    assert_eq!(id(&["libstdc__6", "amd64"]), "SPDXRef-libstdc--6-amd64-3");
    assert_eq!(id(&["1:2~é"]), "SPDXRef-1-2--");
    // A package for two architectures has only one licence.
    let mut facts = facts();
    facts.packages.push(Package { architecture: "i386".into(), ..facts.packages[1].clone() });
    let document = json(spdx(&facts));
    assert_eq!(
        find(&document["packages"], "SPDXID", "SPDXRef-Package-libc6-i386")["licenseDeclared"],
        "LicenseRef-copyright-libc6"
    );
    assert_eq!(document["hasExtractedLicensingInfos"].as_array().unwrap().len(), 4);
}

#[test]
fn a_build_without_packages_has_a_document_too() {
    let document = json(spdx(&empty()));
    assert_eq!(relations(&document), ["DOCUMENT DESCRIBES OperatingSystem"]);
    assert_eq!(document.get("hasExtractedLicensingInfos"), None);
}
