//! What registries have already.

use crate::error::Error;
use crate::event::Report;
use crate::publish::push::{options, report_event};
use crate::request::{Machine, Push};
use rootstrap_lock::Lock;
use rootstrap_registry::{Credentials, Manifest, Reference};
use rootstrap_sbom::LOCK_TYPE;
use serde_json::Value;

/// Returns the tag of an image made of these inputs.
pub(crate) fn tag_of_inputs(inputs: &str) -> String {
    format!("in-{inputs}")
}

/// Returns the digest of the image that all registries of `push` have under the tag of its inputs, if all of them have it whole, and its
/// annotation with this name says that it is made of them. With `move_names`, the names of `push` are then moved to it where they mean
/// another one.
///
/// # Errors
/// A registry cannot be asked, or does not let the name be moved.
pub(crate) fn find_image(
    push: &Push,
    (annotation, inputs): (&str, &str),
    move_names: bool,
    machine: &Machine,
    report: Report<'_>,
) -> Result<Option<String>, Error> {
    let tag = tag_of_inputs(inputs);
    let references = push.references()?;
    let mut found: Vec<Manifest> = Vec::new();
    for (number, reference) in references.iter().enumerate() {
        let asked = reference.with_tag(&tag)?;
        let Some(manifest) = find(push, (number, &asked), true, machine, report)? else { return Ok(None) };
        let document: Value = serde_json::from_slice(&manifest.bytes).unwrap_or_default();
        // Somebody may have moved the tag.
        if document["annotations"][annotation] != inputs {
            return Ok(None);
        }
        found.push(manifest);
    }
    let Some(digest) = found.first().map(|manifest| manifest.digest.clone()) else { return Ok(None) };
    if found.iter().any(|manifest| manifest.digest != digest) {
        return Ok(None);
    }
    if !move_names {
        return Ok(Some(digest));
    }
    for (number, (reference, manifest)) in references.iter().zip(&found).enumerate() {
        let known = find(push, (number, reference), false, machine, report)?;
        if known.is_none_or(|known| known.digest != digest) {
            let request = rootstrap_registry::Push {
                manifests: std::slice::from_ref(manifest),
                ..request(push, (number, reference), machine)
            };
            rootstrap_registry::push(&request, &|event| report_event(&event, report))?;
        }
    }
    Ok(Some(digest))
}

/// Returns the locks that the image under the first name of `push` carries, one for each platform. Returns none where there is no image, or
/// one without them.
///
/// # Errors
/// The registry cannot be asked.
pub(crate) fn locks_inside(push: &Push, machine: &Machine, report: Report<'_>) -> Result<Vec<Lock>, Error> {
    let references = push.references()?;
    let Some(reference) = references.first() else { return Ok(Vec::new()) };
    let request = request(push, (0, reference), machine);
    let statements = rootstrap_registry::statements(&request, LOCK_TYPE, &|event| report_event(&event, report))?;
    let lock = |statement: &Value| Lock::parse(statement["predicate"]["lock"].as_str()?).ok();
    Ok(statements.iter().filter_map(lock).collect())
}

fn find(
    push: &Push,
    asked: (usize, &Reference),
    whole: bool,
    machine: &Machine,
    report: Report<'_>,
) -> Result<Option<Manifest>, Error> {
    let request = request(push, asked, machine);
    Ok(rootstrap_registry::find(&request, whole, &|event| report_event(&event, report))?)
}

fn request<'p>(
    push: &'p Push,
    (number, reference): (usize, &'p Reference),
    machine: &'p Machine,
) -> rootstrap_registry::Push<'p> {
    rootstrap_registry::Push {
        reference,
        tags: &[],
        blobs: &[],
        manifests: &[],
        credentials: push.credentials.get(number).unwrap_or(&Credentials::Anonymous),
        options: options(push, machine),
        cancel: &machine.cancel,
    }
}
