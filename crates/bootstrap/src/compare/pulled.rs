//! Images in registries: fetched into a layout, which is then read as any other.

use crate::error::Error;
use crate::event::{Event, Report};
use crate::request::{Machine, Push};
use crate::staging::hidden::HiddenDirectory;
use rootstrap_registry::{Credentials, Options};
use std::fs::File;
use std::path::{Path, PathBuf};

/// What an image in a registry begins with, as skopeo has it.
const SCHEME: &str = "docker://";

/// What is between the name of an image and its digest, with the beginning of the digest.
const DIGEST: &str = "@sha256:";

/// Returns the name of an image in a registry without its digest, if that is what is meant.
#[must_use]
pub fn registry_name(path: &Path) -> Option<&str> {
    let text = path.to_str()?.strip_prefix(SCHEME)?;
    Some(text.split_once(DIGEST).map_or(text, |(name, _)| name))
}

/// Returns the digest that the name of an image in a registry ends with.
fn registry_digest(path: &Path) -> Option<&str> {
    let text = path.to_str()?.strip_prefix(SCHEME)?;
    text.find(DIGEST).and_then(|at| text.get(at + 1..))
}

/// Fetches the image at `path`, whose name `push` has, into the directory `place`, and returns where it is.
pub(crate) fn pull(
    path: &Path,
    push: &Push,
    place: &HiddenDirectory,
    machine: &Machine,
    report: Report<'_>,
) -> Result<PathBuf, Error> {
    let layout = place.path().join("image");
    let blobs = layout.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).map_err(Error::io("create", &blobs))?;
    let references = push.references()?;
    let reference = references.first().ok_or(Error::Cancelled)?;
    let options = Options { http: machine.network.clone(), insecure: push.insecure, ..Options::default() };
    let request = rootstrap_registry::Push {
        reference,
        tags: &[],
        blobs: &[],
        manifests: &[],
        credentials: push.credentials.first().unwrap_or(&Credentials::Anonymous),
        options,
        cancel: &machine.cancel,
    };
    let mut create = |digest: &str| {
        let name = digest.strip_prefix("sha256:").unwrap_or_default();
        File::options().read(true).write(true).create(true).truncate(true).open(blobs.join(name))
    };
    let (digest, size) = rootstrap_registry::pull(&request, registry_digest(path), &mut create, &|event| {
        if let rootstrap_registry::Event::Retry { what, reason, wait, .. } = event {
            report(Event::Warning(format!("{what}: {reason}; trying again in {} s", wait.as_secs_f32())));
        }
    })?;
    report(Event::Note(format!("fetched {reference}, which is {digest}")));
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [{ "digest": digest, "size": size }] });
    for (name, text) in
        [("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#.to_owned()), ("index.json", index.to_string())]
    {
        let path = layout.join(name);
        std::fs::write(&path, text).map_err(Error::io("write", &path))?;
    }
    Ok(layout)
}
