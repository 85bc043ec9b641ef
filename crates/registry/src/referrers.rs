//! The list of what refers to an image, in registries without the referrers API (OCI distribution, "Referrers Tag Schema").
//!
//! A registry that has the API answers a manifest that has a `subject` with `OCI-Subject`. Where that header is missing, the client keeps
//! the list itself: an index under a tag that is made of the subject's digest.

use crate::blob::digest;
use crate::error::Fault;
use crate::limits;
use crate::request::Manifest;
use crate::session::Session;
use http::header::ACCEPT;
use http::{Method, StatusCode};
use rootstrap_http as http;
use serde_json::{Value, json};

/// The media type of an index.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Returns the digest of the manifest that this one is about, if it names one.
pub(crate) fn subject(manifest: &Manifest) -> Option<String> {
    let value: Value = serde_json::from_slice(&manifest.bytes).ok()?;
    Some(value.pointer("/subject/digest")?.as_str()?.to_owned())
}

/// Returns the tag of the list for a subject with this digest.
pub(crate) fn tag(subject: &str) -> String {
    subject.replacen(':', "-", 1)
}

/// Returns the list of a subject with the manifest in it: `list` is the present one, `None` if there is none. Returns `None` if the
/// manifest is in it already.
pub(crate) fn with(list: Option<&[u8]>, manifest: &Manifest) -> Result<Option<Manifest>, Fault> {
    let no_index = || Fault::Protocol("has something else than an index under the tag of the referrers");
    let mut index = match list {
        Some(bytes) => serde_json::from_slice(bytes).map_err(|_| no_index())?,
        None => json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] }),
    };
    if index.get("mediaType").is_some_and(|media_type| media_type != INDEX) {
        return Err(no_index());
    }
    let manifests = index.get_mut("manifests").and_then(Value::as_array_mut).ok_or_else(no_index)?;
    if manifests.iter().any(|known| known.get("digest").is_some_and(|known| *known == manifest.digest)) {
        return Ok(None);
    }
    manifests.push(descriptor(manifest));
    let bytes = index.to_string().into_bytes();
    Ok(Some(Manifest { media_type: INDEX.to_owned(), digest: digest(&bytes), bytes }))
}

/// Describes a manifest as the referrers API does: with its own annotations, and with its kind, which is that of its configuration
/// where it names no other.
fn descriptor(manifest: &Manifest) -> Value {
    let value: Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
    let mut descriptor =
        json!({ "mediaType": manifest.media_type, "digest": manifest.digest, "size": manifest.bytes.len() });
    let kind = value.get("artifactType").or_else(|| value.pointer("/config/mediaType"));
    for (name, value) in [("artifactType", kind), ("annotations", value.get("annotations"))] {
        if let (Some(fields), Some(value)) = (descriptor.as_object_mut(), value) {
            fields.insert(name.to_owned(), value.clone());
        }
    }
    descriptor
}

/// Reads the list of a subject; `None` if the registry has none.
pub(crate) async fn read(session: &Session<'_>, subject: &str) -> Result<Option<Vec<u8>>, Fault> {
    let url = session.url(&format!("manifests/{}", tag(subject)))?;
    let response = session.request_with(Method::GET, url, &[(ACCEPT, INDEX)]).await?;
    match response.status() {
        StatusCode::NOT_FOUND => Ok(None),
        StatusCode::OK => response.read(limits::REFERRERS).await.map(Some).map_err(Fault::Http),
        _ => Err(session.fault(response).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> Manifest {
        Manifest { media_type: "m".to_owned(), digest: digest(text.as_bytes()), bytes: text.as_bytes().to_vec() }
    }

    #[test]
    fn a_manifest_is_listed_once() {
        let one = manifest(r#"{"artifactType":"a","subject":{"digest":"sha256:00"},"annotations":{"k":"v"}}"#);
        let two = manifest(r#"{"config":{"mediaType":"c"},"subject":{"digest":"sha256:00"}}"#);
        assert_eq!((subject(&one).as_deref(), subject(&manifest("{}"))), (Some("sha256:00"), None));
        assert_eq!(tag("sha256:00"), "sha256-00");
        let first = with(None, &one).unwrap().unwrap();
        assert_eq!(with(Some(&first.bytes), &one).unwrap(), None);
        let second = with(Some(&first.bytes), &two).unwrap().unwrap();
        let value: Value = serde_json::from_slice(&second.bytes).unwrap();
        let expect = json!([
            { "mediaType": "m", "digest": one.digest, "size": one.bytes.len(), "artifactType": "a", "annotations": { "k": "v" } },
            { "mediaType": "m", "digest": two.digest, "size": two.bytes.len(), "artifactType": "c" },
        ]);
        assert_eq!((&value["manifests"], second.digest), (&expect, digest(&second.bytes)));
    }

    #[test]
    fn a_list_of_another_kind_is_not_replaced() {
        for list in ["", "[]", "{}", r#"{"manifests":{}}"#, r#"{"mediaType":"image","manifests":[]}"#] {
            assert!(with(Some(list.as_bytes()), &manifest("{}")).is_err(), "{list}");
        }
    }
}
