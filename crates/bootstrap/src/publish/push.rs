//! A finished image into registries.

use crate::error::Error;
use crate::event::{Event, Report};
use crate::request::{Machine, Push};
use rootstrap_image::oci;
use rootstrap_registry::{Blob, Credentials, Manifest, Options};
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::io::{self, Write};

/// Pushes an image to all registries that were asked for, one after the other. Returns its names there.
pub(crate) fn push(
    layout: &oci::Layout,
    push: &Push,
    machine: &Machine,
    report: Report<'_>,
) -> Result<Vec<String>, Error> {
    let mut done = Vec::new();
    if push.names.is_empty() {
        return Ok(done);
    }
    let blob = |blob: &oci::Blob| {
        let file = file(blob).map_err(Error::io("open", "a part of the image".as_ref()))?;
        Ok(Blob { digest: blob.digest.clone(), size: blob.size, file })
    };
    let blobs: Vec<Blob> = layout.blobs().iter().map(blob).collect::<Result<_, Error>>()?;
    let manifest = |blob: &oci::Blob| match &blob.body {
        oci::Body::Bytes(bytes) => {
            Some(Manifest { media_type: blob.media_type.to_owned(), digest: blob.digest.clone(), bytes: bytes.clone() })
        }
        oci::Body::File(_) => None,
    };
    let manifests: Vec<Manifest> = layout.manifests().iter().filter_map(manifest).collect();
    let options = options(push, machine);
    for (number, reference) in push.references()?.iter().enumerate() {
        let request = rootstrap_registry::Push {
            reference,
            tags: &push.tags,
            blobs: &blobs,
            manifests: &manifests,
            credentials: push.credentials.get(number).unwrap_or(&Credentials::Anonymous),
            options: options.clone(),
            cancel: &machine.cancel,
        };
        let pushed = rootstrap_registry::push(&request, &|event| report_event(&event, report))?;
        let (uploaded, skipped) = (pushed.uploaded, pushed.skipped);
        report(Event::Note(format!("{reference}: {uploaded} blobs uploaded, {skipped} were there already")));
        done.push(reference.to_string());
    }
    Ok(done)
}

/// Finds out whether the registries take images from this user.
pub(crate) fn check(push: &Push, machine: &Machine, report: Report<'_>) -> Result<(), Error> {
    for (number, reference) in push.references()?.iter().enumerate() {
        let request = rootstrap_registry::Push {
            reference,
            tags: &push.tags,
            blobs: &[],
            manifests: &[],
            credentials: push.credentials.get(number).unwrap_or(&Credentials::Anonymous),
            options: options(push, machine),
            cancel: &machine.cancel,
        };
        rootstrap_registry::check(&request, &|event| report_event(&event, report))?;
    }
    Ok(())
}

/// Returns how registries are spoken to.
pub(crate) fn options(push: &Push, machine: &Machine) -> Options {
    Options { http: machine.network.clone(), insecure: push.insecure, ..Options::default() }
}

/// Returns a file with the content of a blob: small blobs are in memory, and get a file there.
fn file(blob: &oci::Blob) -> io::Result<File> {
    match &blob.body {
        oci::Body::File(file) => file.try_clone(),
        oci::Body::Bytes(bytes) => {
            let mut file = File::from(rustix::fs::memfd_create("blob", MemfdFlags::CLOEXEC)?);
            file.write_all(bytes)?;
            Ok(file)
        }
    }
}

pub(crate) fn report_event(event: &rootstrap_registry::Event, report: Report<'_>) {
    use rootstrap_registry::Event as RegistryEvent;
    match event {
        RegistryEvent::BlobSkipped { digest, .. } => report(Event::Note(format!("the registry has {digest}"))),
        RegistryEvent::BlobDone { digest, .. } => report(Event::Note(format!("uploaded {digest}"))),
        RegistryEvent::Retry { what, reason, wait, .. } => {
            report(Event::Warning(format!("{what}: {reason}; trying again in {} s", wait.as_secs_f32())));
        }
        _ => {}
    }
}
