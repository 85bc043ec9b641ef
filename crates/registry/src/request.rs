//! What to push, and how.

use crate::blob::Blob;
use crate::credentials::Credentials;
use crate::reference::Reference;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A document that names blobs, or other manifests, by their digests.
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
    /// The blobs that the manifests name, in any order. A blob that is listed twice is uploaded once.
    pub blobs: &'a [Blob],
    /// The manifests. Each stands behind those that it names; the last one gets the tags.
    pub manifests: &'a [Manifest],
    /// Who pushes.
    pub credentials: &'a Credentials,
    /// How to push.
    pub options: Options,
    /// Set from outside to stop: the push then ends soon with [`crate::Error::Cancelled`].
    pub cancel: &'a AtomicBool,
}

/// How to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How to speak HTTP. A registry on this machine is always reached without a proxy. The number of connections is
    /// this crate's own.
    pub http: rootstrap_http::Options,
    /// Trust the registry whatever its certificate says, and do without encryption where it has none: what docker calls
    /// an insecure registry. One on this machine is always treated so. Other origins that the registry names are not.
    pub insecure: bool,
    /// How long the registry may take to check and store a blob once all of it was sent.
    pub store_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { http: rootstrap_http::Options::default(), insecure: false, store_timeout: Duration::from_secs(600) }
    }
}

impl Options {
    /// How long the registry may take to answer a request, and how long an upload may stand still. A registry often
    /// asks its own storage first, so it gets one `stall` more than other servers.
    pub(crate) fn answer_timeout(&self) -> Duration {
        self.http.timeouts.head().saturating_add(self.http.timeouts.stall)
    }
}

/// The result of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of the manifest that got the tags.
    pub digest: String,
    /// How many blobs were uploaded.
    pub uploaded: usize,
    /// Their size in bytes.
    pub uploaded_bytes: u64,
    /// How many blobs the registry had already.
    pub skipped: usize,
}

/// What happens, as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields say what the variants do not")]
pub enum Event {
    /// Sent once, before anything is uploaded: how much there may be to upload.
    Started { blobs: usize, bytes: u64 },
    /// The registry has this blob already.
    BlobSkipped { digest: String, size: u64 },
    /// Bytes of blobs were sent. A negative number says how many were sent in vain and will be sent again.
    BlobBytes { bytes: i64 },
    /// The registry has stored this blob.
    BlobDone { digest: String, size: u64 },
    /// The registry has stored this manifest under its digest alone.
    ManifestDone { digest: String },
    /// The tag now means this image.
    Tagged { reference: String, digest: String },
    /// An attempt failed, and the next one follows after `wait`. Attempts count from 1.
    Retry { what: String, reason: String, attempt: u32, wait: Duration },
}
