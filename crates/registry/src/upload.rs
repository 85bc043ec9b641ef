//! Blobs and manifests, each brought to the registry in as many attempts as it takes.

use crate::answer::{check_digest, location};
use crate::body::{self, Note};
use crate::error::Fault;
use crate::session::Session;
use crate::{Blob, Event, Manifest, Push, limits};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode, Url};
use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What became of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Uploaded,
    /// The registry had it already.
    Skipped,
}

/// Does `attempt` again and again where that may help, with longer and longer waits between.
pub(crate) async fn persist<T>(
    push: &Push<'_>,
    what: &str,
    report: &dyn Fn(Event),
    mut attempt: impl AsyncFnMut() -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut number = 1;
    loop {
        let fault = match attempt().await {
            Err(fault) if fault.is_transient() && number <= push.options.retries => fault,
            result => return result,
        };
        let wait = push.options.timeouts.backoff.saturating_mul(1 << (number - 1).min(16)).min(limits::LONGEST_WAIT);
        let wait = match &fault {
            Fault::Status { retry_after: Some(asked), .. } => wait.max(*asked),
            _ => wait,
        };
        report(Event::Retry { what: what.to_owned(), reason: fault.to_string(), attempt: number, wait });
        tokio::time::sleep(wait).await;
        number += 1;
    }
}

/// Uploads a blob, unless the registry has it ("Pushing blobs": POST then PUT).
///
/// Every attempt asks first: the last one may have succeeded without our hearing of it.
pub(crate) async fn blob(
    push: &Push<'_>,
    session: &Session<'_>,
    blob: &Blob,
    report: &dyn Fn(Event),
) -> Result<Outcome, Fault> {
    let known = session.ask(Method::HEAD, session.url(&format!("blobs/{}", blob.digest))?).await?;
    match known.status() {
        status if status.is_success() => {
            check_digest(&known, &blob.digest)?;
            report(Event::BlobSkipped { digest: blob.digest.clone(), size: blob.size });
            return Ok(Outcome::Skipped);
        }
        // Who may write need not be allowed to look.
        StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED => (),
        _ => return Err(session.refusal(known).await),
    }
    let begun = session.ask(Method::POST, session.url("blobs/uploads/")?).await?;
    if begun.status() != StatusCode::ACCEPTED {
        return Err(match begun.status().is_success() {
            true => Fault::Protocol("does not begin an upload as it should"),
            false => session.refusal(begun).await,
        });
    }
    let mut url = session.allowed(location(&begun))?;
    // Appended: what is in the query already is the registry's.
    url.query_pairs_mut().append_pair("digest", &blob.digest);
    let sent = Cell::new(0);
    let result = put(push, session, blob, url, &sent, report).await;
    if result.is_err() {
        take_back(&sent, report);
    }
    let stored = result?;
    check_digest(&stored, &blob.digest)?;
    report(Event::BlobDone { digest: blob.digest.clone(), size: blob.size });
    Ok(Outcome::Uploaded)
}

async fn put(
    push: &Push<'_>,
    session: &Session<'_>,
    blob: &Blob,
    url: Url,
    sent: &Cell<u64>,
    report: &dyn Fn(Event),
) -> Result<Response, Fault> {
    let send = async |url: Url, headers: HeaderMap| {
        take_back(sent, report);
        let (notes, heard) = unbounded_channel();
        let content = Body::wrap_stream(body::stream(blob, notes)?);
        let request = session.client.put(url).headers(headers).header(CONTENT_TYPE, "application/octet-stream");
        // Given, since the length of a stream is not known otherwise, and many registries refuse chunks.
        let request = request.header(CONTENT_LENGTH, blob.size).body(content);
        let progress = |bytes| {
            sent.set(sent.get().saturating_add(bytes));
            report(Event::BlobBytes { bytes: signed(bytes) });
            // All of it is on its way: now the registry has to store it.
            if sent.get() < blob.size { session.patience() } else { push.options.timeouts.answer }
        };
        watched(request, heard, session.patience(), &progress).await
    };
    let response = session.converse(url, send).await?;
    // "Accepted" is no promise to keep it.
    match response.status() {
        StatusCode::CREATED | StatusCode::OK | StatusCode::NO_CONTENT => Ok(response),
        // The registry has forgotten the upload; another begins anew.
        StatusCode::NOT_FOUND => Err(Fault::Network("the registry has lost the upload".to_owned())),
        status if status.is_success() => Err(Fault::Protocol("does not end an upload as it should")),
        _ => Err(session.refusal(response).await),
    }
}

/// Sends a request while listening to who reads its content. It may take any time as long as something moves.
async fn watched(
    request: RequestBuilder,
    mut heard: UnboundedReceiver<Note>,
    mut limit: Duration,
    progress: &dyn Fn(u64) -> Duration,
) -> Result<Response, Fault> {
    let mut answer = pin!(request.send());
    loop {
        tokio::select! {
            // What is wrong with the content explains what is wrong with the request.
            biased;
            Some(note) = heard.recv() => match note {
                Note::Sent(bytes) => limit = progress(u64::try_from(bytes).unwrap_or(u64::MAX)),
                Note::Wrong(fault) => return Err(fault),
            },
            answer = &mut answer => return Ok(answer?),
            () = tokio::time::sleep(limit) => return Err(Fault::Stalled(limit.as_secs())),
        }
    }
}

/// Puts a manifest under its digest or a tag.
pub(crate) async fn manifest(session: &Session<'_>, manifest: &Manifest, name: &str) -> Result<(), Fault> {
    let send = async |url: Url, headers: HeaderMap| {
        let request = session.client.put(url).headers(headers).header(CONTENT_TYPE, &manifest.media_type);
        crate::http::within(session.patience(), request.body(manifest.bytes.clone()).send()).await
    };
    let response = session.converse(session.url(&format!("manifests/{name}"))?, send).await?;
    if !response.status().is_success() {
        return Err(session.refusal(response).await);
    }
    check_digest(&response, &manifest.digest)
}

/// Bytes that were sent in vain.
fn take_back(sent: &Cell<u64>, report: &dyn Fn(Event)) {
    match sent.replace(0) {
        0 => (),
        bytes => report(Event::BlobBytes { bytes: -signed(bytes) }),
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
