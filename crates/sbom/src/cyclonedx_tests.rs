//! The document has every field that CycloneDX demands, and every fact that is known.

use super::*;
use crate::fixture::{empty, facts, json};
use serde_json::{Value, json as value};

#[test]
fn a_component_says_what_is_known_of_a_package() {
    let bom = json(cyclonedx(&facts()));
    let purl = "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19%2Bb1?arch=amd64&distro=debian-13&upstream=gcc-14%4014.2.0-19";
    let expect = value!({
        "type": "library",
        "bom-ref": purl,
        "supplier": { "name": "A. U. Thor", "contact": [{ "email": "thor@example.org" }] },
        "name": "libstdc++6",
        "version": "14.2.0-19+b1",
        "description": "what libstdc++6 is",
        "hashes": [{ "alg": "SHA-256", "content": "ab".repeat(32) }],
        "licenses": [{ "license": {
            "name": "/usr/share/doc/libstdc++6/copyright",
            "acknowledgement": "declared",
            "text": { "contentType": "text/plain", "content": licence_text("/usr/share/doc/libstdc++6/copyright") },
        } }],
        "purl": purl,
        "externalReferences": [
            { "type": "distribution", "url": "http://deb.example.org/debian/pool/libstdc++6_14.2.0-19+b1.deb" },
            { "type": "website", "url": "https://example.org/" },
        ],
        "properties": [
            { "name": "rootstrap:architecture", "value": "amd64" },
            { "name": "rootstrap:source", "value": "gcc-14" },
            { "name": "rootstrap:source-version", "value": "14.2.0-19" },
            { "name": "rootstrap:size", "value": "1000" },
            { "name": "rootstrap:installed-size", "value": "4096" },
            { "name": "aquasecurity:trivy:SrcName", "value": "gcc-14" },
            { "name": "aquasecurity:trivy:SrcVersion", "value": "14.2.0" },
            { "name": "aquasecurity:trivy:SrcRelease", "value": "19" },
        ],
    });
    assert_eq!(bom["components"][2], expect);
    let bare = &bom["components"][3];
    assert_eq!(bare["hashes"][0]["alg"], "SHA-512");
    for key in ["supplier", "description", "externalReferences"] {
        assert_eq!(bare.get(key), None, "{key}");
    }
    assert_eq!(bom["components"][0]["properties"].as_array().unwrap().len(), 5, "its source has its name");
}

#[test]
fn all_packages_are_dependencies_of_the_system() {
    let mut facts = facts();
    let purls: Vec<String> = facts.packages.iter().map(|package| purl::binary(&facts, package)).collect();
    let below = |bom: &Value, of: &str| {
        let list = bom["dependencies"].as_array().unwrap();
        list.iter().find(|item| item["ref"] == of).unwrap().get("dependsOn").cloned()
    };
    // A duplicate, itself, and a position that does not exist: none of them may be listed.
    facts.packages[2].depends = vec![1, 1, 2, 99];
    let bom = json(cyclonedx(&facts));
    let system = &bom["metadata"]["component"];
    assert_eq!([&system["type"], &system["name"], &system["version"]], ["operating-system", "debian", "13"]);
    assert_eq!(below(&bom, "operating-system"), Some(value!(purls)));
    assert_eq!(below(&bom, &purls[2]), Some(value!([purls[1]])));
    assert_eq!(below(&bom, &purls[0]), None);
    assert_eq!(bom["components"].as_array().unwrap().len(), 4);
    facts.image = true;
    let bom = json(cyclonedx(&facts));
    assert_eq!(bom["metadata"]["component"]["type"], "container");
    assert_eq!(bom["components"][0]["type"], "operating-system");
    assert_eq!(below(&bom, "image"), Some(value!(["operating-system"])));
    assert_eq!(below(&bom, "operating-system"), Some(value!(purls)));
}

#[test]
fn the_document_names_tool_time_and_serial_number() {
    let text = cyclonedx(&facts());
    assert!(text.ends_with("}\n") && text.contains("\"bomFormat\": \"CycloneDX\",\n  \"specVersion\": \"1.6\","));
    let bom = json(&text);
    assert_eq!(bom["metadata"]["timestamp"], "2016-04-21T23:23:46Z");
    assert_eq!(bom["metadata"]["tools"]["components"][0]["version"], "0.1.0");
    assert_eq!(bom["metadata"]["properties"][0]["name"], "rootstrap:option:copy");
    assert_eq!(bom["metadata"]["properties"][0]["value"], "/app 0755 sha256:11");
    let serial = bom["serialNumber"].as_str().unwrap().strip_prefix("urn:uuid:").unwrap();
    let parts: Vec<&str> = serial.split('-').collect();
    assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    assert!(parts[2].starts_with('8') && "89ab".contains(&parts[3][..1]), "{serial}");
    let first: String = facts().digest()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(parts[0], first);
}

#[test]
fn a_build_without_packages_has_a_document_too() {
    let bom = json(cyclonedx(&empty()));
    assert_eq!(bom["components"], value!([]));
    assert_eq!(bom["dependencies"], value!([{ "ref": "operating-system" }]));
}
