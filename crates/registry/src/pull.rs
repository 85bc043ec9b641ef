//! The order of a pull: the manifests from the top down, then the blobs that they name.

use crate::blob;
use crate::error::{Error, Failure, Fault};
use crate::limits;
use crate::push::first_usable;
use crate::reference::Reference;
use crate::request::{Event, Push};
use crate::session::Session;
use crate::upload;
use http::header::ACCEPT;
use http::{Method, StatusCode};
use rootstrap_http as http;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Seek, Write};
use tokio::runtime::Builder;

/// The types of manifests that are understood.
pub(crate) const TYPES: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                     application/vnd.docker.distribution.manifest.list.v2+json, \
                     application/vnd.docker.distribution.manifest.v2+json";

/// How many manifests and how many blobs one image may have.
pub(crate) const MANIFESTS: usize = 256;
pub(crate) const BLOBS: usize = 2000;

/// Fetches an image with all its platforms and the statements about it. Each document and blob goes into the file that `create` makes for its
/// digest. Returns digest and size of the manifest or index: the one with `digest`, or the one that the tag means.
///
/// Blocks; `create` and `report` are called on this thread. The fields of `push` that say what is pushed are ignored.
///
/// # Errors
/// `digest` is none, or [`Error::Pull`] names what could not be had. A file may be there whose content is incomplete or wrong.
pub fn pull(
    push: &Push<'_>,
    digest: Option<&str>,
    create: &mut dyn FnMut(&str) -> io::Result<File>,
    report: &dyn Fn(Event),
) -> Result<(String, u64), Error> {
    if digest.is_some_and(|digest| !blob::is_digest(digest)) {
        let reason = "its digest must be sha256: and 64 hexadecimal digits in lower case";
        return Err(Error::Name { name: digest.unwrap_or_default().to_owned(), reason });
    }
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|source| Error::Threads { source })?;
    let result = runtime.block_on(http::unless_cancelled(push.cancel, pull_all(push, digest, create, report)));
    // The look-up of a host's name cannot be interrupted, so nobody waits for it.
    runtime.shutdown_background();
    result.unwrap_or(Err(Error::Cancelled))
}

async fn pull_all(
    push: &Push<'_>,
    digest: Option<&str>,
    create: &mut dyn FnMut(&str) -> io::Result<File>,
    report: &dyn Fn(Event),
) -> Result<(String, u64), Error> {
    let reference = push.reference;
    let endpoints = Session::endpoints(push)?;
    let connected = upload::retry(push, reference.registry(), report, async || first_usable(&endpoints).await).await;
    let session = connected.map_err(|fault| failed(reference, reference.registry(), fault))?;
    let (mut waiting, mut blobs) =
        (vec![(digest.unwrap_or(reference.tag()).to_owned(), digest.is_none())], BTreeSet::new());
    let (mut top, mut seen) = (None, BTreeSet::new());
    while let Some((name, is_tag)) = waiting.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let what = if is_tag { format!("tag {name}") } else { format!("manifest {name}") };
        if seen.len() > MANIFESTS {
            return Err(failed(reference, &what, Fault::Protocol("names too many manifests")));
        }
        let fetched = upload::retry(push, &what, report, async || manifest(session, &name, is_tag).await).await;
        let (digest, bytes) = fetched.map_err(|fault| failed(reference, &what, fault))?;
        let written = create(&digest).and_then(|mut file| file.write_all(&bytes));
        written.map_err(|error| failed(reference, &what, Fault::Unreadable(error)))?;
        top.get_or_insert((digest, bytes.len() as u64));
        let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        waiting.extend(manifests_below(&document).map(|digest| (digest, false)));
        blobs.extend(blobs_below(&document));
        if blobs.len() > BLOBS {
            return Err(failed(reference, &what, Fault::Protocol("names too many blobs")));
        }
    }
    for (digest, size) in &blobs {
        let what = format!("blob {digest}");
        let mut file = create(digest).map_err(|error| failed(reference, &what, Fault::Unreadable(error)))?;
        let attempt = async || blob_into(session, (digest, *size), &mut file).await;
        upload::retry(push, &what, report, attempt).await.map_err(|fault| failed(reference, &what, fault))?;
        report(Event::BlobDone { digest: digest.clone(), size: file.metadata().map_or(0, |found| found.len()) });
    }
    top.ok_or_else(|| failed(reference, "image", Fault::NoManifest))
}

/// Fetches a manifest by tag or digest. Returns its digest and its text.
async fn manifest(session: &Session<'_>, name: &str, is_tag: bool) -> Result<(String, Vec<u8>), Fault> {
    let url = session.url(&format!("manifests/{name}"))?;
    let response = session.request_with(Method::GET, url, &[(ACCEPT, TYPES)]).await?;
    if response.status() != StatusCode::OK {
        return Err(session.fault(response).await);
    }
    let bytes = response.read(limits::REFERRERS).await.map_err(Fault::Http)?;
    let digest = blob::digest(&bytes);
    if !is_tag && digest != name {
        return Err(Fault::Damaged(digest));
    }
    Ok((digest, bytes))
}

/// Fetches a blob of this digest and size into a file, from its beginning.
async fn blob_into(session: &Session<'_>, (digest, size): (&str, u64), file: &mut File) -> Result<(), Fault> {
    let url = session.url(&format!("blobs/{digest}"))?;
    let mut response = session.request(Method::GET, url).await?;
    if response.status() != StatusCode::OK {
        return Err(session.fault(response).await);
    }
    file.rewind().and_then(|()| file.set_len(0)).map_err(Fault::Unreadable)?;
    let (mut hash, mut left) = (Sha256::new(), size);
    while let Some(chunk) = response.chunk().await.map_err(Fault::Http)? {
        left = left.checked_sub(chunk.len() as u64).ok_or(Fault::Size(size))?;
        hash.update(&chunk);
        file.write_all(&chunk).map_err(Fault::Unreadable)?;
    }
    let got = blob::named(hash);
    if got == digest { Ok(()) } else { Err(Fault::Damaged(got)) }
}

/// Returns the digests of the manifests that an index names.
pub(crate) fn manifests_below(document: &Value) -> impl Iterator<Item = String> {
    digests(&document["manifests"]).map(|(digest, _)| digest)
}

/// Returns the digests of the blobs that a manifest names.
pub(crate) fn blob_digests_below(document: &Value) -> impl Iterator<Item = String> {
    blobs_below(document).map(|(digest, _)| digest)
}

fn blobs_below(document: &Value) -> impl Iterator<Item = (String, u64)> {
    digests(&document["layers"]).chain(digest_of(&document["config"]))
}

/// Returns digests and sizes that a list of descriptors names. What is no digest would lead elsewhere.
fn digests(list: &Value) -> impl Iterator<Item = (String, u64)> {
    list.as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(digest_of)
}

fn digest_of(descriptor: &Value) -> Option<(String, u64)> {
    let digest = descriptor["digest"].as_str().filter(|digest| blob::is_digest(digest))?;
    Some((digest.to_owned(), descriptor["size"].as_u64()?))
}

pub(crate) fn failed(reference: &Reference, what: &str, fault: Fault) -> Error {
    Error::Pull {
        reference: reference.to_string(),
        registry: reference.registry().to_owned(),
        source: Box::new(Failure { what: what.to_owned(), fault }),
    }
}
