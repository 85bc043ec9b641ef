//! The last step of a run: everything gets its place, and nothing gets a name before everything is written.

use crate::error::Error;
use crate::event::Report;
use crate::publish::product::{FinishedRoot, Prepared, Product};
use crate::publish::{mtree, push};
use crate::request::{Machine, Output, Target};
use rootstrap_image::oci::{Image, Layout, Name};
use std::fs::File;

/// What a run has made.
pub(crate) struct Publication<'a> {
    /// The container images, one for each platform.
    pub images: Vec<Image>,
    /// The names of the image.
    pub names: &'a [Name],
    /// The root, where the target is one.
    pub root: Option<FinishedRoot<'a>>,
    /// The time of the entries of an image's archive.
    pub epoch: i64,
}

/// What the summary says of a publication.
#[derive(Default)]
pub(crate) struct Published {
    pub image: Option<String>,
    pub digest: Option<String>,
    pub archive_bytes: Option<u64>,
    /// The archive that was written, where the target is one.
    pub archive: Option<File>,
    pub pushed: Vec<String>,
    pub limits: Vec<String>,
}

/// Puts everything where it was asked for. Registries come after the target is written and before it gets its name, so that a failure up
/// to then leaves no trace.
pub(crate) fn publish(
    publication: Publication<'_>,
    output: &Output,
    machine: &Machine,
    report: Report<'_>,
) -> Result<Published, Error> {
    let Publication { images, names, root, epoch } = publication;
    let image = images.first().map(|image| image.id().to_owned());
    let layout = (!images.is_empty()).then(|| Layout::new(images, names));
    let digest = layout.as_ref().map(|layout| layout.digest().to_owned());
    let mut published = Published { image, digest, ..Published::default() };
    let product = match (&layout, root) {
        (_, Some(finished)) => Some(Product::Root(finished)),
        (Some(layout), None) => Some(Product::Image(layout, epoch)),
        (None, None) => None,
    };
    let manifest = match (&output.target, &product) {
        (Target::Directory(path), Some(Product::Root(finished))) => {
            mtree::extract(finished.root)?.map(|text| (path, text))
        }
        _ => None,
    };
    let prepared = match &product {
        Some(product) => product.prepare(output, machine, report)?,
        None => Prepared::Nothing,
    };
    if let Some(layout) = &layout {
        published.pushed = push::push(layout, &output.push, machine, report)?;
    }
    let manifest = manifest.map(|(path, text)| mtree::write(path, &text, machine)).transpose()?;
    if let Some(manifest) = &manifest {
        published.limits.push(manifest.sentence());
    }
    if let Some(product) = &product {
        let done = product.publish(prepared, output, machine, report);
        let done = done.inspect_err(|_| manifest.iter().for_each(mtree::Manifest::remove))?;
        (published.archive_bytes, published.archive) = (done.bytes, done.file);
    }
    manifest.iter().for_each(mtree::Manifest::keep);
    Ok(published)
}
