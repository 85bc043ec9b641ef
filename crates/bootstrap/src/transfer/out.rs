//! Files of a root on the host. They belong to whoever runs the program.

use crate::error::Error;
use crate::transfer::copies::{put_directory, put_file};
use rootstrap_rootfs::{Attributes, Kind, Root, walk};
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Writes a file of the root to `to`, which is replaced.
pub(crate) fn file(root: &Root, path: &[u8], to: &mut File, name: &Path) -> Result<(), Error> {
    let mut from = root.open_file(path)?;
    std::io::copy(&mut from, to).map(drop).map_err(Error::io("write", name))
}

/// Copies what is at `path` of the root into the directory `to`, under its own name, or only the content of a directory.
pub(crate) fn tree(root: &Root, path: &[u8], to: &Path, only_content: bool, cancel: &AtomicBool) -> Result<(), Error> {
    let host = Root::open(to)?;
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    each(root, path, only_content, &mut |name, entry| {
        let Entry { attributes, content } = entry;
        let like = |_| Attributes { mode: attributes.mode & 0o777, uid, gid, mtime: attributes.mtime };
        match content {
            Content::File(file) => put_file(&host, name, file, &like, cancel),
            Content::Directory if name.is_empty() => Ok(()),
            Content::Directory => put_directory(&host, name, like(0)),
            Content::Link(target) => {
                let place = host.at(name)?;
                place.remove()?;
                Ok(place.create_symlink(&target, Attributes { mode: 0o777, ..like(0) })?)
            }
        }
    })
}

/// Writes what is at `path` of the root to `to` as a tar archive, under its own name.
pub(crate) fn archive(root: &Root, path: &[u8], to: &Path) -> Result<(), Error> {
    let failed = || Error::io("write", to);
    let mut out = tar::Builder::new(File::create(to).map_err(failed())?);
    each(root, path, false, &mut |name, entry| {
        let Entry { attributes, content } = entry;
        let mut header = tar::Header::new_gnu();
        header.set_mode(attributes.mode);
        header.set_uid(attributes.uid.into());
        header.set_gid(attributes.gid.into());
        header.set_mtime(attributes.mtime.try_into().unwrap_or_default());
        header.set_size(0);
        let name = Path::new(std::ffi::OsStr::from_bytes(name));
        let written = match content {
            Content::File(file) => {
                header.set_size(file.metadata().map_err(failed())?.len());
                out.append_data(&mut header, name, file)
            }
            Content::Directory => {
                header.set_entry_type(tar::EntryType::Directory);
                let name = if name.as_os_str().is_empty() { Path::new(".") } else { name };
                out.append_data(&mut header, name, std::io::empty())
            }
            Content::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                out.append_link(&mut header, name, Path::new(std::ffi::OsStr::from_bytes(&target)))
            }
        };
        written.map_err(failed())
    })?;
    out.into_inner().and_then(|mut file| file.flush()).map_err(failed())
}

struct Entry {
    attributes: Attributes,
    content: Content,
}

enum Content {
    File(File),
    Directory,
    Link(Vec<u8>),
}

/// Calls `take` for what is at `path`, and for all that is below it, with names that begin with the last part of the path unless
/// `only_content` is set.
fn each(
    root: &Root,
    path: &[u8],
    only_content: bool,
    take: &mut impl FnMut(&[u8], Entry) -> Result<(), Error>,
) -> Result<(), Error> {
    let above = if only_content { b"" } else { rootstrap_rootfs::path::name(path) };
    let found = root.metadata(path)?;
    let Some(found) = found.filter(|found| found.kind != Kind::Directory && !only_content) else {
        return walk::<Error>(&root.below(path)?, &mut |visit| {
            let content = match visit.metadata.kind {
                Kind::File => Content::File(visit.open()?),
                Kind::Directory => Content::Directory,
                Kind::Symlink => Content::Link(visit.link_target()?),
                // Sockets, pipes and devices are of no use outside.
                _ => return Ok(true),
            };
            let name = [above, visit.path].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(&b'/');
            take(&name, Entry { attributes: visit.metadata.attributes, content })?;
            Ok(true)
        });
    };
    let content = match found.kind {
        Kind::Symlink => Content::Link(root.at(path)?.link_target()?),
        _ => Content::File(root.open_file(path)?),
    };
    take(above, Entry { attributes: found.attributes, content })
}
