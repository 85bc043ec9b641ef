//! Puts an image into a registry by the OCI distribution API.
//!
//! Invariant: it uploads the bytes it is handed and nothing else; it never looks at the target tree. No blob is complete
//! in the registry unless its bytes have its digest, and no tag is moved before everything below it is there.
//!
//! Who pushes is found out apart from the push ([`credentials::find`]): the keys are those of the user who started
//! the program, and the push may run as somebody else. Nothing here reads the environment, but for the TLS library,
//! which looks for the machine's certificates where `SSL_CERT_FILE` and `SSL_CERT_DIR` say.
//!
//! To read: `push` below (the order of things), `upload` (attempts), `session` (addresses, redirects and proofs), `auth`,
//! `body` (why a damaged file cannot get in).

mod answer;
mod auth;
mod body;
pub mod credentials;
mod error;
mod http;
mod limits;
mod reference;
mod session;
mod upload;

pub use credentials::Credentials;
pub use error::{CredentialProblem, Error, Failure, Fault};
pub use reference::Reference;

use futures_util::future::{Either, select, try_join_all};
use session::Session;
use std::collections::BTreeSet;
use std::fs::File;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use upload::Outcome;

/// Something that manifests name by its digest: a layer, a configuration.
#[derive(Debug)]
pub struct Blob {
    /// `sha256:` and 64 digits.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// Where it is.
    pub body: Body,
}

/// Where the content of a blob is.
#[derive(Debug)]
pub enum Body {
    /// Here. For small ones: each attempt copies it.
    Bytes(Vec<u8>),
    /// In a file, which may be without a name. It is read from its beginning, wherever its position is, which stays; it
    /// must not change meanwhile.
    File(File),
}

/// What ties blobs, or other manifests, together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What it is: an image's manifest or an index.
    pub media_type: String,
    /// `sha256:` and 64 digits: the digest of `bytes`.
    pub digest: String,
    /// The JSON, as it was hashed.
    pub bytes: Vec<u8>,
}

/// An image, and where to put it.
#[derive(Debug)]
pub struct Push<'a> {
    /// Registry, name and tag.
    pub reference: &'a Reference,
    /// Further tags of the same name.
    pub tags: &'a [String],
    /// What the manifests name, in any order. One that is there twice is uploaded once.
    pub blobs: &'a [Blob],
    /// What is named before what names it; the last gets the tags.
    pub manifests: &'a [Manifest],
    /// Who pushes.
    pub credentials: &'a Credentials,
    /// How to get there.
    pub options: Options,
    /// Set from outside to stop: the push then ends soon with [`Error::Cancelled`].
    pub cancel: &'a AtomicBool,
}

/// How to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Proxies; a registry on this machine is always reached directly.
    pub proxies: Proxies,
    /// Trust the registry whatever its certificate says, and do without encryption where it has none: what docker calls
    /// an insecure registry. One on this machine is always treated so.
    pub insecure: bool,
    /// How many times to try again, after the first attempt at each thing.
    pub retries: u32,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

impl Default for Options {
    fn default() -> Self {
        Self { proxies: Proxies::default(), insecure: false, retries: 3, timeouts: Timeouts::default() }
    }
}

/// Proxies. An empty string is none; a URI without a scheme means `http://`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For registries without encryption.
    pub http: Option<String>,
    /// For all others.
    pub https: Option<String>,
    /// Hosts to reach directly: names with their subdomains, addresses, networks (`10.0.0.0/8`) or `*`, by commas.
    pub no_proxy: Option<String>,
}

/// How long to wait. Nothing limits how long a push takes as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the next byte, in either direction.
    pub stall: Duration,
    /// For a registry to check and store a blob once all of it was sent.
    pub answer: Duration,
    /// Before the second attempt; doubled before each later one. A registry that names a longer wait gets it.
    pub backoff: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(60),
            answer: Duration::from_secs(600),
            backoff: Duration::from_millis(500),
        }
    }
}

/// What happens, as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields say what the variants do not")]
pub enum Event {
    /// Once, before anything is sent: how much there may be to upload.
    Started { blobs: usize, bytes: u64 },
    /// The registry has this blob already.
    BlobSkipped { digest: String, size: u64 },
    /// Bytes of blobs were sent. Negative: so many were sent in vain and will be sent again.
    BlobBytes { bytes: i64 },
    /// The registry has taken this blob.
    BlobDone { digest: String, size: u64 },
    /// The registry has taken this manifest under its digest alone.
    ManifestDone { digest: String },
    /// The tag means this image now.
    Tagged { reference: String, digest: String },
    /// An attempt failed, and there is another after `wait`. Attempts count from 1.
    Retry { what: String, reason: String, attempt: u32, wait: Duration },
}

/// What a push came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of what was tagged.
    pub digest: String,
    /// Blobs that were uploaded.
    pub uploaded: usize,
    /// Their size in bytes.
    pub uploaded_bytes: u64,
    /// Blobs that the registry had.
    pub skipped: usize,
}

/// Brings an image to a registry: first the blobs it has not got, a few at once, then the manifests in their order, and
/// the tags last. Until then nobody can see anything of it.
///
/// Blocks; `report` is called on this thread.
///
/// # Errors
/// [`Error::Push`] names what could not be brought there; see [`Fault`]. Digests are checked before anything is sent, those
/// of blobs while they are read.
pub fn push(push: &Push<'_>, report: &dyn Fn(Event)) -> Result<Pushed, Error> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|source| Error::Threads { source })?;
    let result = runtime.block_on(unless_cancelled(push.cancel, bring(push, report)));
    // A name that is being looked up cannot be called back.
    runtime.shutdown_background();
    result
}

async fn bring(push: &Push<'_>, report: &dyn Fn(Event)) -> Result<Pushed, Error> {
    let reference = push.reference;
    let failed = |what: &str, fault| Error::Push {
        reference: reference.to_string(),
        registry: reference.registry().to_owned(),
        source: Box::new(Failure { what: what.to_owned(), fault }),
    };
    let tags: Vec<Reference> = push.tags.iter().map(|tag| reference.with_tag(tag)).collect::<Result<_, _>>()?;
    check(push).map_err(|(what, fault)| failed(&what, fault))?;
    let Some((image, children)) = push.manifests.split_last() else {
        return Err(failed("image", Fault::NoManifest));
    };
    let mut seen = BTreeSet::new();
    let blobs: Vec<&Blob> = push.blobs.iter().filter(|blob| seen.insert(&blob.digest)).collect();
    report(Event::Started { blobs: blobs.len(), bytes: blobs.iter().map(|blob| blob.size).sum() });

    let ways = Session::ways(push)?;
    let greeted = upload::persist(push, reference.registry(), report, async || greet(&ways).await).await;
    let session = greeted.map_err(|fault| failed(reference.registry(), fault))?;

    let places = Semaphore::new(limits::UPLOADS);
    let outcomes = try_join_all(blobs.iter().map(async |blob| {
        // Nobody closes it.
        let _place = places.acquire().await;
        let what = format!("blob {}", blob.digest);
        let attempt = async || upload::blob(push, session, blob, report).await;
        upload::persist(push, &what, report, attempt).await.map_err(|fault| failed(&what, fault))
    }));
    let outcomes = outcomes.await?;

    let put = async |manifest: &Manifest, what: &str, name: &str| {
        let attempt = async || upload::manifest(session, manifest, name).await;
        upload::persist(push, what, report, attempt).await.map_err(|fault| failed(what, fault))
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

/// Whether everything can be what it is said to be, as far as that can be known without reading blobs.
fn check(push: &Push<'_>) -> Result<(), (String, Fault)> {
    for blob in push.blobs {
        if !body::is_digest(&blob.digest) {
            return Err((format!("blob {}", blob.digest), Fault::NoDigest));
        }
    }
    for manifest in push.manifests {
        let got = body::digest(&manifest.bytes);
        if got != manifest.digest {
            return Err((format!("manifest {}", manifest.digest), Fault::Damaged(got)));
        }
    }
    Ok(())
}

/// The first way on which somebody answers; why not, of the last.
async fn greet<'a, 'b>(ways: &'b [Session<'a>]) -> Result<&'b Session<'a>, Fault> {
    let mut outcome = Err(Fault::Protocol("has no address"));
    for way in ways {
        outcome = way.greet().await.map(|()| way);
        match outcome {
            Err(Fault::Unreachable(_) | Fault::NotTls | Fault::Certificate(_) | Fault::Network(_)) => (),
            _ => break,
        }
    }
    outcome
}

/// Runs `work` until it is done or the flag is set.
async fn unless_cancelled<T>(cancel: &AtomicBool, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    // A flag cannot wake anybody: look often enough that a user does not notice.
    let cancelled = async {
        while !cancel.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match select(pin!(cancelled), pin!(work)).await {
        Either::Left(_) => Err(Error::Cancelled),
        Either::Right((outcome, _)) => outcome,
    }
}
