//! What a registry has under a tag.

use crate::blob;
use crate::error::{Error, Fault};
use crate::limits;
use crate::pull::{BLOBS, MANIFESTS, TYPES, blob_digests_below, failed, manifests_below};
use crate::push::first_usable;
use crate::request::{Event, Manifest, Push};
use crate::session::Session;
use crate::upload;
use futures_util::future::try_join_all;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, StatusCode};
use rootstrap_http as http;
use serde_json::Value;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;

/// Returns the manifest or index that the tag of `push.reference` means. Returns `None` if the registry has nothing under this tag, or, with
/// `whole`, if it lacks a manifest or blob of the image.
///
/// Blocks; `report` is called on this thread. The fields of `push` that say what is pushed are ignored.
///
/// # Errors
/// [`Error::Pull`]: the registry cannot be asked.
pub fn find(push: &Push<'_>, whole: bool, report: &dyn Fn(Event)) -> Result<Option<Manifest>, Error> {
    let reference = push.reference;
    let what = format!("tag {}", reference.tag());
    ask(push, &what, report, async |session| {
        let Some(found) = manifest(session, reference.tag(), None).await? else { return Ok(None) };
        let is_there = !whole || is_whole(session, &found).await?;
        Ok(is_there.then_some(found))
    })
}

/// Returns the statements of one kind about the images that the tag of `push.reference` means, as documents of in-toto. Returns none if there is no
/// such tag.
///
/// Blocks; `report` is called on this thread. The fields of `push` that say what is pushed are ignored.
///
/// # Errors
/// [`Error::Pull`]: the registry cannot be asked, or has other bytes than a digest says.
pub fn statements(push: &Push<'_>, predicate_type: &str, report: &dyn Fn(Event)) -> Result<Vec<Value>, Error> {
    let reference = push.reference;
    let what = format!("statements about tag {}", reference.tag());
    ask(push, &what, report, async |session| statements_of(session, reference.tag(), predicate_type).await)
}

/// Connects to the registry and asks `question`, again as often as the options allow. `what` names the answer in errors.
fn ask<T>(
    push: &Push<'_>,
    what: &str,
    report: &dyn Fn(Event),
    question: impl AsyncFn(&Session<'_>) -> Result<T, Fault>,
) -> Result<T, Error> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|source| Error::Threads { source })?;
    let answer = async {
        let reference = push.reference;
        let endpoints = Session::endpoints(push)?;
        let connect = async || first_usable(&endpoints).await;
        let connected = upload::retry(push, reference.registry(), report, connect).await;
        let session = connected.map_err(|fault| failed(reference, reference.registry(), fault))?;
        let attempt = async || question(session).await;
        upload::retry(push, what, report, attempt).await.map_err(|fault| failed(reference, what, fault))
    };
    let result = runtime.block_on(http::unless_cancelled(push.cancel, answer));
    // The look-up of a host's name cannot be interrupted, so nobody waits for it.
    runtime.shutdown_background();
    result.unwrap_or(Err(Error::Cancelled))
}

/// Fetches a manifest by its tag or digest, which has to be `digest` if that is given.
async fn manifest(session: &Session<'_>, name: &str, digest: Option<&str>) -> Result<Option<Manifest>, Fault> {
    let url = session.url(&format!("manifests/{name}"))?;
    let response = session.request_with(Method::GET, url, &[(ACCEPT, TYPES)]).await?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        _ => return Err(session.fault(response).await),
    }
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let bytes = response.read(limits::REFERRERS).await.map_err(Fault::Http)?;
    let got = blob::digest(&bytes);
    if digest.is_some_and(|digest| digest != got) {
        return Err(Fault::Damaged(got));
    }
    let is_manifest = serde_json::from_slice::<Value>(&bytes).is_ok_and(|value| value["schemaVersion"] == 2);
    if !is_manifest {
        return Err(Fault::Protocol("answers with something that is no manifest"));
    }
    Ok(Some(Manifest { media_type: media_type.unwrap_or_default(), digest: got, bytes }))
}

/// Fetches a blob of at most `limit` bytes.
async fn small_blob(session: &Session<'_>, digest: &str, limit: usize) -> Result<Vec<u8>, Fault> {
    let response = session.request(Method::GET, session.url(&format!("blobs/{digest}"))?).await?;
    if response.status() != StatusCode::OK {
        return Err(session.fault(response).await);
    }
    let bytes = response.read(limit).await.map_err(Fault::Http)?;
    let got = blob::digest(&bytes);
    if got == digest { Ok(bytes) } else { Err(Fault::Damaged(got)) }
}

async fn statements_of(session: &Session<'_>, tag: &str, predicate_type: &str) -> Result<Vec<Value>, Fault> {
    let mut found = Vec::new();
    let Some(index) = manifest(session, tag, None).await? else { return Ok(found) };
    let is_statement = |descriptor: &&Value| descriptor["annotations"]["vnd.docker.reference.type"].is_string();
    let is_wanted = |layer: &&Value| layer["annotations"]["in-toto.io/predicate-type"] == predicate_type;
    let index = json(&index.bytes);
    for descriptor in array(&index["manifests"]).iter().filter(is_statement).take(MANIFESTS) {
        let name = digest_of(descriptor)?;
        let Some(manifest) = manifest(session, name, Some(name)).await? else { continue };
        let document = json(&manifest.bytes);
        for layer in array(&document["layers"]).iter().filter(is_wanted).take(1) {
            found.push(json(&small_blob(session, digest_of(layer)?, limits::STATEMENT).await?));
        }
    }
    Ok(found)
}

/// Returns whether the registry has everything that a manifest names, directly or through the manifests of an index.
async fn is_whole(session: &Session<'_>, top: &Manifest) -> Result<bool, Fault> {
    let document = json(&top.bytes);
    let children: Vec<String> = manifests_below(&document).collect();
    if children.len() > MANIFESTS {
        return Err(Fault::Protocol("names too many manifests"));
    }
    let mut blobs: Vec<String> = blob_digests_below(&document).collect();
    let slots = Semaphore::new(limits::LOOK_UPS);
    let fetched = try_join_all(children.iter().map(async |digest| {
        // This fails only when the semaphore is closed, and nothing closes it.
        let _slot = slots.acquire().await;
        manifest(session, digest, Some(digest)).await
    }));
    for child in fetched.await? {
        let Some(child) = child else { return Ok(false) };
        blobs.extend(blob_digests_below(&json(&child.bytes)));
    }
    blobs.sort();
    blobs.dedup();
    if blobs.len() > BLOBS {
        return Err(Fault::Protocol("names too many blobs"));
    }
    let known = try_join_all(blobs.iter().map(async |digest| {
        let _slot = slots.acquire().await;
        let response = session.request(Method::HEAD, session.url(&format!("blobs/{digest}"))?).await?;
        match response.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(session.fault(response).await),
        }
    }));
    Ok(known.await?.into_iter().all(|is_known| is_known))
}

/// Parses a document. What is none has no fields.
fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn digest_of(descriptor: &Value) -> Result<&str, Fault> {
    descriptor["digest"].as_str().filter(|digest| blob::is_digest(digest)).ok_or(Fault::NoDigest)
}
