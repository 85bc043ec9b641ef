//! Reads a tar archive of any distribution without unpacking it.

use crate::archive::{Error, clean, decoder, unusable};
use crate::tar_read::{Entries, TarEntry};
use rootstrap_rootfs::{Attributes, Device, Kind, xattr};
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use tar::EntryType;

/// One entry of an archive.
#[derive(Debug)]
pub struct ListedEntry {
    /// The path below the root, without empty and `.` parts; empty for the root itself.
    pub path: Vec<u8>,
    /// What it is.
    pub what: ListedKind,
    /// Mode, owner and time. Those of a hard link are those of its file.
    pub attributes: Attributes,
    /// The extended attributes that every filesystem can have, in the archive's order.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What an entry of an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListedKind {
    /// A regular file, with its length in bytes.
    File(u64),
    /// Another name of the file at this path.
    Link(Vec<u8>),
    /// A directory.
    Directory,
    /// A symbolic link with this text.
    Symlink(Vec<u8>),
    /// A device node.
    Device(Kind, Device),
    /// A named pipe.
    Fifo,
}

/// Returns the bytes of a file without its compression, which its first bytes say.
///
/// # Errors
/// The file cannot be read, or there is no memory for the decoder.
pub fn decoded<'r>(input: impl Read + Send + 'r) -> io::Result<Box<dyn Read + Send + 'r>> {
    decoder(input)
}

/// Hands every entry of a tar archive, compressed or not, to `visit`, with its contents. Holes of sparse files are zeros. `cancel` is set
/// from outside to stop.
///
/// # Errors
/// The archive cannot be read or is damaged, the name of an entry leads out of the archive, `cancel` was set, or `visit` fails.
pub fn list(
    input: impl Read + Send,
    cancel: &AtomicBool,
    visit: &mut dyn FnMut(ListedEntry, &mut (dyn Read + Send)) -> io::Result<()>,
) -> Result<(), Error> {
    let mut entries = Entries::new(decoder(input).map_err(Error::Archive)?);
    while let Some(entry) = entries.next().map_err(Error::Archive)? {
        if cancel.load(Ordering::Relaxed) {
            return Err(Error::Archive(io::Error::other("interrupted")));
        }
        let listed = listed(&entry)?;
        let mut contents = Contents { entries: &mut entries, entry: &entry, piece: 0, position: 0 };
        visit(listed, &mut contents).map_err(Error::Archive)?;
    }
    Ok(())
}

fn listed(entry: &TarEntry) -> Result<ListedEntry, Error> {
    let path = clean(&entry.path).ok_or_else(|| unusable(&entry.path, "its name leads out of the archive"))?;
    let TarEntry { mode, uid, gid, mtime, .. } = *entry;
    let device = Device { major: entry.device.0, minor: entry.device.1 };
    let what = match entry.kind {
        EntryType::Directory => ListedKind::Directory,
        EntryType::Regular | EntryType::Continuous => ListedKind::File(entry.size),
        EntryType::Symlink => ListedKind::Symlink(entry.link.clone()),
        EntryType::Link => {
            let target = clean(&entry.link);
            ListedKind::Link(target.ok_or_else(|| unusable(&entry.path, "its link leads out of the archive"))?)
        }
        EntryType::Char => ListedKind::Device(Kind::CharDevice, device),
        EntryType::Block => ListedKind::Device(Kind::BlockDevice, device),
        EntryType::Fifo => ListedKind::Fifo,
        kind => {
            return Err(unusable(&entry.path, &format!("entries of type {:?} are not known", kind.as_byte() as char)));
        }
    };
    let xattrs = entry.xattrs.iter().filter(|(name, _)| xattr::is_portable(name)).cloned().collect();
    Ok(ListedEntry { path, what, attributes: Attributes { mode, uid, gid, mtime }, xattrs })
}

/// The contents of a file, with zeros in the place of holes.
struct Contents<'e, R> {
    entries: &'e mut Entries<R>,
    entry: &'e TarEntry,
    /// The piece that comes next or is being read.
    piece: usize,
    position: u64,
}

impl<R: Read> Read for Contents<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = |end: u64, position: u64, length: usize| {
            usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX).min(length)
        };
        loop {
            let (start, length) = self.entry.pieces.get(self.piece).copied().unwrap_or((self.entry.size, 0));
            let end = start.saturating_add(length);
            let read = if self.position < start {
                let read = room(start, self.position, buffer.len());
                buffer.get_mut(..read).unwrap_or_default().fill(0);
                read
            } else if self.position < end {
                let read = room(end, self.position, buffer.len());
                self.entries.read(buffer.get_mut(..read).unwrap_or_default())?
            } else if self.piece < self.entry.pieces.len() {
                self.piece += 1;
                continue;
            } else {
                return Ok(0);
            };
            self.position += read as u64;
            return Ok(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rootstrap_testkit::entry::{Entry, tar};

    #[test]
    fn entries_come_with_their_contents() {
        let entries = [
            Entry::dir("./usr/", 0o755),
            Entry::file("usr/a", 0o4755, b"hello").owned("x", 5, "y", 6),
            Entry::hardlink("usr/b", "./usr/a"),
            Entry::symlink("usr/c", "../a"),
        ];
        let mut seen = Vec::new();
        list(&tar(&entries)[..], &AtomicBool::new(false), &mut |entry, contents| {
            let mut text = String::new();
            contents.read_to_string(&mut text)?;
            let Attributes { mode, uid, gid, .. } = entry.attributes;
            seen.push((String::from_utf8(entry.path).unwrap(), entry.what, text, (mode, uid, gid)));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen[0].1, ListedKind::Directory);
        assert_eq!(seen[1], ("usr/a".into(), ListedKind::File(5), "hello".into(), (0o4755, 5, 6)));
        assert_eq!(seen[2].1, ListedKind::Link(b"usr/a".to_vec()));
        assert_eq!(seen[3].1, ListedKind::Symlink(b"../a".to_vec()));
        let error = list(&tar(&[Entry::file("../x", 0o644, b"")])[..], &AtomicBool::new(false), &mut |_, _| Ok(()));
        assert!(error.is_err());
    }

    #[test]
    fn holes_are_zeros() {
        let entry = TarEntry {
            kind: EntryType::Regular,
            path: b"x".to_vec(),
            link: Vec::new(),
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: 0,
            device: (0, 0),
            xattrs: Vec::new(),
            size: 8,
            pieces: vec![(2, 2), (5, 1), (8, 0)],
        };
        let mut entries = Entries::holding(&b"abc"[..], 3);
        let mut contents = Contents { entries: &mut entries, entry: &entry, piece: 0, position: 0 };
        let mut bytes = Vec::new();
        contents.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"\0\0ab\0c\0\0");
    }
}
