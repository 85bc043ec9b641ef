//! `--copy`: files of the host in the finished root.
//!
//! Names, contents and links are copied, and whether a file is executable. Owner, mode and time do not depend on the host. No link that
//! leads out of either tree is followed for reading or writing.

use crate::error::Error;
use crate::request::Copy;
use rootstrap_rootfs::{Attributes, Kind, Root, walk};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

/// The number of bytes that are copied before the cancel flag is checked again.
const PART: u64 = 64 << 20;

enum Source {
    File(File),
    Directory(Root),
}

/// Refuses copies that cannot be made, before anything is fetched. Returns the size of all files to copy in bytes.
pub(crate) fn check(copies: &[Copy]) -> Result<u64, Error> {
    let mut bytes = 0;
    for copy in copies {
        destination(copy)?;
        let looked_at = match source(copy)? {
            Source::File(file) => {
                file.metadata().map(|found| bytes += found.len()).map_err(Error::io("copy", &copy.from))
            }
            Source::Directory(top) => walk(&top, &mut |visit| {
                match visit.metadata.kind {
                    Kind::File => {
                        visit.open()?;
                        bytes += visit.metadata.size;
                    }
                    Kind::Directory | Kind::Symlink => {}
                    _ => return Err(special(copy, visit.path)),
                }
                Ok(true)
            }),
        };
        looked_at.map_err(|error| match error {
            Error::Tree(source) => Error::CopySource { path: copy.from.clone(), source },
            error => error,
        })?;
    }
    Ok(bytes)
}

/// Makes the copies in `root`, with the time `epoch`.
pub(crate) fn make(copies: &[Copy], root: &Root, epoch: i64, cancel: &AtomicBool) -> Result<(), Error> {
    for copy in copies {
        let (path, slash) = destination(copy)?;
        match source(copy)? {
            Source::File(file) => {
                let name = copy.from.file_name().filter(|_| slash || root.open_directory(&path).is_ok());
                let path = name.map_or_else(|| path.clone(), |name| [&path, &b"/"[..], name.as_bytes()].concat());
                put_file(root, &path, file, epoch, cancel)?;
            }
            Source::Directory(top) => walk::<Error>(&top, &mut |visit| {
                let path = [&path, &b"/"[..], visit.path].concat();
                match visit.metadata.kind {
                    Kind::File => put_file(root, &path, visit.open()?, epoch, cancel)?,
                    Kind::Directory => put_directory(root, &path, epoch)?,
                    Kind::Symlink => {
                        let place = root.at(&path)?;
                        place.remove()?;
                        place.create_symlink(&visit.link_target()?, attributes(true, epoch))?;
                    }
                    _ => return Err(special(copy, visit.path)),
                }
                Ok(true)
            })?,
        }
    }
    Ok(())
}

/// Returns the path without a slash at its end, and whether it had one.
fn destination(copy: &Copy) -> Result<(Vec<u8>, bool), Error> {
    let text = copy.to.as_os_str().as_bytes();
    let parts = || text.split(|&b| b == b'/').filter(|part| !matches!(*part, b"" | b"."));
    if !text.starts_with(b"/") || parts().any(|part| part == b"..") {
        let reason = format!("{} is no absolute path without `..`", copy.to.display());
        return Err(Error::Copy { path: copy.from.clone(), reason });
    }
    let path = parts().flat_map(|part| [b"/", part].concat()).collect();
    Ok((path, text.ends_with(b"/") || text.ends_with(b"/.")))
}

/// Opens the source of a copy. A link of that very name is followed, as `cp -L` and Dockerfile's COPY do.
fn source(copy: &Copy) -> Result<Source, Error> {
    let kind = std::fs::metadata(&copy.from).map_err(Error::io("copy", &copy.from))?.file_type();
    if kind.is_dir() {
        let opened = Root::open(&copy.from);
        return opened.map(Source::Directory).map_err(|source| Error::CopySource { path: copy.from.clone(), source });
    }
    if !kind.is_file() {
        return Err(special(copy, b""));
    }
    // The file may have become a fifo meanwhile; opening it must not wait for the other end.
    let options = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&copy.from);
    options.map(Source::File).map_err(Error::io("copy", &copy.from))
}

fn special(copy: &Copy, path: &[u8]) -> Error {
    let name = if path.is_empty() { "it".into() } else { String::from_utf8_lossy(path) };
    Error::Copy { path: copy.from.clone(), reason: format!("{name} is neither file nor directory nor link") }
}

fn attributes(program: bool, epoch: i64) -> Attributes {
    Attributes { mode: if program { 0o755 } else { 0o644 }, uid: 0, gid: 0, mtime: epoch }
}

/// Creates a directory. An existing directory, or a link to one, stays as it is.
fn put_directory(root: &Root, path: &[u8], epoch: i64) -> Result<(), Error> {
    if root.open_directory(path).is_err() {
        root.create_directories(path, 0o755)?;
        root.at(path)?.set_mtime(epoch)?;
    }
    Ok(())
}

/// Creates a file. It replaces an existing file or link.
fn put_file(root: &Root, path: &[u8], mut from: File, epoch: i64, cancel: &AtomicBool) -> Result<(), Error> {
    put_directory(root, rootstrap_rootfs::path::parent(path), epoch)?;
    let place = root.at(path)?;
    place.remove()?;
    let mut to = place.create_file()?;
    let copied = |error| place.error("write", error);
    while std::io::copy(&mut from.by_ref().take(PART), &mut to).map_err(copied)? > 0 {
        if cancel.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
    }
    let mode = from.metadata().map_err(copied)?.permissions().mode();
    place.set_attributes(attributes(mode & 0o100 != 0, epoch))?;
    Ok(())
}

#[cfg(test)]
#[path = "copies_tests.rs"]
mod tests;
