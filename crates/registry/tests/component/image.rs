//! Images of a few bytes, and how they are pushed in these tests.

use rootstrap_http as http;
use rootstrap_registry::{Blob, Credentials, Error, Event, Manifest, Options, Push, Pushed, Reference};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::error::Error as _;
use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Blobs and manifests, and what to change before they are pushed.
pub struct Image {
    pub blobs: Vec<Blob>,
    pub manifests: Vec<Manifest>,
    pub tags: Vec<String>,
    pub credentials: Credentials,
    pub options: Options,
    pub cancel: AtomicBool,
}

pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", base16ct::lower::encode_string(&Sha256::digest(bytes)))
}

/// A blob in a file that has no name, and whose position is at its end.
pub fn blob_of(bytes: &[u8]) -> Blob {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Blob { digest: digest(bytes), size: bytes.len() as u64, file }
}

fn manifest(media_type: &str, value: &serde_json::Value) -> Manifest {
    let bytes = value.to_string().into_bytes();
    Manifest { media_type: media_type.to_owned(), digest: digest(&bytes), bytes }
}

impl Image {
    /// An index of two images with a layer each, one of them of more than a megabyte and both with an empty one.
    pub fn new() -> Image {
        let mut blobs = Vec::new();
        let mut manifests = Vec::new();
        for (architecture, layer) in [("amd64", vec![b'a'; 1_500_000]), ("arm64", b"small".to_vec())] {
            let config = json!({ "architecture": architecture, "os": "linux", "rootfs": { "type": "layers" } });
            let parts = [blob_of(config.to_string().as_bytes()), blob_of(&layer), blob_of(b"")];
            let describe = |blob: &Blob, kind: &str| {
                let media_type = format!("application/vnd.oci.image.{kind}");
                json!({ "mediaType": media_type, "digest": blob.digest, "size": blob.size })
            };
            let value = json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": describe(&parts[0], "config.v1+json"),
                "layers": [describe(&parts[1], "layer.v1.tar"), describe(&parts[2], "layer.v1.tar")],
            });
            manifests.push((architecture, manifest(MANIFEST, &value)));
            blobs.extend(parts);
        }
        let described = manifests.iter().map(|(architecture, manifest)| {
            json!({
                "mediaType": MANIFEST, "digest": manifest.digest, "size": manifest.bytes.len(),
                "platform": { "os": "linux", "architecture": architecture },
            })
        });
        let value = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": described.collect::<Vec<_>>() });
        let index = manifest(INDEX, &value);
        let manifests = manifests.into_iter().map(|(_, manifest)| manifest).chain([index]).collect();
        let retries = http::Retries { count: 3, first_wait: Duration::from_millis(1), ..http::Retries::default() };
        let http = http::Options { retries, ..http::Options::default() };
        Image {
            blobs,
            manifests,
            tags: Vec::new(),
            credentials: Credentials::Anonymous,
            options: Options { http, ..Options::default() },
            cancel: AtomicBool::new(false),
        }
    }

    /// An image of one manifest and one blob.
    pub fn of(blob: Blob) -> Image {
        let layer = json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": blob.digest });
        let value = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "layers": [layer] });
        Image { blobs: vec![blob], manifests: vec![manifest(MANIFEST, &value)], ..Image::new() }
    }

    /// An image of one manifest and one blob, and a manifest that is about it.
    pub fn attested() -> Image {
        let mut image = Image::of(blob_of(b"z"));
        let [subject] = &image.manifests[..] else { panic!() };
        let subject = json!({ "mediaType": MANIFEST, "digest": subject.digest, "size": subject.bytes.len() });
        let about = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "a/b", "subject": subject });
        let described = |manifest: &Manifest| json!({ "mediaType": MANIFEST, "digest": manifest.digest });
        let about = manifest(MANIFEST, &about);
        let listed = [described(&image.manifests[0]), described(&about)];
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": listed });
        image.manifests.extend([about, manifest(INDEX, &index)]);
        image
    }

    /// The same for a user with a password.
    pub fn by(self, username: &str, password: &str) -> Image {
        let credentials = Credentials::Password { username: username.to_owned(), password: password.to_owned() };
        Image { credentials, ..self }
    }

    /// Without the second attempts.
    pub fn once(mut self) -> Image {
        self.options.http.retries.count = 0;
        self
    }

    pub fn push(&self, reference: &str) -> Result<Pushed, Error> {
        self.watch(reference, &|_| ())
    }

    /// Pushes, and returns the events too.
    pub fn events(&self, reference: &str) -> (Result<Pushed, Error>, Vec<Event>) {
        let events = RefCell::new(Vec::new());
        let result = self.watch(reference, &|event| events.borrow_mut().push(event));
        (result, events.into_inner())
    }

    pub fn watch(&self, reference: &str, report: &dyn Fn(Event)) -> Result<Pushed, Error> {
        let reference: Reference = reference.parse().unwrap();
        let push = Push {
            reference: &reference,
            tags: &self.tags,
            blobs: &self.blobs,
            manifests: &self.manifests,
            credentials: &self.credentials,
            options: self.options.clone(),
            cancel: &self.cancel,
        };
        rootstrap_registry::push(&push, report)
    }
}

/// Bytes that were sent and count.
pub fn bytes(events: &[Event]) -> i64 {
    let bytes = events.iter().map(|event| if let Event::BlobBytes { bytes } = event { *bytes } else { 0 });
    bytes.sum()
}

/// How many attempts failed and were followed by another.
pub fn retries(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Retry { .. })).count()
}

/// An error as a user sees it: the text, its causes, the hint. No way of showing it may show a secret.
pub fn words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}\n{error}");
        cause = error.source();
    }
    if let Some(hint) = error.hint() {
        text = format!("{text}\nhint: {hint}");
    }
    assert!(!format!("{text}{error:?}").contains(SECRET), "{text}\n{error:?}");
    text
}

/// The password of every user here.
pub const SECRET: &str = "hunter2";
