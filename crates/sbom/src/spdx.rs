//! SPDX 2.3 as JSON (spdx.github.io/spdx-spec/v2.3).
//!
//! The document describes an operating system, or an image that contains one. The operating system contains the binary
//! packages, and each of those was generated from a source package. Scanners recognise a distribution's packages by this
//! structure, by the identifier `SPDXRef-OperatingSystem` and by the words in `sourceInfo`.

use crate::facts::{Facts, Package};
use crate::person::Person;
use crate::purl;
use crate::text::{licence_text, pretty};
use rootstrap_debian::digest::Digest;
use rootstrap_debian::release::format_date;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
const SYSTEM: &str = "SPDXRef-OperatingSystem";
const UNKNOWN: &str = "NOASSERTION";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: CreationInfo,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Annotation>,
    document_describes: Vec<&'static str>,
    packages: Vec<Element>,
    relationships: Vec<Relationship>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    has_extracted_licensing_infos: Vec<Licence>,
}

#[derive(Serialize)]
struct CreationInfo {
    created: String,
    creators: Vec<String>,
}

/// An option that changes the tree beside the packages.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Annotation {
    annotation_date: String,
    annotation_type: &'static str,
    annotator: String,
    comment: String,
}

/// An SPDX package: anything that is distributed as one, the operating system included.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Element {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    version_info: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    package_file_name: String,
    supplier: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    originator: Option<String>,
    download_location: String,
    files_analyzed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Option::is_none")]
    homepage: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    source_info: String,
    license_concluded: &'static str,
    license_declared: String,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    summary: String,
    primary_package_purpose: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalRef>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExternalRef {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    relationship_type: &'static str,
    related_spdx_element: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Licence {
    license_id: String,
    name: String,
    extracted_text: String,
}

/// Returns the SBOM as SPDX 2.3 JSON.
///
/// Checksums and addresses are those of the .debs. A package states its licence in its copyright file, so
/// `licenseDeclared` refers to that file, and no licence is concluded.
#[must_use]
pub fn spdx(facts: &Facts) -> String {
    pretty(&document(facts))
}

/// Returns the document that [`spdx`] writes.
pub(crate) fn document(facts: &Facts) -> Document {
    let ids = Ids::of(facts);
    let top = if facts.image { IMAGE } else { SYSTEM };
    let (created, tool) = (format_date(facts.epoch), format!("Tool: rootstrap-{}", facts.tool_version));
    let annotations = facts.changes.iter().map(|(name, value)| Annotation {
        annotation_date: created.clone(),
        annotation_type: "OTHER",
        annotator: tool.clone(),
        comment: format!("--{name}={value}"),
    });
    let annotations = annotations.collect();
    let space = format!("{}-{}", facts.name, Digest::Sha256(facts.digest()));
    Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name: facts.name.clone(),
        document_namespace: purl::uri("https://spdx.org/spdxdocs/rootstrap", &space),
        creation_info: CreationInfo { created, creators: vec![tool] },
        annotations,
        document_describes: vec![top],
        packages: elements(facts, &ids),
        relationships: relationships(facts, &ids),
        has_extracted_licensing_infos: ids.licences.into_iter().map(|(path, id)| licence(path, id)).collect(),
    }
}

/// The identifiers of the elements of a document.
struct Ids<'f> {
    /// Those of the binary packages, in their order.
    binaries: Vec<String>,
    /// Those of the source packages, by name and version.
    sources: BTreeMap<(&'f str, &'f str), String>,
    /// Those of the licences, by the path of their text.
    licences: BTreeMap<&'f str, String>,
}

impl<'f> Ids<'f> {
    fn of(facts: &'f Facts) -> Self {
        let mut taken = BTreeSet::new();
        let mut id = |kind: &str, words: &[&str]| unique(&mut taken, kind, words);
        let binaries = facts.packages.iter().map(|p| id("SPDXRef-Package", &[&p.name, &p.architecture])).collect();
        let sources = (facts.first_of_each_source().into_iter())
            .map(|p| (p.source(), id("SPDXRef-Source", &[&p.source, &p.source_version])))
            .collect();
        let mut licences: BTreeMap<&str, String> = BTreeMap::new();
        for package in facts.packages.iter().filter(|package| !package.licence.is_empty()) {
            licences.entry(&package.licence).or_insert_with(|| id("LicenseRef-copyright", &[&package.name]));
        }
        Self { binaries, sources, licences }
    }
}

/// Returns the image, the operating system, the binary packages and the source packages.
fn elements(facts: &Facts, ids: &Ids<'_>) -> Vec<Element> {
    let mut elements = Vec::new();
    if facts.image {
        elements.push(image(facts));
    }
    elements.push(system(facts));
    for (package, id) in facts.packages.iter().zip(&ids.binaries) {
        let licence = ids.licences.get(package.licence.as_str()).map_or(UNKNOWN, String::as_str);
        elements.push(binary(facts, package, id, licence));
    }
    for package in facts.first_of_each_source() {
        if let Some(id) = ids.sources.get(&package.source()) {
            elements.push(source(package, id));
        }
    }
    elements
}

fn relationships(facts: &Facts, ids: &Ids<'_>) -> Vec<Relationship> {
    let mut relationships = Vec::new();
    let mut relate = |from: &str, kind, to: &str| {
        relationships.push(Relationship {
            spdx_element_id: from.to_owned(),
            relationship_type: kind,
            related_spdx_element: to.to_owned(),
        });
    };
    if facts.image {
        relate(DOCUMENT, "DESCRIBES", IMAGE);
        relate(IMAGE, "CONTAINS", SYSTEM);
    } else {
        relate(DOCUMENT, "DESCRIBES", SYSTEM);
    }
    for (package, id) in facts.packages.iter().zip(&ids.binaries) {
        relate(SYSTEM, "CONTAINS", id);
        if let Some(source) = ids.sources.get(&package.source()) {
            relate(id, "GENERATED_FROM", source);
        }
        for other in package.depends.iter().filter_map(|position| ids.binaries.get(*position)) {
            relate(id, "DEPENDS_ON", other);
        }
    }
    relationships
}

/// Returns an identifier of the characters that SPDX allows in one. If another identifier is the same, it gets a number.
fn unique(taken: &mut BTreeSet<String>, kind: &str, words: &[&str]) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let words: Vec<String> = words.iter().map(|word| word.chars().map(clean).collect()).collect();
    let first = format!("{kind}-{}", words.join("-"));
    let mut id = first.clone();
    let mut number = 1;
    while !taken.insert(id.clone()) {
        number += 1;
        id = format!("{first}-{number}");
    }
    id
}

fn image(facts: &Facts) -> Element {
    Element {
        id: IMAGE.to_owned(),
        name: facts.name.clone(),
        primary_package_purpose: "CONTAINER",
        version_info: facts.release().to_owned(),
        ..element(UNKNOWN)
    }
}

fn system(facts: &Facts) -> Element {
    Element {
        id: SYSTEM.to_owned(),
        name: facts.system_name().to_owned(),
        version_info: facts.release().to_owned(),
        summary: facts.system_summary(),
        primary_package_purpose: "OPERATING-SYSTEM",
        ..element(UNKNOWN)
    }
}

/// Returns an element about which nothing is known but its licence.
fn element(licence: &str) -> Element {
    Element {
        supplier: UNKNOWN.to_owned(),
        download_location: UNKNOWN.to_owned(),
        license_concluded: UNKNOWN,
        license_declared: licence.to_owned(),
        copyright_text: UNKNOWN,
        ..Element::default()
    }
}

fn binary(facts: &Facts, package: &Package, id: &str, licence: &str) -> Element {
    let checksum = Checksum { algorithm: package.digest.algorithm(), checksum_value: package.digest.to_string() };
    Element {
        id: id.to_owned(),
        name: package.name.clone(),
        version_info: package.version.clone(),
        package_file_name: package.uri.rsplit('/').next().unwrap_or_default().to_owned(),
        // A path on the machine that built this is no address to download from.
        download_location: purl::web(&package.uri).unwrap_or(UNKNOWN).to_owned(),
        checksums: vec![checksum],
        source_info: format!("built package from: {} {}", package.source, package.source_version),
        summary: package.summary.clone(),
        primary_package_purpose: "INSTALL",
        external_refs: vec![reference(purl::binary(facts, package))],
        ..described(package, licence)
    }
}

fn source(package: &Package, id: &str) -> Element {
    Element {
        id: id.to_owned(),
        name: package.source.clone(),
        version_info: package.source_version.clone(),
        primary_package_purpose: "SOURCE",
        external_refs: vec![reference(purl::source(package))],
        ..described(package, UNKNOWN)
    }
}

/// Returns the parts that a binary package and its source package share.
fn described(package: &Package, licence: &str) -> Element {
    Element {
        supplier: Person::parse(&package.maintainer).map_or(UNKNOWN.to_owned(), |person| person.to_spdx()),
        originator: Person::parse(&package.original_maintainer).map(|person| person.to_spdx()),
        homepage: purl::web(&package.homepage).map(str::to_owned),
        ..element(licence)
    }
}

fn reference(purl: String) -> ExternalRef {
    ExternalRef { reference_category: "PACKAGE-MANAGER", reference_type: "purl", reference_locator: purl }
}

fn licence(path: &str, id: String) -> Licence {
    Licence { license_id: id, name: path.to_owned(), extracted_text: licence_text(path) }
}

#[cfg(test)]
#[path = "spdx_tests.rs"]
mod tests;
