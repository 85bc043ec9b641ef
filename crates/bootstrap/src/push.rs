//! A finished image into registries.

use crate::event::Report;
use crate::{Error, Event, Request};
use rootstrap_image::oci;
use rootstrap_registry::{Blob, Body, Credentials, Manifest, Options, Proxies, Push, Reference, credentials};
use std::ffi::OsString;

impl Request {
    /// Finds out who pushes, for [`Self::take_credentials`] in another process; both as one secret line. To be called by the
    /// user who asked for it, with a way to look up variables of the environment.
    ///
    /// # Errors
    /// A name is none, or what keeps the credentials does not work.
    pub fn find_credentials(&mut self, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<String, Error> {
        let files = credentials::files(variable);
        let find = |reference: &Reference| credentials::find(reference, &files);
        self.credentials = references(self)?.iter().map(find).collect::<Result<_, _>>()?;
        // Strings in an enum are always JSON.
        Ok(serde_json::to_string(&self.credentials).unwrap_or_default())
    }

    /// Takes over what [`Self::find_credentials`] found in another process.
    ///
    /// # Errors
    /// It is something else.
    pub fn take_credentials(&mut self, secret: &str) -> Result<(), Error> {
        self.credentials = serde_json::from_str(secret).map_err(|_| rootstrap_registry::Error::Handed)?;
        Ok(())
    }
}

/// Where to push.
pub(crate) fn references(request: &Request) -> Result<Vec<Reference>, Error> {
    Ok(request.push.iter().map(|name| name.parse()).collect::<Result<_, _>>()?)
}

/// Brings an image to all registries that were asked for, one after the other. Returns its names there.
pub(crate) fn push(layout: &oci::Layout, request: &Request, report: Report<'_>) -> Result<Vec<String>, Error> {
    let mut done = Vec::new();
    if request.push.is_empty() {
        return Ok(done);
    }
    let body = |blob: &oci::Blob| -> Result<Body, Error> {
        Ok(match &blob.body {
            oci::Body::Bytes(bytes) => Body::Bytes(bytes.clone()),
            oci::Body::File(file) => Body::File(file.try_clone().map_err(Error::io("open", "the layer".as_ref()))?),
        })
    };
    let blob = |blob: &oci::Blob| Ok(Blob { digest: blob.digest.clone(), size: blob.size, body: body(blob)? });
    let blobs: Vec<Blob> = layout.blobs().iter().map(blob).collect::<Result<_, Error>>()?;
    let manifest = |blob: &oci::Blob| match &blob.body {
        oci::Body::Bytes(bytes) => {
            Some(Manifest { media_type: blob.media_type.to_owned(), digest: blob.digest.clone(), bytes: bytes.clone() })
        }
        oci::Body::File(_) => None,
    };
    let manifests: Vec<Manifest> = layout.manifests().iter().filter_map(manifest).collect();
    let proxies = request.host.proxies.clone();
    let proxies = Proxies { http: proxies.http, https: proxies.https, no_proxy: proxies.no_proxy };
    let options = Options { proxies, insecure: request.insecure_registry, ..Options::default() };
    for (number, reference) in references(request)?.iter().enumerate() {
        let push = Push {
            reference,
            tags: &[],
            blobs: &blobs,
            manifests: &manifests,
            credentials: request.credentials.get(number).unwrap_or(&Credentials::Anonymous),
            options: options.clone(),
            cancel: &request.cancel,
        };
        let pushed = rootstrap_registry::push(&push, &|event| say(&event, report))?;
        let (uploaded, skipped) = (pushed.uploaded, pushed.skipped);
        report(Event::Note(format!("{reference}: {uploaded} blobs uploaded, {skipped} were there")));
        done.push(reference.to_string());
    }
    Ok(done)
}

fn say(event: &rootstrap_registry::Event, report: Report<'_>) {
    use rootstrap_registry::Event as Pushing;
    match event {
        Pushing::BlobSkipped { digest, .. } => report(Event::Note(format!("the registry has {digest}"))),
        Pushing::BlobDone { digest, .. } => report(Event::Note(format!("uploaded {digest}"))),
        Pushing::Retry { what, reason, wait, .. } => {
            report(Event::Warning(format!("{what}: {reason}; trying again in {} s", wait.as_secs_f32())));
        }
        _ => {}
    }
}
