//! `--copy`: files of the host in the finished root.
//!
//! Names, contents, links and modes are copied. Owner and time do not depend on the host. No link that leads out of either tree is
//! followed for reading or writing.

use crate::error::Error;
use crate::request::Copy;
use rootstrap_debian::digest::Digest;
use rootstrap_rootfs::{Attributes, Kind, Root, walk};
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
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
        let (uid, gid) = owner(copy, root)?;
        // A program of the user that changes its owner would become one of root, so its bit has to be named.
        let like = |mode: u32| Attributes { mode: copy.mode.unwrap_or(mode & 0o1777), uid, gid, mtime: epoch };
        match source(copy)? {
            Source::File(file) => {
                let name = copy.from.file_name().filter(|_| slash || root.open_directory(&path).is_ok());
                let path = name.map_or_else(|| path.clone(), |name| [&path, &b"/"[..], name.as_bytes()].concat());
                put_file(root, &path, file, &like, cancel)?;
            }
            Source::Directory(top) => walk::<Error>(&top, &mut |visit| {
                let path = [&path, &b"/"[..], visit.path].concat();
                match visit.metadata.kind {
                    Kind::File => put_file(root, &path, visit.open()?, &like, cancel)?,
                    Kind::Directory => {
                        let open = |mode: u32| mode | (mode & 0o444) >> 2;
                        let mode = copy.mode.map_or(visit.metadata.attributes.mode & 0o1777, open);
                        put_directory(root, &path, Attributes { mode, ..like(mode) })?;
                    }
                    Kind::Symlink => {
                        let place = root.at(&path)?;
                        place.remove()?;
                        place.create_symlink(&visit.link_target()?, Attributes { mode: 0o777, ..like(0) })?;
                    }
                    _ => return Err(special(copy, visit.path)),
                }
                Ok(true)
            })?,
        }
    }
    Ok(())
}

/// Says what a copy puts into a root: of a file mode, owner and the SHA-256 of its content, and of a directory the mode and the owner that
/// are given, and the SHA-256 of paths, modes, links and contents, in the order of the paths.
pub(crate) fn described(copy: &Copy) -> Result<String, Error> {
    let mut digest = Sha256::new();
    let mut add = |path: &[u8], mode: u32, content: &mut dyn Read| -> std::io::Result<()> {
        digest.update((path.len() as u64).to_le_bytes());
        digest.update(path);
        digest.update(mode.to_le_bytes());
        digest.update(content_digest(content)?.bytes());
        Ok(())
    };
    let failed = || Error::io("read", &copy.from);
    let owner = copy.owner.as_ref().map(|(user, group)| format!("{user}:{group} ")).unwrap_or_default();
    match source(copy)? {
        Source::File(mut file) => {
            let mode = file.metadata().map_err(failed())?.permissions().mode();
            let mode = copy.mode.unwrap_or(mode & 0o1777);
            return Ok(format!("{mode:04o} {owner}sha256:{}", content_digest(&mut file).map_err(failed())?));
        }
        Source::Directory(top) => walk::<Error>(&top, &mut |visit| {
            let mode = visit.metadata.attributes.mode;
            match visit.metadata.kind {
                Kind::File => add(visit.path, mode, &mut visit.open()?).map_err(failed())?,
                Kind::Symlink => add(visit.path, 0o120_000, &mut visit.link_target()?.as_slice()).map_err(failed())?,
                _ => add(visit.path, mode | 0o40_000, &mut &b""[..]).map_err(failed())?,
            }
            Ok(true)
        })?,
    }
    let mode = copy.mode.map(|mode| format!("{mode:04o} ")).unwrap_or_default();
    Ok(format!("{mode}{owner}sha256:{}", Digest::Sha256(digest.finalize().into())))
}

/// Returns the SHA-256 of what is left to read.
pub(crate) fn content_digest(content: &mut dyn Read) -> std::io::Result<Digest> {
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 1 << 17]);
    loop {
        match content.read(&mut buffer)? {
            0 => return Ok(Digest::Sha256(digest.finalize().into())),
            count => digest.update(buffer.get(..count).unwrap_or_default()),
        }
    }
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

/// Returns the numbers of the owner and the group that a copy gets.
fn owner(copy: &Copy, root: &Root) -> Result<(u32, u32), Error> {
    let Some((user, group)) = &copy.owner else { return Ok((0, 0)) };
    let number = |name: &str, what: &str, file: &[u8]| {
        // The last number means nobody to the kernel.
        if let Some(number) = name.parse::<u32>().ok().filter(|number| *number != u32::MAX) {
            return Ok(number);
        }
        // name:password:number:… in both files (passwd(5), group(5)).
        let text = root.read(file)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let found = lines.find(|fields| fields.first() == Some(&name)).and_then(|fields| fields.get(2)?.parse().ok());
        let reason = || format!("the root has no {what} {name}");
        found.ok_or_else(|| Error::Copy { path: copy.from.clone(), reason: reason() })
    };
    Ok((number(user, "user", b"etc/passwd")?, number(group, "group", b"etc/group")?))
}

/// Creates a directory. An existing directory, or a link to one, stays as it is.
pub(super) fn put_directory(root: &Root, path: &[u8], attributes: Attributes) -> Result<(), Error> {
    if root.open_directory(path).is_err() {
        root.create_directories(path, 0o755)?;
        root.at(path)?.set_attributes(attributes)?;
    }
    Ok(())
}

/// Creates a file. It replaces an existing file or link.
pub(super) fn put_file(
    root: &Root,
    path: &[u8],
    mut from: File,
    like: &dyn Fn(u32) -> Attributes,
    cancel: &AtomicBool,
) -> Result<(), Error> {
    // A directory above it that is not there yet is nobody's in particular.
    let above = Attributes { mode: 0o755, uid: 0, gid: 0, ..like(0) };
    put_directory(root, rootstrap_rootfs::path::parent(path), above)?;
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
    place.set_attributes(like(mode))?;
    Ok(())
}

#[cfg(test)]
#[path = "copies_tests.rs"]
mod tests;
