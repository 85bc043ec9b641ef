//! The entries of a tar archive as dpkg reads them (dpkg `lib/dpkg/tarfn.c:tar_extractor`).

use crate::limits;
use rootstrap_rootfs::{Attributes, Device, Kind};
use std::io::{self, Read};

/// One entry of data.tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Absolute path without trailing slash; `/` for the root itself.
    pub path: Vec<u8>,
    /// Mode, numeric owner and time as archived.
    pub attributes: Attributes,
    /// Owner by name, which goes before the number; empty if not given.
    pub user: Vec<u8>,
    /// Group by name.
    pub group: Vec<u8>,
    /// Type and what belongs to it.
    pub kind: EntryKind,
}

/// The type of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file; its body is number `body` in the package's part of the store.
    File {
        /// Name in the store.
        body: usize,
        /// MD5 in hexadecimal, where dpkg's database will need it.
        md5: Option<String>,
    },
    /// A directory.
    Directory,
    /// A symbolic link with this text.
    Symlink(Vec<u8>),
    /// A further name of the file at this absolute path.
    HardLink(Vec<u8>),
    /// A device node or fifo.
    Node(Kind, Device),
}

/// What a tar header announces; bodies of files are left to the caller.
pub(crate) enum Found {
    Entry(Entry),
    /// An entry dpkg refuses or that this crate leaves to it, with the reason.
    Foreign(String),
}

/// Takes a regular file's path, attributes, contents and announced size; says what kind of entry it became.
pub(crate) type TakeBody<'a> = dyn FnMut(&[u8], &Attributes, &mut dyn Read, u64) -> io::Result<EntryKind> + 'a;

/// Reads all entries of `tar`, handing each regular file to `body`.
///
/// # Errors
/// Reading fails, or `body` does.
pub(crate) fn read(tar: impl Read, body: &mut TakeBody<'_>) -> io::Result<Result<Vec<Entry>, String>> {
    let mut archive = tar::Archive::new(tar);
    let mut entries = Vec::new();
    let (mut long_name, mut long_link) = (None, None);
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let size = entry.header().entry_size()?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() || kind.is_gnu_longlink() {
            let mut text = Vec::new();
            (&mut entry).take(limits::PATH + 1).read_to_end(&mut text)?;
            if text.len() as u64 > limits::PATH {
                return Ok(Err("it has a path longer than any system allows".into()));
            }
            if text.len() as u64 != size {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut off"));
            }
            while text.last() == Some(&0) {
                text.pop();
            }
            if kind.is_gnu_longname() {
                long_name = Some(text)
            } else {
                long_link = Some(text)
            }
            continue;
        }
        let name = long_name.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
        let link = long_link.take().or_else(|| entry.header().link_name_bytes().map(std::borrow::Cow::into_owned));
        match describe(entry.header(), &name, link) {
            Found::Foreign(reason) => return Ok(Err(reason)),
            Found::Entry(mut described) => {
                if let EntryKind::File { .. } = described.kind {
                    described.kind = body(&described.path, &described.attributes, &mut entry, size)?;
                } else if size != 0 {
                    return Ok(Err(format!("{} has a body where it may have none", show(&described.path))));
                }
                entries.push(described);
            }
        }
        if entries.len() > limits::ENTRIES {
            return Ok(Err("it has too many entries".into()));
        }
    }
    Ok(Ok(entries))
}

fn describe(header: &tar::Header, name: &[u8], link: Option<Vec<u8>>) -> Found {
    let Some(path) = absolute(name) else {
        return Found::Foreign(format!("the path {} does not stay within the root", show(name)));
    };
    match describe_at(header, name, link, path) {
        Ok(found) => found,
        Err(error) => Found::Foreign(format!("the header of {} is odd: {error}", show(name))),
    }
}

fn describe_at(header: &tar::Header, name: &[u8], link: Option<Vec<u8>>, path: Vec<u8>) -> io::Result<Found> {
    let number = |value: io::Result<u64>| -> io::Result<u32> { value?.try_into().map_err(io::Error::other) };
    let attributes = Attributes {
        mode: header.mode()? & 0o7777,
        uid: number(header.uid())?,
        gid: number(header.gid())?,
        // Times before 1970 are stored as a two's complement.
        mtime: header.mtime()?.cast_signed(),
    };
    let device = || -> io::Result<Device> {
        Ok(Device { major: header.device_major()?.unwrap_or(0), minor: header.device_minor()?.unwrap_or(0) })
    };
    let link = link.unwrap_or_default();
    let kind = match header.entry_type().as_byte() {
        // Even with a slash at the end of its name, by which the seventh edition told directories.
        b'0' | 0 => EntryKind::File { body: 0, md5: None },
        b'1' => match absolute(&link) {
            Some(target) => EntryKind::HardLink(target),
            None => return Ok(Found::Foreign(format!("the hard link {} leads out of the root", show(name)))),
        },
        b'2' if link.is_empty() => return Ok(Found::Foreign(format!("the link {} is empty", show(name)))),
        b'2' => EntryKind::Symlink(link),
        b'3' => EntryKind::Node(Kind::CharDevice, device()?),
        b'4' => EntryKind::Node(Kind::BlockDevice, device()?),
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Node(Kind::Fifo, Device { major: 0, minor: 0 }),
        other => return Ok(Found::Foreign(format!("{} is of tar type {:?}", show(name), char::from(other)))),
    };
    Ok(Found::Entry(Entry {
        path,
        attributes,
        user: header.username_bytes().unwrap_or_default().to_vec(),
        group: header.groupname_bytes().unwrap_or_default().to_vec(),
        kind,
    }))
}

/// `./usr/bin/` as `/usr/bin`. `None` for a name that climbs, is empty, too long, or cannot stand on a line of a
/// `.list` file.
fn absolute(name: &[u8]) -> Option<Vec<u8>> {
    if name.is_empty() || name.len() as u64 > limits::PATH || name.iter().any(|&b| b == 0 || b == b'\n') {
        return None;
    }
    let mut path = Vec::with_capacity(name.len() + 1);
    for part in name.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            part => {
                path.push(b'/');
                path.extend_from_slice(part);
            }
        }
    }
    if path.is_empty() {
        path.push(b'/');
    }
    Some(path)
}

/// Bytes of a path for a message.
pub(crate) fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_and_do_not_climb() {
        for (name, path) in [("./", "/"), ("./usr/bin/", "/usr/bin"), ("usr//x", "/usr/x"), ("/etc/x", "/etc/x")] {
            assert_eq!(absolute(name.as_bytes()).unwrap(), path.as_bytes());
        }
        for bad in ["", "../x", "a/../../x", "a\nb", "a\0b", &"x".repeat(5000)] {
            assert_eq!(absolute(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
