//! in-toto statements (in-toto.io/Statement/v1), as container registries keep them beside an image: the SBOM,
//! and the provenance of the build (slsa.dev/provenance/v1).
//!
//! They are unsigned. Whoever vouches for a build wraps and signs them.

use crate::facts::Facts;
use crate::{purl, spdx};
use rootstrap_debian::digest::Digest;
use rootstrap_debian::release::format_date;
use serde::{Serialize, Serializer};

/// The build type of our provenance. `docs/provenance.md` says what its parameters mean. The type changes when they change.
pub const BUILD_TYPE: &str = "urn:rootstrap:bootstrap:v1";

/// The builder: the program itself, on whatever machine it ran. The machine does not affect the result.
pub const BUILDER: &str = "urn:rootstrap:builder";

/// An artefact that a statement is about.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its name; for an image its reference, or `_` if it has none.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statement<'a, P> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<Resource<'a>>,
    predicate_type: &'static str,
    predicate: P,
}

/// in-toto's `ResourceDescriptor`.
#[derive(Serialize)]
struct Resource<'a> {
    name: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    uri: &'a str,
    digest: Named,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Annotations<'a>>,
}

#[derive(Serialize)]
struct Annotations<'a> {
    pocket: &'a str,
    suite: &'a str,
    codename: &'a str,
    date: String,
    keys: &'a [String],
}

#[derive(Serialize)]
struct Lock<'a> {
    lock: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Provenance<'a> {
    build_definition: BuildDefinition<'a>,
    run_details: RunDetails,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition<'a> {
    build_type: &'static str,
    external_parameters: External<'a>,
    internal_parameters: Internal,
    resolved_dependencies: Vec<Resource<'a>>,
}

#[derive(Serialize)]
struct External<'a> {
    suite: &'a str,
    variant: &'a str,
    architecture: &'a str,
    image: bool,
    options: Named,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Internal {
    source_date_epoch: i64,
}

#[derive(Serialize)]
struct RunDetails {
    builder: Builder,
}

#[derive(Serialize)]
struct Builder {
    id: &'static str,
    version: Named,
}

/// Names and values, written as a JSON object in this order.
struct Named(Vec<(String, String)>);

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Returns the SBOM of `subjects`: the document of [`spdx`](crate::spdx()) as the predicate
/// `https://spdx.dev/Document`.
#[must_use]
pub fn statement_spdx(facts: &Facts, subjects: &[Subject]) -> Vec<u8> {
    statement(subjects, "https://spdx.dev/Document", spdx::document(facts))
}

/// The type of the predicate that is a lock: `{"lock": TEXT}`, with the text of the lock file (`docs/lock.md`).
pub const LOCK_TYPE: &str = "urn:rootstrap:lock:v1";

/// Returns the lock from which `subjects` can be built again.
#[must_use]
pub fn statement_lock(lock: &str, subjects: &[Subject]) -> Vec<u8> {
    statement(subjects, LOCK_TYPE, Lock { lock })
}

/// Returns how `subjects` were built: the request, and every Release file and package that was used, with the keys that
/// vouch for them. The only times in it are `SOURCE_DATE_EPOCH` and those of the Release files.
#[must_use]
pub fn statement_provenance(facts: &Facts, subjects: &[Subject]) -> Vec<u8> {
    let releases = facts.releases.iter().map(|release| Resource {
        name: format!("Release of {}", release.suite),
        uri: &release.uri,
        digest: digest(&release.digest),
        annotations: Some(Annotations {
            pocket: &release.pocket,
            suite: &release.suite,
            codename: &release.codename,
            date: format_date(release.date),
            keys: &release.keys,
        }),
    });
    let debs = facts.packages.iter().map(|package| Resource {
        name: purl::binary(facts, package),
        uri: &package.uri,
        digest: digest(&package.digest),
        annotations: None,
    });
    let predicate = Provenance {
        build_definition: BuildDefinition {
            build_type: BUILD_TYPE,
            external_parameters: External {
                suite: &facts.codename,
                variant: &facts.variant,
                architecture: &facts.architecture,
                image: facts.image,
                options: Named([facts.options.as_slice(), &facts.changes].concat()),
            },
            internal_parameters: Internal { source_date_epoch: facts.epoch },
            resolved_dependencies: releases.chain(debs).collect(),
        },
        run_details: RunDetails {
            builder: Builder {
                id: BUILDER,
                version: Named(vec![("rootstrap".to_owned(), facts.tool_version.clone())]),
            },
        },
    };
    statement(subjects, "https://slsa.dev/provenance/v1", predicate)
}

fn statement<P: Serialize>(subjects: &[Subject], predicate_type: &'static str, predicate: P) -> Vec<u8> {
    let subject = subjects.iter().map(|subject| Resource {
        name: subject.name.clone(),
        uri: "",
        digest: digest(&subject.digest),
        annotations: None,
    });
    let statement =
        Statement { kind: "https://in-toto.io/Statement/v1", subject: subject.collect(), predicate_type, predicate };
    serde_json::to_vec(&statement).unwrap_or_default()
}

/// Returns in-toto's `DigestSet`.
fn digest(digest: &Digest) -> Named {
    Named(vec![(digest.algorithm().to_lowercase(), digest.to_string())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{empty, facts, json, subjects};
    use serde_json::json as value;

    #[test]
    fn a_statement_is_about_its_subjects() {
        for (bytes, kind) in [
            (statement_spdx(&facts(), &subjects()), "https://spdx.dev/Document"),
            (statement_provenance(&facts(), &subjects()), "https://slsa.dev/provenance/v1"),
        ] {
            let statement = json(&bytes);
            let mut keys: Vec<&String> = statement.as_object().unwrap().keys().collect();
            keys.sort();
            assert_eq!(keys, ["_type", "predicate", "predicateType", "subject"]);
            assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
            assert_eq!(statement["predicateType"], kind);
            assert_eq!(statement["subject"], value!([{ "name": "image", "digest": { "sha256": "22".repeat(32) } }]));
        }
        let statement = json(statement_spdx(&facts(), &subjects()));
        assert_eq!(statement["predicate"], json(crate::spdx(&facts())));
    }

    /// Field names and nesting: slsa.dev/spec/v1.0/provenance.
    #[test]
    fn provenance_names_all_inputs() {
        let predicate = json(statement_provenance(&facts(), &subjects()))["predicate"].clone();
        let definition = &predicate["buildDefinition"];
        assert_eq!(definition["buildType"], BUILD_TYPE);
        assert_eq!(
            definition["externalParameters"],
            value!({
                "suite": "trixie",
                "variant": "minbase",
                "architecture": "amd64",
                "image": false,
                "options": { "include": "libstdc++6", "components": "main", "copy": "/app 0755 sha256:11" },
            })
        );
        assert_eq!(definition["internalParameters"], value!({ "sourceDateEpoch": 1_461_281_026 }));
        let dependencies = definition["resolvedDependencies"].as_array().unwrap();
        assert_eq!(dependencies.len(), 2 + 4);
        assert_eq!(
            dependencies[1],
            value!({
                "name": "Release of trixie-security",
                "uri": "http://deb.example.org/debian/dists/trixie-security/Release",
                "digest": { "sha256": "11".repeat(32) },
                "annotations": {
                    "pocket": "security",
                    "suite": "trixie-security",
                    "codename": "trixie-security",
                    "date": "1970-01-01T00:00:00Z",
                    "keys": ["0123456789ABCDEF0123456789ABCDEF01234567"],
                },
            })
        );
        assert_eq!(
            dependencies[5],
            value!({
                "name": "pkg:deb/debian/libc-bin@2.41-12?arch=all&distro=debian-13&upstream=glibc",
                "uri": "file:/srv/mirror/pool/libc-bin_2.41-12.deb",
                "digest": { "sha512": "cd".repeat(64) },
            })
        );
        assert_eq!(
            predicate["runDetails"],
            value!({ "builder": { "id": BUILDER, "version": { "rootstrap": "0.1.0" } } })
        );
        let nothing = json(statement_provenance(&empty(), &[]));
        assert_eq!(nothing["predicate"]["buildDefinition"]["resolvedDependencies"], value!([]));
    }
}
