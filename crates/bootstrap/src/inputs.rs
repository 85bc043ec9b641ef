//! The digest of all that decides an image: two builds with one digest make the same image, up to its dates.

use crate::compare::annotation;
use crate::error::Error;
use crate::event::Report;
use crate::outdated::{Update, updates};
use crate::publish::archive_cache::{add_compression, add_container};
use crate::publish::{self, options};
use crate::request::{Customization, Output, Purpose, Request};
use crate::transfer::hook_files;
use rootstrap_cache::KeyBuilder;
use rootstrap_lock::Lock;
use std::os::unix::ffi::OsStrExt;

/// The annotation of an image's manifest that has the digest of its inputs.
const INPUTS: &str = "org.rootstrap.inputs";

/// The number of the recipe. It is raised whenever the same inputs give another image, so that all images are built again: together with the
/// digests in `golden_tests.rs` of `image`, and with every change of what is put into a tree.
const RECIPE: u32 = 1;

/// Returns the digest of what decides the image that `request` makes of the packages in `lock`: 64 hexadecimal digits. When the Release
/// files were signed, the names of the image and the machine are no part of it. The files that are copied into the root are read.
///
/// # Errors
/// A file of the host cannot be read.
pub fn inputs(request: &Request, lock: &Lock) -> Result<String, Error> {
    // The program is no part of it: images are made again for another recipe, and not for each new version.
    let mut key = KeyBuilder::new("inputs", &[0; 32]);
    key.number("recipe", RECIPE);
    key.list("options", options::options(request)?, |key, (name, value)| key.text("name", &name).text("value", &value));
    let Customization { slim: _, copies, archives: _, settings: _, hooks, hook_network: _, script_timeout: _ } =
        &request.customization;
    // A file keeps its name in a directory.
    key.list("copied", copies, |key, copy| key.bytes("name", copy.from.file_name().unwrap_or_default().as_bytes()));
    for hook in hooks {
        key.texts("hook-files", hook_files::digests(hook)?);
    }
    let Output {
        target,
        into_nonempty: _,
        // It decides no image.
        filesystem: _,
        purpose,
        container,
        attest,
        sboms: _,
        downloads: _,
        push: _,
        further_platforms,
        epoch,
    } = &request.output;
    key.flag("image", *purpose == Purpose::BaseImage).flag("attest", *attest).texts("platforms", further_platforms);
    // The result has this date, if it is given. Otherwise its date is that of the archive when it changed.
    key.optional("epoch", *epoch, |key, epoch| key.number("epoch", epoch));
    if let Some(compression) = request.output.layer_compression() {
        add_compression(&mut key, compression);
    }
    let mut container = container.clone();
    container.annotations.remove(INPUTS);
    if target.path().is_none() {
        // A file has its names inside. In a registry they are apart from the image.
        container.tags.clear();
    }
    add_container(&mut key, &container);
    key.text("lock", &lock.undated().to_text());
    Ok(key.finish().to_string())
}

/// Returns the digest of the image that `request` makes, if it is wherever the request puts it, made of these inputs: in all registries, and
/// in the file or directory of an image. With `move_names`, names in registries are moved to it where they mean another image.
///
/// # Errors
/// A registry cannot be asked, or does not let a name be moved.
pub fn find_image(
    request: &Request,
    inputs: &str,
    move_names: bool,
    report: Report<'_>,
) -> Result<Option<String>, Error> {
    let Request { output, machine, .. } = request;
    // What is written beside the image is to be there, too.
    let beside = request.platforms().into_iter().flat_map(|request| request.output.sboms);
    if !beside.chain(output.downloads.iter().map(|download| download.to.clone())).all(|path| path.exists()) {
        return Ok(None);
    }
    let mut digest = None;
    if let Some(path) = output.target.path() {
        let of_image = output.target.layer().and_then(|_| annotation(path, INPUTS, &machine.cancel));
        match of_image {
            Some((found, of_target)) if found == inputs => digest = Some(of_target),
            _ => return Ok(None),
        }
    }
    if !output.push.names.is_empty() {
        let Some(pushed) = publish::find_image(&output.push, (INPUTS, inputs), move_names, machine, report)? else {
            return Ok(None);
        };
        digest = Some(pushed);
    }
    Ok(digest)
}

/// Says in an image what it is made of, and in the registries that it is pushed to.
pub fn name_inputs(request: &mut Request, inputs: &str) {
    let output = &mut request.output;
    if output.makes_image() {
        output.container.annotations.insert(INPUTS.to_owned(), inputs.to_owned());
        output.push.tags.push(publish::tag_of_inputs(inputs));
    }
}

/// Returns in which packages an image made from `lock` differs from the one that has its name in the registry. `None` if there is none, or it
/// does not say what it is made of.
///
/// # Errors
/// The registry cannot be asked.
pub fn changes_since_pushed(request: &Request, lock: &Lock, report: Report<'_>) -> Result<Option<Vec<Update>>, Error> {
    let former = publish::locks_inside(&request.output.push, &request.machine, report)?;
    if former.is_empty() {
        return Ok(None);
    }
    let mut changes = Vec::new();
    for platform in &lock.platforms {
        let of_former = former.iter().find_map(|lock| lock.platform(&platform.architecture));
        changes.extend(of_former.map(|former| updates(former, platform)).unwrap_or_default());
    }
    Ok(Some(changes))
}
