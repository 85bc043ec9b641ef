//! Reads the entries of data.tar as dpkg reads them (dpkg `lib/dpkg/tarfn.c:tar_extractor`).

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
    /// Owner by name, which takes precedence over the number; empty if the archive has none.
    pub user: Vec<u8>,
    /// Group by name, as for `user`.
    pub group: Vec<u8>,
    /// The type, with the data that belongs to it.
    pub kind: EntryKind,
}

/// The type of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// The number that names its body in the package's part of the store.
        body: usize,
        /// MD5 in hexadecimal, if dpkg's database will need it.
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

/// Takes the path, attributes, contents and size of a regular file. Returns the kind of entry that it became.
pub(crate) type TakeBody<'a> = dyn FnMut(&[u8], &Attributes, &mut dyn Read, u64) -> io::Result<EntryKind> + 'a;

/// Reads all entries of `tar`, and hands each regular file to `body`. The inner error is the reason why the package is left to
/// dpkg.
///
/// # Errors
/// Reading fails, or `body` fails.
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
        let mut described = match describe(entry.header(), &name, link) {
            Ok(described) => described,
            Err(reason) => return Ok(Err(reason)),
        };
        if let EntryKind::File { .. } = described.kind {
            described.kind = body(&described.path, &described.attributes, &mut entry, size)?;
        } else if size != 0 {
            return Ok(Err(format!("{} has a body where it may have none", escaped(&described.path))));
        }
        entries.push(described);
        if entries.len() > limits::ENTRIES {
            return Ok(Err("it has too many entries".into()));
        }
    }
    Ok(Ok(entries))
}

/// Reads what a header says. The error is the reason why the package is left to dpkg: dpkg refuses the entry, or this crate does
/// not know it.
fn describe(header: &tar::Header, name: &[u8], link: Option<Vec<u8>>) -> Result<Entry, String> {
    let path = absolute(name).ok_or_else(|| format!("the path {} does not stay within the root", escaped(name)))?;
    let attributes = attributes(header).map_err(|error| odd(name, &error))?;
    let user = header.username_bytes().unwrap_or_default().to_vec();
    let group = header.groupname_bytes().unwrap_or_default().to_vec();
    let kind = kind(header, name, link.unwrap_or_default())?;
    Ok(Entry { path, attributes, user, group, kind })
}

fn odd(name: &[u8], error: &io::Error) -> String {
    format!("the header of {} is odd: {error}", escaped(name))
}

fn attributes(header: &tar::Header) -> io::Result<Attributes> {
    let number = |value: io::Result<u64>| -> io::Result<u32> { value?.try_into().map_err(io::Error::other) };
    Ok(Attributes {
        mode: header.mode()? & 0o7777,
        uid: number(header.uid())?,
        gid: number(header.gid())?,
        // Times before 1970 are stored as a two's complement.
        mtime: header.mtime()?.cast_signed(),
    })
}

/// The type of the entry `name`, whose link text is `link`.
fn kind(header: &tar::Header, name: &[u8], link: Vec<u8>) -> Result<EntryKind, String> {
    let device = || -> Result<Device, String> {
        let number = |number: io::Result<Option<u32>>| number.map_err(|error| odd(name, &error));
        let (major, minor) = (number(header.device_major())?, number(header.device_minor())?);
        Ok(Device { major: major.unwrap_or(0), minor: minor.unwrap_or(0) })
    };
    Ok(match header.entry_type().as_byte() {
        // Also if its name ends with a slash, which marked a directory in the seventh edition of Unix.
        b'0' | 0 => EntryKind::File { body: 0, md5: None },
        b'1' => match absolute(&link) {
            Some(target) => EntryKind::HardLink(target),
            None => return Err(format!("the hard link {} leads out of the root", escaped(name))),
        },
        b'2' if link.is_empty() => return Err(format!("the link {} is empty", escaped(name))),
        b'2' => EntryKind::Symlink(link),
        b'3' => EntryKind::Node(Kind::CharDevice, device()?),
        b'4' => EntryKind::Node(Kind::BlockDevice, device()?),
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Node(Kind::Fifo, Device { major: 0, minor: 0 }),
        other => return Err(format!("{} is of tar type {:?}", escaped(name), char::from(other))),
    })
}

/// Makes a name absolute: `./usr/bin/` becomes `/usr/bin`. `None` for a name that has a `..`, is empty or too long, or cannot
/// be a line of a `.list` file.
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

/// The bytes of a path as text for a message, with control characters escaped.
pub(crate) fn escaped(path: &[u8]) -> String {
    String::from_utf8_lossy(path).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_and_have_no_dots() {
        for (name, path) in [("./", "/"), ("./usr/bin/", "/usr/bin"), ("usr//x", "/usr/x"), ("/etc/x", "/etc/x")] {
            assert_eq!(absolute(name.as_bytes()).unwrap(), path.as_bytes());
        }
        for bad in ["", "../x", "a/../../x", "a\nb", "a\0b", &"x".repeat(5000)] {
            assert_eq!(absolute(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
