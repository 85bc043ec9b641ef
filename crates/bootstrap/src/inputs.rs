//! The digest of all that decides an image: two builds with one digest make the same image, up to its dates.

use crate::compare::annotation;
use crate::error::Error;
use crate::event::Report;
use crate::outdated::{Update, updates};
use crate::publish::{self, options};
use crate::request::{Container, Output, Request};
use rootstrap_debian::digest::Digest;
use rootstrap_lock::Lock;
use sha2::{Digest as _, Sha256};
use std::fmt::Write;

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
    let mut text = format!("rootstrap inputs\nrecipe={RECIPE}\n");
    // Neither names nor values can end the line of another.
    let mut add = |name: &str, value: &str| {
        let _ = writeln!(text, "{name}={value:?}");
    };
    for (name, value) in options::options(request)? {
        add(&name, &value);
    }
    let Output { target: _, purpose, container, attest, sboms: _, downloads: _, push: _, further_platforms, epoch } =
        &request.output;
    add("purpose", &format!("{purpose:?}"));
    add("attest", &attest.to_string());
    add("platforms", &further_platforms.join(","));
    // The result has this date, if it is given. Otherwise its date is that of the archive when it changed.
    add("epoch", &format!("{epoch:?}"));
    add("compression", &format!("{:?}", request.output.layer_compression()));
    let Container { tags: _, entrypoint, cmd, env, user, workdir, labels, annotations } = container;
    add("entrypoint", &format!("{entrypoint:?}"));
    add("cmd", &format!("{cmd:?}"));
    add("user", &format!("{user:?}"));
    add("workdir", &format!("{workdir:?}"));
    for (kind, map) in [("env", env), ("label", labels), ("annotation", annotations)] {
        map.iter().filter(|(name, _)| *name != INPUTS).for_each(|(name, value)| add(kind, &format!("{name}={value}")));
    }
    add("lock", &lock.undated().to_text());
    let digest: [u8; 32] = Sha256::digest(&text).into();
    Ok(Digest::Sha256(digest).to_string())
}

/// Returns the digest of the image that `request` makes, if it is wherever the request puts it, made of these inputs: in all registries, and
/// in the file or directory of an image. Names in registries are moved to it where they mean another image.
///
/// # Errors
/// A registry cannot be asked, or does not let a name be moved.
pub fn find_image(request: &Request, inputs: &str, report: Report<'_>) -> Result<Option<String>, Error> {
    let Request { output, machine, .. } = request;
    let mut digest = None;
    if let Some(path) = output.target.path() {
        let of_image = output.target.layer().and_then(|_| annotation(path, INPUTS, &machine.cancel));
        match of_image {
            Some((found, of_target)) if found == inputs => digest = Some(of_target),
            _ => return Ok(None),
        }
    }
    if !output.push.names.is_empty() {
        let Some(pushed) = publish::find_image(&output.push, &format!("in-{inputs}"), machine, report)? else {
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
        output.push.tags.push(format!("in-{inputs}"));
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
