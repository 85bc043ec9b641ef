//! What a registry has under a tag.

use crate::blob;
use crate::error::{Error, Fault};
use crate::limits;
use crate::pull::{TYPES, blob_digests_below, failed, manifests_below};
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
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|source| Error::Threads { source })?;
    let result = runtime.block_on(http::unless_cancelled(push.cancel, find_all(push, whole, report)));
    // The look-up of a host's name cannot be interrupted, so nobody waits for it.
    runtime.shutdown_background();
    result.unwrap_or(Err(Error::Cancelled))
}

/// Returns the statements of one kind about the images that the tag of `push.reference` means, as documents of in-toto. Returns none if there is no
/// such tag.
///
/// Blocks; `report` is called on this thread. The fields of `push` that say what is pushed are ignored.
///
/// # Errors
/// [`Error::Pull`]: the registry cannot be asked, or has other bytes than a digest says.
pub fn statements(push: &Push<'_>, predicate_type: &str, report: &dyn Fn(Event)) -> Result<Vec<Value>, Error> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|source| Error::Threads { source })?;
    let all = async {
        let reference = push.reference;
        let endpoints = Session::endpoints(push)?;
        let connected =
            upload::retry(push, reference.registry(), report, async || first_usable(&endpoints).await).await;
        let session = connected.map_err(|fault| failed(reference, reference.registry(), fault))?;
        let what = format!("statements about tag {}", reference.tag());
        let attempt = async || statements_of(session, reference.tag(), predicate_type).await;
        upload::retry(push, &what, report, attempt).await.map_err(|fault| failed(reference, &what, fault))
    };
    let result = runtime.block_on(http::unless_cancelled(push.cancel, all));
    runtime.shutdown_background();
    result.unwrap_or(Err(Error::Cancelled))
}

async fn statements_of(session: &Session<'_>, tag: &str, predicate_type: &str) -> Result<Vec<Value>, Fault> {
    let mut found = Vec::new();
    let Some(index) = top(session, tag).await? else { return Ok(found) };
    let index: Value = serde_json::from_slice(&index.bytes).unwrap_or_default();
    let is_statement = |descriptor: &&Value| descriptor["annotations"]["vnd.docker.reference.type"].is_string();
    let descriptors = index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
    for descriptor in descriptors.iter().filter(is_statement) {
        let digest = descriptor["digest"].as_str().filter(|digest| blob::is_digest(digest)).ok_or(Fault::NoDigest)?;
        let Some(manifest) = top(session, digest).await? else { continue };
        let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
        let layers = manifest["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
        for layer in layers.iter().filter(|layer| layer["annotations"]["in-toto.io/predicate-type"] == predicate_type) {
            let digest = layer["digest"].as_str().filter(|digest| blob::is_digest(digest)).ok_or(Fault::NoDigest)?;
            let response = session.request(Method::GET, session.url(&format!("blobs/{digest}"))?).await?;
            if response.status() != StatusCode::OK {
                return Err(session.fault(response).await);
            }
            let bytes = response.read(limits::STATEMENT).await.map_err(Fault::Http)?;
            if blob::digest(&bytes) != digest {
                return Err(Fault::Damaged(blob::digest(&bytes)));
            }
            found.extend(serde_json::from_slice::<Value>(&bytes).ok());
        }
    }
    Ok(found)
}

async fn find_all(push: &Push<'_>, whole: bool, report: &dyn Fn(Event)) -> Result<Option<Manifest>, Error> {
    let reference = push.reference;
    let endpoints = Session::endpoints(push)?;
    let connected = upload::retry(push, reference.registry(), report, async || first_usable(&endpoints).await).await;
    let session = connected.map_err(|fault| failed(reference, reference.registry(), fault))?;
    let what = format!("tag {}", reference.tag());
    let attempt = async || top(session, reference.tag()).await;
    let found = upload::retry(push, &what, report, attempt).await.map_err(|fault| failed(reference, &what, fault))?;
    let found = match found {
        Some(found) if whole => found,
        found => return Ok(found),
    };
    let attempt = async || is_whole(session, &found).await;
    let is_whole =
        upload::retry(push, &what, report, attempt).await.map_err(|fault| failed(reference, &what, fault))?;
    Ok(is_whole.then_some(found))
}

/// Fetches what a tag means.
async fn top(session: &Session<'_>, tag: &str) -> Result<Option<Manifest>, Fault> {
    let url = session.url(&format!("manifests/{tag}"))?;
    let response = session.request_with(Method::GET, url, &[(ACCEPT, TYPES)]).await?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        _ => return Err(session.fault(response).await),
    }
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let bytes = response.read(limits::REFERRERS).await.map_err(Fault::Http)?;
    let is_manifest = serde_json::from_slice::<Value>(&bytes).is_ok_and(|value| value["schemaVersion"] == 2);
    if !is_manifest {
        return Err(Fault::Protocol("answers with something that is no manifest"));
    }
    Ok(Some(Manifest { media_type: media_type.unwrap_or_default(), digest: blob::digest(&bytes), bytes }))
}

/// Returns whether the registry has everything that a manifest names, directly or through other manifests.
async fn is_whole(session: &Session<'_>, top: &Manifest) -> Result<bool, Fault> {
    let document: Value = serde_json::from_slice(&top.bytes).unwrap_or_default();
    let children: Vec<String> = manifests_below(&document).collect();
    let mut blobs: Vec<String> = blob_digests_below(&document).collect();
    let slots = Semaphore::new(limits::LOOK_UPS);
    let fetched = try_join_all(children.iter().map(async |digest| {
        // This fails only when the semaphore is closed, and nothing closes it.
        let _slot = slots.acquire().await;
        self::top(session, digest).await
    }));
    for child in fetched.await? {
        let Some(child) = child else { return Ok(false) };
        let document: Value = serde_json::from_slice(&child.bytes).unwrap_or_default();
        blobs.extend(blob_digests_below(&document));
    }
    blobs.sort();
    blobs.dedup();
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
