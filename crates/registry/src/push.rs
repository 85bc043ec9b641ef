//! The order of a push: blobs, manifests, tags.

use crate::blob::{self, Blob};
use crate::error::{Error, Failure, Fault};
use crate::limits;
use crate::reference::Reference;
use crate::request::{Event, Manifest, Push, Pushed};
use crate::session::Session;
use crate::upload::{self, BlobUpload, Outcome};
use futures_util::future::try_join_all;
use rootstrap_http as http;
use std::collections::BTreeSet;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;

/// Brings an image to a registry: first the blobs that it lacks, a few at once, then the manifests in their order, and
/// the tags last. Nobody can see any of it before the first tag is set.
///
/// Blocks; `report` is called on this thread.
///
/// # Errors
/// [`Error::Push`] names what could not be brought there; see [`Fault`]. The digests of manifests are checked before
/// anything is sent, those of blobs while they are read.
pub fn push(push: &Push<'_>, report: &dyn Fn(Event)) -> Result<Pushed, Error> {
    block_on(push, push_all(push, report))
}

/// Finds out whether the registry would take an image from this user, before there is one: it begins an upload and gives it up. The
/// fields of `push` that say what is pushed are ignored.
///
/// Blocks; `report` is called on this thread.
///
/// # Errors
/// [`Error::Push`]: there is no registry, or it refuses the user.
pub fn check(push: &Push<'_>, report: &dyn Fn(Event)) -> Result<(), Error> {
    let asked = async {
        let reference = push.reference;
        let endpoints = Session::endpoints(push)?;
        let attempt = async || upload::try_out(first_usable(&endpoints).await?).await;
        let outcome = upload::retry(push, reference.registry(), report, attempt).await;
        outcome.map_err(|fault| failed(reference, reference.registry(), fault))
    };
    block_on(push, asked)
}

/// Waits for the end of a task, or until the push is called off.
fn block_on<T>(push: &Push<'_>, task: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|source| Error::Threads { source })?;
    let result = runtime.block_on(http::unless_cancelled(push.cancel, task));
    // What still runs in the background is not waited for.
    runtime.shutdown_background();
    result.unwrap_or(Err(Error::Cancelled))
}

async fn push_all(push: &Push<'_>, report: &dyn Fn(Event)) -> Result<Pushed, Error> {
    let reference = push.reference;
    let tags: Vec<Reference> = push.tags.iter().map(|tag| reference.with_tag(tag)).collect::<Result<_, _>>()?;
    check_digests(push).map_err(|(what, fault)| failed(reference, &what, fault))?;
    let Some((image, children)) = push.manifests.split_last() else {
        return Err(failed(reference, "image", Fault::NoManifest));
    };
    let mut seen = BTreeSet::new();
    let blobs: Vec<&Blob> = push.blobs.iter().filter(|blob| seen.insert(&blob.digest)).collect();
    report(Event::Started { blobs: blobs.len(), bytes: blobs.iter().map(|blob| blob.size).sum() });

    let endpoints = Session::endpoints(push)?;
    let connected = upload::retry(push, reference.registry(), report, async || first_usable(&endpoints).await).await;
    let session = connected.map_err(|fault| failed(reference, reference.registry(), fault))?;

    let outcomes = upload_all(push, session, &blobs, report).await?;
    let put = async |manifest: &Manifest, what: &str, name: &str| {
        let attempt = async || upload::manifest(session, manifest, name).await;
        upload::retry(push, what, report, attempt).await.map_err(|fault| failed(reference, what, fault))
    };
    for child in children {
        put(child, &format!("manifest {}", child.digest), &child.digest).await?;
        report(Event::ManifestDone { digest: child.digest.clone() });
    }
    for tagged in tags.iter().chain([reference]) {
        put(image, &format!("tag {}", tagged.tag()), tagged.tag()).await?;
        report(Event::Tagged { reference: tagged.to_string(), digest: image.digest.clone() });
    }

    let uploaded = || blobs.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Uploaded);
    Ok(Pushed {
        digest: image.digest.clone(),
        uploaded: uploaded().count(),
        uploaded_bytes: uploaded().map(|(blob, _)| blob.size).sum(),
        skipped: blobs.len() - uploaded().count(),
    })
}

/// Uploads the blobs that the registry lacks, and says of each whether it was uploaded.
async fn upload_all(
    push: &Push<'_>,
    session: &Session<'_>,
    blobs: &[&Blob],
    report: &dyn Fn(Event),
) -> Result<Vec<Outcome>, Error> {
    let slots = Semaphore::new(limits::UPLOADS);
    try_join_all(blobs.iter().map(async |blob| {
        // This fails only when the semaphore is closed, and nothing closes it.
        let _slot = slots.acquire().await;
        let what = format!("blob {}", blob.digest);
        let upload = BlobUpload::new(push, session, blob, report);
        let attempt = async || upload.run().await;
        upload::retry(push, &what, report, attempt).await.map_err(|fault| failed(push.reference, &what, fault))
    }))
    .await
}

fn failed(reference: &Reference, what: &str, fault: Fault) -> Error {
    Error::Push {
        reference: reference.to_string(),
        registry: reference.registry().to_owned(),
        source: Box::new(Failure { what: what.to_owned(), fault }),
    }
}

/// Checks the digests, as far as that is possible without reading blobs.
fn check_digests(push: &Push<'_>) -> Result<(), (String, Fault)> {
    for blob in push.blobs {
        if !blob::is_digest(&blob.digest) {
            return Err((format!("blob {}", blob.digest), Fault::NoDigest));
        }
    }
    for manifest in push.manifests {
        let got = blob::digest(&manifest.bytes);
        if got != manifest.digest {
            return Err((format!("manifest {}", manifest.digest), Fault::Damaged(got)));
        }
    }
    Ok(())
}

/// The first endpoint where a registry answers. If there is none, the error is that of the last endpoint.
pub(crate) async fn first_usable<'a, 'b>(endpoints: &'b [Session<'a>]) -> Result<&'b Session<'a>, Fault> {
    let mut outcome = Err(Fault::Protocol("has no address"));
    for endpoint in endpoints {
        outcome = endpoint.ping().await.map(|()| endpoint);
        let try_next = match &outcome {
            Err(Fault::Http(error)) => error.is_connection() || matches!(error, http::Error::Network(_)),
            _ => false,
        };
        if !try_next {
            break;
        }
    }
    outcome
}
