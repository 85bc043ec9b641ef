//! The JSON documents of an image. The fields are always in the order of the structs.

use super::Platform;
use serde::Serialize;
use std::collections::BTreeMap;

pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(super) const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(super) const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub(super) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub(super) const STATEMENT: &str = "application/vnd.in-toto+json";
pub(super) const ATTESTATION: &str = "application/vnd.docker.attestation.manifest.v1+json";

/// The default settings of the containers of an image, and the labels and annotations of the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The time of creation in the format of RFC 3339.
    pub created: String,
    /// The command that created the image, for its history.
    pub created_by: String,
    /// The program and its first arguments (`Entrypoint`).
    pub entrypoint: Vec<String>,
    /// The arguments after those of the entrypoint. Without an entrypoint, the program and its arguments (`Cmd`).
    pub cmd: Vec<String>,
    /// The environment variables, as `NAME=value`.
    pub env: Vec<String>,
    /// The user that runs the program: a name or number, optionally with a colon and a group.
    pub user: String,
    /// The working directory.
    pub workdir: String,
    /// The labels. Images that are built from this one inherit them.
    pub labels: BTreeMap<String, String>,
    /// The annotations in the manifest. Other images do not inherit them.
    pub annotations: BTreeMap<String, String>,
}

/// The config file. Its digest is the id of the image.
#[derive(Serialize)]
pub(super) struct ConfigFile<'c> {
    architecture: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'c str>,
    os: &'c str,
    created: &'c str,
    config: Execution<'c>,
    rootfs: Rootfs<'c>,
    history: [History<'c>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Execution<'c> {
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'c str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    env: &'c [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    entrypoint: &'c [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    cmd: &'c [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    working_dir: &'c str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'c BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Rootfs<'c> {
    r#type: &'c str,
    diff_ids: [&'c str; 1],
}

#[derive(Serialize)]
struct History<'c> {
    created: &'c str,
    created_by: &'c str,
}

impl<'c> ConfigFile<'c> {
    pub fn new(platform: &'c Platform, config: &'c Config, diff_id: &'c str) -> Self {
        Self {
            architecture: platform.architecture,
            variant: platform.variant,
            os: "linux",
            created: &config.created,
            config: Execution {
                user: &config.user,
                env: &config.env,
                entrypoint: &config.entrypoint,
                cmd: &config.cmd,
                working_dir: &config.workdir,
                labels: &config.labels,
            },
            rootfs: Rootfs { r#type: "layers", diff_ids: [diff_id] },
            history: [History { created: &config.created, created_by: &config.created_by }],
        }
    }
}

/// A descriptor, by which one document names another.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    media_type: &'static str,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformField>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct PlatformField {
    architecture: &'static str,
    os: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'static str>,
}

impl PlatformField {
    /// The platform of a manifest that no machine can run.
    pub const UNKNOWN: Self = Self { architecture: "unknown", os: "unknown", variant: None };
}

impl From<&Platform> for PlatformField {
    fn from(platform: &Platform) -> Self {
        Self { architecture: platform.architecture, os: "linux", variant: platform.variant }
    }
}

impl Descriptor {
    pub fn new(media_type: &'static str, digest: &str, size: u64) -> Self {
        Self { media_type, digest: digest.to_owned(), size, platform: None, annotations: BTreeMap::new() }
    }
}

/// The manifest of an image, or of the statements about an image.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest<'m> {
    pub schema_version: u8,
    pub media_type: &'m str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<&'m str>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An index of manifests, from which readers choose by platform.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index<'i> {
    pub schema_version: u8,
    pub media_type: &'i str,
    pub manifests: Vec<Descriptor>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An image in the `manifest.json` of a docker-archive (docker image-spec v1.2, "Combined Image JSON + Filesystem Changeset
/// Format").
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    pub config: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repo_tags: Vec<String>,
    pub layers: Vec<String>,
}

/// Returns `document` as JSON. This cannot fail: the documents have only strings, numbers and maps with strings as keys.
pub(super) fn json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}
