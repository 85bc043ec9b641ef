//! Uploads of blobs and manifests, with as many attempts as they take.

use crate::blob::{self, Blob, ReadEvent};
use crate::error::Fault;
use crate::referrers;
use crate::request::{Event, Manifest, Push};
use crate::response::check_digest;
use crate::session::Session;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use http::{Body, Method, Response, StatusCode, Url};
use rootstrap_http as http;
use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The header by which a registry says that it lists the referrers of this subject itself.
const OCI_SUBJECT: &str = "oci-subject";

/// What became of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Uploaded,
    /// The registry had it already.
    Skipped,
}

/// Calls `attempt` until it succeeds, fails for good, or has failed as often as the options allow.
pub(crate) async fn retry<T>(
    push: &Push<'_>,
    what: &str,
    report: &dyn Fn(Event),
    mut attempt: impl AsyncFnMut() -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut number = 1;
    loop {
        let fault = match attempt().await {
            Err(fault) if fault.is_transient() => fault,
            result => return result,
        };
        let Some(wait) = push.options.http.retries.wait(number, fault.retry_after()) else { return Err(fault) };
        report(Event::Retry { what: what.to_owned(), reason: fault.to_string(), attempt: number, wait });
        tokio::time::sleep(wait).await;
        number += 1;
    }
}

/// Begins an upload and gives it up at once ("Cancel a blob upload"). A registry that cannot give up an upload forgets it later.
pub(crate) async fn try_out(session: &Session<'_>) -> Result<(), Fault> {
    let begun = session.request(Method::POST, session.url("blobs/uploads/")?).await?;
    if !begun.status().is_success() {
        return Err(session.fault(begun).await);
    }
    let url = session.location(&begun)?;
    let _ = session.request(Method::DELETE, url).await;
    Ok(())
}

/// The upload of one blob.
pub(crate) struct BlobUpload<'a> {
    push: &'a Push<'a>,
    session: &'a Session<'a>,
    blob: &'a Blob,
    report: &'a dyn Fn(Event),
    /// How many bytes the current attempt has sent.
    sent: Cell<u64>,
}

impl<'a> BlobUpload<'a> {
    pub fn new(push: &'a Push<'a>, session: &'a Session<'a>, blob: &'a Blob, report: &'a dyn Fn(Event)) -> Self {
        Self { push, session, blob, report, sent: Cell::new(0) }
    }

    /// Uploads the blob, unless the registry has it ("Pushing blobs": POST then PUT).
    ///
    /// Every attempt asks first whether the registry has it: the last attempt may have succeeded although its answer was lost.
    pub async fn run(&self) -> Result<Outcome, Fault> {
        let &Self { session, blob, report, .. } = self;
        if self.is_stored().await? {
            report(Event::BlobSkipped { digest: blob.digest.clone(), size: blob.size });
            return Ok(Outcome::Skipped);
        }
        let begun = session.request(Method::POST, session.url("blobs/uploads/")?).await?;
        if begun.status() != StatusCode::ACCEPTED {
            return Err(match begun.status().is_success() {
                true => Fault::Protocol("does not begin an upload as it should"),
                false => session.fault(begun).await,
            });
        }
        let mut url = session.location(&begun)?;
        // Appended, because the registry has its own parameters in the query.
        url.query_pairs_mut().append_pair("digest", &blob.digest);
        let result = self.put(url).await;
        if result.is_err() {
            self.retract();
        }
        check_digest(&result?, &blob.digest)?;
        report(Event::BlobDone { digest: blob.digest.clone(), size: blob.size });
        Ok(Outcome::Uploaded)
    }

    /// Whether the registry says that it has the blob.
    async fn is_stored(&self) -> Result<bool, Fault> {
        let &Self { session, blob, .. } = self;
        let known = session.request(Method::HEAD, session.url(&format!("blobs/{}", blob.digest))?).await?;
        match known.status() {
            status if status.is_success() => check_digest(&known, &blob.digest).map(|()| true),
            // A user who may write need not be allowed to read.
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED => Ok(false),
            _ => Err(session.fault(known).await),
        }
    }

    /// Sends the content to the address that the registry gave for it.
    async fn put(&self, url: Url) -> Result<Response, Fault> {
        let response =
            self.session.exchange(&Method::PUT, url, async |url, headers| self.send(url, headers).await).await?;
        // 202 Accepted does not say that the blob is stored.
        match response.status() {
            StatusCode::CREATED | StatusCode::OK | StatusCode::NO_CONTENT => Ok(response),
            // The next attempt begins another upload.
            StatusCode::NOT_FOUND => Err(Fault::LostUpload),
            status if status.is_success() => Err(Fault::Protocol("does not end an upload as it should")),
            _ => Err(self.session.fault(response).await),
        }
    }

    /// Sends one request with the content, from its beginning.
    async fn send(&self, url: Url, headers: HeaderMap) -> Result<Response, Fault> {
        let &Self { push, session, blob, .. } = self;
        self.retract();
        let (sender, events) = unbounded_channel();
        let content = Body::wrap_stream(blob::stream(blob, sender)?);
        let client = session.clients.client(&url);
        let request = client.request(Method::PUT, url.clone()).headers(headers);
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        // A stream has no length of its own, and many registries refuse a chunked request.
        let request = request.header(CONTENT_LENGTH, blob.size).body(content);
        let progress = |bytes| {
            self.sent.set(self.sent.get().saturating_add(bytes));
            (self.report)(Event::BlobBytes { bytes: signed(bytes) });
            // Once all of it is sent, the registry has to store it.
            if self.sent.get() < blob.size { session.answer_timeout() } else { push.options.store_timeout }
        };
        let answer = client.send_without_deadline(request);
        match watched(answer, events, session.answer_timeout(), &progress).await {
            Err(Fault::Http(error)) => Err(session.clients.fault(&url, error)),
            outcome => outcome,
        }
    }

    /// Reports that the bytes of the current attempt were sent in vain.
    fn retract(&self) {
        match self.sent.replace(0) {
            0 => (),
            bytes => (self.report)(Event::BlobBytes { bytes: -signed(bytes) }),
        }
    }
}

/// Waits for an answer and watches the reader of the request's content. An upload may take any time as long as it makes progress:
/// `timeout` limits the time without progress, and `progress` returns the next such limit.
async fn watched(
    answer: impl Future<Output = Result<Response, http::Error>>,
    mut events: UnboundedReceiver<ReadEvent>,
    mut timeout: Duration,
    progress: &dyn Fn(u64) -> Duration,
) -> Result<Response, Fault> {
    let mut answer = pin!(answer);
    loop {
        tokio::select! {
            // The reader first: a failure to read the content is the cause of the failed request.
            biased;
            Some(event) = events.recv() => match event {
                ReadEvent::Sent(bytes) => timeout = progress(u64::try_from(bytes).unwrap_or(u64::MAX)),
                ReadEvent::Failed(fault) => return Err(fault),
            },
            answer = &mut answer => return answer.map_err(Fault::Http),
            () = tokio::time::sleep(timeout) => return Err(Fault::Http(http::Error::Stalled(timeout))),
        }
    }
}

/// Puts a manifest under its digest or a tag. If it has a subject, the registry's list of what refers to that subject has it afterwards.
pub(crate) async fn manifest(session: &Session<'_>, manifest: &Manifest, name: &str) -> Result<(), Fault> {
    let response = put_manifest(session, manifest, name).await?;
    match referrers::subject(manifest) {
        Some(subject) if !response.headers().contains_key(OCI_SUBJECT) => refer(session, manifest, &subject).await,
        _ => Ok(()),
    }
}

/// Adds a manifest to the list of what refers to its subject.
async fn refer(session: &Session<'_>, manifest: &Manifest, subject: &str) -> Result<(), Fault> {
    if !blob::is_digest(subject) {
        return Err(Fault::NoDigest);
    }
    let list = referrers::read(session, subject).await?;
    match referrers::with(list.as_deref(), manifest)? {
        Some(list) => put_manifest(session, &list, &referrers::tag(subject)).await.map(drop),
        None => Ok(()),
    }
}

async fn put_manifest(session: &Session<'_>, manifest: &Manifest, name: &str) -> Result<Response, Fault> {
    let send = async |url: Url, headers: HeaderMap| {
        let client = session.clients.client(&url);
        let request = client.request(Method::PUT, url.clone()).headers(headers);
        let request = request.header(CONTENT_TYPE, &manifest.media_type).body(manifest.bytes.clone());
        let response = client.send_within(session.answer_timeout(), request).await;
        response.map_err(|error| session.clients.fault(&url, error))
    };
    let response = session.exchange(&Method::PUT, session.url(&format!("manifests/{name}"))?, send).await?;
    if !response.status().is_success() {
        return Err(session.fault(response).await);
    }
    check_digest(&response, &manifest.digest)?;
    Ok(response)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
