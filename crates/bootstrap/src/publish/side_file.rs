//! Files that a run writes beside its result: SBOMs, and files of the root.

use crate::error::Error;
use crate::publish::target::{self, check_file};
use crate::request::{Download, Format, Output, Target};
use crate::staging::new_file::NewFile;
use crate::staging::place::parent;
use rootstrap_configure::privilege::Janitor;
use rootstrap_image::compress::Compression;
use rootstrap_rootfs::Root;
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A file that is written, and the name that it gets.
pub(crate) type SideFile = (NewFile, PathBuf);

/// Returns the file with a path that stays valid, as [`target::resolve`] does.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, Error> {
    let resolved = target::resolve(&Target::File(path.to_owned(), Format::Tar(Compression::default())))?;
    Ok(resolved.path().unwrap_or(path).to_owned())
}

/// Refuses resolved files of a run that cannot be written. `refuse` makes the error for one of them.
pub(crate) fn check<'p>(
    paths: impl Iterator<Item = &'p PathBuf>,
    output: &Output,
    janitor: &Janitor,
    refuse: &dyn Fn(&Path, String, &'static str) -> Error,
) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for path in paths {
        if !seen.insert(path) {
            return Err(refuse(path, "it is named twice".to_owned(), "name another file for the other one"));
        }
        if output.target.path() == Some(path.as_path()) {
            return Err(refuse(path, "it is the target".to_owned(), "name another file for one of them"));
        }
        if let Target::Directory(target) | Target::Layout(target, _) = &output.target
            && path.starts_with(target)
        {
            return Err(refuse(path, "it would be in the target".to_owned(), "choose a place beside it"));
        }
        check_file(path, janitor).map_err(|error| match error {
            Error::Target { path, reason, hint } => refuse(&path, reason, hint),
            error => error,
        })?;
    }
    Ok(())
}

fn refuse_download(path: &Path, reason: String, hint: &'static str) -> Error {
    Error::Download { path: path.to_owned(), reason, hint }
}

/// Gives the files of downloads paths that stay valid.
pub(crate) fn resolve_downloads(downloads: &mut [Download]) -> Result<(), Error> {
    for download in downloads {
        download.to = resolve(&download.to).map_err(|error| match error {
            Error::Target { path, reason, hint } => refuse_download(&path, reason, hint),
            error => error,
        })?;
    }
    Ok(())
}

/// Refuses resolved downloads that cannot be written.
pub(crate) fn check_downloads(output: &Output, janitor: &Janitor) -> Result<(), Error> {
    let is_sbom = |path: &&PathBuf| output.sboms.contains(path);
    if let Some(path) = output.downloads.iter().map(|download| &download.to).find(is_sbom) {
        return Err(refuse_download(path, "an SBOM has that name".to_owned(), "name another file for one of them"));
    }
    check(output.downloads.iter().map(|download| &download.to), output, janitor, &refuse_download)
}

/// Writes files of the root, without giving them their names. Dropping the result removes them.
pub(crate) fn download(wanted: &[Download], root: &Root, janitor: &Janitor) -> Result<Vec<SideFile>, Error> {
    let download = |Download { from, to }: &Download| {
        let mut new = NewFile::create(parent(to), janitor)?;
        let path = from.as_os_str().as_bytes();
        let mut file = root.open_file(path.strip_prefix(b"/").unwrap_or(path)).map_err(|error| {
            let reason = format!("{} of the root is no file that can be read ({})", from.display(), error.io());
            refuse_download(to, reason, "name a regular file; the special hook copy-out takes directories")
        })?;
        let copied = std::io::copy(&mut file, &mut new.file).and_then(|_| new.file.sync_all());
        copied.map_err(Error::io("write", to))?;
        Ok((new, to.clone()))
    };
    wanted.iter().map(download).collect()
}

/// Gives the files their names, once the result has its own.
pub(crate) fn publish(files: Vec<SideFile>, sync: bool) -> Result<(), Error> {
    files.into_iter().try_for_each(|(new, path)| new.publish(&path, sync).map(drop))
}
