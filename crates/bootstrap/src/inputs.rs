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
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

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
    for copy in &request.customization.copies {
        // A file keeps its name in a directory.
        add("copied-name", &copy.from.file_name().unwrap_or_default().to_string_lossy());
    }
    for hook in request.customization.hooks.iter().filter(|hook| !hook.is_inside) {
        for path in files_named(&hook.command) {
            add("hook-file", &tree_digest(&path)?);
        }
    }
    add("purpose", &format!("{purpose:?}"));
    add("attest", &attest.to_string());
    add("platforms", &further_platforms.join(","));
    // The result has this date, if it is given. Otherwise its date is that of the archive when it changed.
    add("epoch", &format!("{epoch:?}"));
    add("compression", &format!("{:?}", request.output.layer_compression()));
    let Container { tags, entrypoint, cmd, env, user, workdir, labels, annotations } = container;
    // An archive has its names inside. In a registry they are apart from the image.
    if output_has_names(request) {
        add("tags", &tags.join(","));
    }
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

fn output_has_names(request: &Request) -> bool {
    request.output.target.path().is_some()
}

/// Returns the files and directories of the host that the words of a hook's command name. What it reads beside them is not known.
fn files_named(command: &str) -> Vec<PathBuf> {
    let words = shlex::split(command).unwrap_or_default();
    let paths = words.into_iter().map(PathBuf::from).filter(|path| std::fs::symlink_metadata(path).is_ok());
    // What the host's programs do is not ours to know: they are named by absolute paths or found in PATH.
    paths
        .filter(|path| !path.starts_with("/usr") && !path.starts_with("/bin") && path.as_path() != Path::new("/"))
        .collect()
}

/// Returns the digest of a file, or of the names and contents in a directory.
fn tree_digest(path: &Path) -> Result<String, Error> {
    let (mut hash, mut waiting) = (Sha256::new(), vec![path.to_owned()]);
    while let Some(next) = waiting.pop() {
        let found = std::fs::metadata(&next).map_err(Error::io("read", &next))?;
        let name = next.strip_prefix(path).unwrap_or(&next);
        hash.update(format!("{:?} {:o}\n", name, found.permissions().mode()));
        if found.is_dir() {
            let mut inside = Vec::new();
            for entry in std::fs::read_dir(&next).map_err(Error::io("read", &next))? {
                inside.push(entry.map_err(Error::io("read", &next))?.path());
            }
            inside.sort();
            // Links that lead out of the directory and back would never end.
            waiting.extend(inside.into_iter().filter(|path| path.symlink_metadata().is_ok_and(|it| !it.is_symlink())));
        } else if found.is_file() {
            let mut file = std::fs::File::open(&next).map_err(Error::io("read", &next))?;
            let content = rootstrap_cache::sha256(&mut file).map_err(Error::io("read", &next))?;
            hash.update(content);
        }
    }
    Ok(Digest::Sha256(hash.finalize().into()).to_string())
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
        let Some(pushed) = publish::find_image(&output.push, (&format!("in-{inputs}"), move_names), machine, report)?
        else {
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
