//! One image of one platform: its layer, config and manifest, and the statements about it.

use super::documents::{
    ATTESTATION, CONFIG, Config, ConfigFile, Descriptor, EMPTY, MANIFEST, Manifest, PlatformField, STATEMENT, json,
};
use super::{Blob, Body, Layer, Platform};
use std::collections::BTreeMap;

/// An image of one platform.
#[derive(Debug)]
pub struct Image {
    platform: Platform,
    annotations: BTreeMap<String, String>,
    pub(super) layer: Blob,
    pub(super) config: Blob,
    pub(super) manifest: Blob,
    pub(super) attestation: Option<Attestation>,
}

/// The statements about an image.
#[derive(Debug)]
pub(super) struct Attestation {
    pub(super) statements: Vec<Blob>,
    /// The empty document that takes the place of a config.
    pub(super) config: Blob,
    /// The manifest that names the statements and the image.
    pub(super) manifest: Blob,
}

/// An in-toto statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The type of the predicate in the statement.
    pub predicate_type: String,
    /// The statement as JSON.
    pub bytes: Vec<u8>,
}

impl Image {
    /// Creates an image from a packed tree and its config.
    #[must_use]
    pub fn new(platform: Platform, layer: Layer, config: &Config) -> Self {
        let file = ConfigFile::new(&platform, config, &layer.diff_id);
        let file = Blob::of_bytes(CONFIG, json(&file));
        let Layer { media_type, digest, size, file: contents, .. } = layer;
        let layer = Blob { media_type, digest, size, body: Body::File(contents) };
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST,
            artifact_type: None,
            config: file.descriptor(),
            layers: vec![layer.descriptor()],
            subject: None,
            annotations: config.annotations.clone(),
        };
        let manifest = Blob::of_bytes(MANIFEST, json(&manifest));
        let annotations = config.annotations.clone();
        Self { platform, annotations, layer, config: file, manifest, attestation: None }
    }

    /// Returns the digest of the manifest. Statements about the image name it.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.manifest.digest
    }

    /// Returns the digest of the config, which is the image id of Docker and podman.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.config.digest
    }

    pub(super) fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// Adds statements about the image, stored as BuildKit stores them (its `docs/attestations/attestation-storage.md`).
    #[must_use]
    pub fn attest(mut self, statements: Vec<Statement>) -> Self {
        let (mut blobs, mut layers) = (Vec::new(), Vec::new());
        for statement in statements {
            let blob = Blob::of_bytes(STATEMENT, statement.bytes);
            let mut descriptor = blob.descriptor();
            descriptor.annotations.insert("in-toto.io/predicate-type".to_owned(), statement.predicate_type);
            layers.push(descriptor);
            blobs.push(blob);
        }
        let empty = Blob::of_bytes(EMPTY, b"{}".to_vec());
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST,
            artifact_type: Some(ATTESTATION),
            config: empty.descriptor(),
            layers,
            subject: Some(self.manifest.descriptor()),
            annotations: BTreeMap::new(),
        };
        let manifest = Blob::of_bytes(MANIFEST, json(&manifest));
        self.attestation = Some(Attestation { statements: blobs, config: empty, manifest });
        self
    }

    /// Returns the descriptors of the image and of its attestation for an index.
    pub(super) fn descriptors(&self) -> (Descriptor, Option<Descriptor>) {
        let mut image = self.manifest.descriptor();
        image.platform = Some(PlatformField::from(&self.platform));
        let attestation = self.attestation.as_ref().map(|attestation| {
            let mut descriptor = attestation.manifest.descriptor();
            descriptor.platform = Some(PlatformField::UNKNOWN);
            let annotations = [
                ("vnd.docker.reference.type", "attestation-manifest"),
                ("vnd.docker.reference.digest", self.manifest.digest.as_str()),
            ];
            descriptor.annotations.extend(annotations.map(|(key, value)| (key.to_owned(), value.to_owned())));
            descriptor
        });
        (image, attestation)
    }
}
