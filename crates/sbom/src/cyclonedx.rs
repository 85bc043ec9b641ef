//! CycloneDX 1.6 as JSON (cyclonedx.org/docs/1.6/json).
//!
//! The operating system is a component of its own, as scanners expect it: either the document describes it, or the document
//! describes an image that depends on it. All packages are dependencies of the operating system.

use crate::facts::{Facts, Package};
use crate::person::Person;
use crate::purl;
use crate::text::{licence_text, pretty};
use rootstrap_debian::release::format_date;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeSet;
use uuid::Uuid;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bom {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct Metadata {
    timestamp: String,
    tools: Tools,
    component: Component,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
}

#[derive(Serialize)]
struct Tools {
    components: Vec<Component>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref", skip_serializing_if = "String::is_empty")]
    bom_ref: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<Entity>,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<LicenceChoice>,
    #[serde(skip_serializing_if = "String::is_empty")]
    purl: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Reference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
}

#[derive(Serialize)]
struct Entity {
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contact: Vec<Contact>,
}

#[derive(Serialize)]
struct Contact {
    email: String,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
struct LicenceChoice {
    license: Licence,
}

#[derive(Serialize)]
struct Licence {
    name: String,
    acknowledgement: &'static str,
    text: Attachment,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Attachment {
    content_type: &'static str,
    content: String,
}

#[derive(Serialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
}

#[derive(Serialize)]
struct Property {
    name: Cow<'static, str>,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    #[serde(rename = "ref")]
    of: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    depends_on: Vec<String>,
}

/// Returns the SBOM as CycloneDX 1.6 JSON.
///
/// Each component is a binary package; its `bom-ref` is its package URL. The properties `rootstrap:source` and
/// `rootstrap:source-version` name the source package that it was built from. The properties of the document are the options that change
/// the tree beside the packages.
#[must_use]
pub fn cyclonedx(facts: &Facts) -> String {
    let purls: Vec<String> = facts.packages.iter().map(|package| purl::binary(facts, package)).collect();
    let system = Component {
        kind: "operating-system",
        bom_ref: "operating-system".to_owned(),
        name: facts.system_name().to_owned(),
        version: facts.release().to_owned(),
        description: facts.system_summary(),
        ..Component::default()
    };
    let mut dependencies = Vec::new();
    let mut components = Vec::new();
    let all = Dependency { of: system.bom_ref.clone(), depends_on: purls.clone() };
    let described = if facts.image {
        let image = Component {
            kind: "container",
            bom_ref: "image".to_owned(),
            name: facts.name.clone(),
            version: facts.release().to_owned(),
            ..Component::default()
        };
        dependencies.push(Dependency { of: image.bom_ref.clone(), depends_on: vec![system.bom_ref.clone()] });
        components.push(system);
        image
    } else {
        system
    };
    dependencies.push(all);
    for (package, purl) in facts.packages.iter().zip(&purls) {
        components.push(component(package, purl));
        // The format wants every entry once, and an entry that depends on itself would say nothing.
        let others: BTreeSet<usize> = package.depends.iter().copied().collect();
        let others = others.into_iter().filter_map(|position| purls.get(position)).filter(|other| *other != purl);
        dependencies.push(Dependency { of: purl.clone(), depends_on: others.cloned().collect() });
    }
    let option = |(name, value): &(String, String)| Property {
        name: format!("rootstrap:option:{name}").into(),
        value: value.clone(),
    };
    let properties = facts.changes.iter().map(option).collect();
    pretty(&Bom {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: serial_number(facts),
        version: 1,
        metadata: Metadata {
            timestamp: format_date(facts.epoch),
            tools: tools(facts),
            component: described,
            properties,
        },
        components,
        dependencies,
    })
}

fn tools(facts: &Facts) -> Tools {
    let tool = Component {
        kind: "application",
        name: "rootstrap".to_owned(),
        version: facts.tool_version.clone(),
        ..Component::default()
    };
    Tools { components: vec![tool] }
}

fn component(package: &Package, purl: &str) -> Component {
    let hash = Hash {
        alg: if package.digest.algorithm() == "SHA256" { "SHA-256" } else { "SHA-512" },
        content: package.digest.to_string(),
    };
    let references = [("distribution", &package.uri), ("website", &package.homepage)];
    let references = references.into_iter().filter_map(|(kind, address)| {
        let url = purl::web(address)?.to_owned();
        Some(Reference { kind, url })
    });
    Component {
        kind: "library",
        bom_ref: purl.to_owned(),
        supplier: Person::parse(&package.maintainer).map(|person| Entity {
            name: person.name,
            contact: person.mail.into_iter().map(|email| Contact { email }).collect(),
        }),
        name: package.name.clone(),
        version: package.version.clone(),
        description: package.summary.clone(),
        hashes: vec![hash],
        licenses: (!package.licence.is_empty()).then(|| licence(&package.licence)).into_iter().collect(),
        purl: purl.to_owned(),
        external_references: references.collect(),
        properties: properties(package),
    }
}

fn licence(path: &str) -> LicenceChoice {
    let text = Attachment { content_type: "text/plain", content: licence_text(path) };
    LicenceChoice { license: Licence { name: path.to_owned(), acknowledgement: "declared", text } }
}

fn properties(package: &Package) -> Vec<Property> {
    let property = |name: &'static str, value: &str| Property { name: name.into(), value: value.to_owned() };
    let mut list = vec![
        property("rootstrap:architecture", &package.architecture),
        property("rootstrap:source", &package.source),
        property("rootstrap:source-version", &package.source_version),
        property("rootstrap:size", &package.size.to_string()),
        property("rootstrap:installed-size", &package.installed_size.to_string()),
    ];
    if package.source() != (&package.name, &package.version) {
        // The properties in which a scanner that does not read `upstream` looks for the source package. They have the version
        // in three parts.
        let (epoch, rest) = package.source_version.split_once(':').unwrap_or(("", &package.source_version));
        let (version, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        let words = [
            ("aquasecurity:trivy:SrcName", package.source.as_str()),
            ("aquasecurity:trivy:SrcVersion", version),
            ("aquasecurity:trivy:SrcRelease", revision),
            ("aquasecurity:trivy:SrcEpoch", epoch),
        ];
        list.extend(
            words.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| property(name, value)),
        );
    }
    list
}

/// Returns the UUID of the document, made from the digest of the facts (RFC 9562 §5.8, version 8), as a URN.
fn serial_number(facts: &Facts) -> String {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = facts.digest();
    Uuid::new_v8([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]).urn().to_string()
}

#[cfg(test)]
#[path = "cyclonedx_tests.rs"]
mod tests;
