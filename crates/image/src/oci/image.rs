//! One image of one platform: its layer, config and manifest, and what is attested of it.

use super::documents::{
    ATTESTATION, CONFIG, Config, ConfigFile, Descriptor, EMPTY, MANIFEST, Manifest, PlatformOf, STATEMENT, json,
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
    /// The statements about it, the document they have for a config, and the manifest that binds them.
    pub(super) attestation: Option<(Vec<Blob>, Blob, Blob)>,
}

/// An in-toto statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Of the predicate in it.
    pub predicate_type: String,
    /// The JSON.
    pub bytes: Vec<u8>,
}

impl Image {
    /// Binds a packed tree and what is said of it.
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

    /// The digest of its manifest, which statements about it name.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.manifest.digest
    }

    /// The digest of its config: the image id of Docker and podman.
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
        self.attestation = Some((blobs, empty, Blob::of_bytes(MANIFEST, json(&manifest))));
        self
    }

    /// What an index says of it, and of what is attested.
    pub(super) fn descriptors(&self) -> (Descriptor, Option<Descriptor>) {
        let mut image = self.manifest.descriptor();
        image.platform = Some(PlatformOf::from(&self.platform));
        let attestation = self.attestation.as_ref().map(|(.., manifest)| {
            let mut descriptor = manifest.descriptor();
            descriptor.platform = Some(PlatformOf::UNKNOWN);
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
