//! Reads the entries of a cpio archive in the format of initramfs (`070701`, `070702`; Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Of a file with several names, some programs write the content with the first name, and others with the last. So names without content
//! wait until the name that has it, or the end.

use crate::tar_read::{MAX_RECORDS, TarEntry, invalid};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, Read};
use tar::EntryType;

const HEADER: usize = 110;

/// The name of the entry that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// The longest name that the kernel takes (PATH_MAX).
const MAX_NAME: u32 = 4096;

/// The most names of files whose content has not come yet.
const MAX_WAITING: usize = 1 << 16;

/// The device and the inode of a file.
type Identity = (u32, u32, u32);

/// Reads entries one after the other.
pub(crate) struct CpioEntries<R> {
    input: R,
    /// Bytes of the current entry that are still in the stream.
    left: u64,
    /// Bytes that fill the last four of the current entry.
    padding: u64,
    /// The first name of each file that has several, once its content has come.
    known: HashMap<Identity, Vec<u8>>,
    /// The names of files without content yet, in their order, and the number of all of them.
    waiting: BTreeMap<Identity, Vec<TarEntry>>,
    waiting_count: usize,
    /// Entries that come next.
    ready: VecDeque<TarEntry>,
    has_ended: bool,
}

impl<R: Read> CpioEntries<R> {
    pub(crate) fn new(input: R) -> Self {
        let (known, waiting, ready) = (HashMap::new(), BTreeMap::new(), VecDeque::new());
        Self { input, left: 0, padding: 0, known, waiting, waiting_count: 0, ready, has_ended: false }
    }

    /// Reads the next entry; `None` at the end of the archive.
    pub(crate) fn next(&mut self) -> io::Result<Option<TarEntry>> {
        let rest = self.left.saturating_add(self.padding);
        (self.left, self.padding) = (0, 0);
        if io::copy(&mut (&mut self.input).take(rest), &mut io::sink())? != rest {
            return Err(invalid("the archive is cut off"));
        }
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Some(entry));
            }
            if self.has_ended {
                return self.check_end().map(|()| None);
            }
            if let Some(entry) = self.read_entry()? {
                return Ok(Some(entry));
            }
        }
    }

    /// Reads contents of the current entry into `buffer`. Returns the number of bytes read.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match (&mut self.input).take(self.left).read(buffer) {
                Ok(0) if !buffer.is_empty() => return Err(invalid("the archive is cut off")),
                Ok(read) => {
                    self.left -= read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads one entry of the stream. Returns `None` if it has to wait, if it is a socket, or if it is the end.
    fn read_entry(&mut self) -> io::Result<Option<TarEntry>> {
        let [inode, mode, uid, gid, links, mtime, size, major, minor, of_major, of_minor, length, _] = self.header()?;
        if length > MAX_NAME {
            return Err(invalid("the name of an entry is too long"));
        }
        let mut path = content(&mut self.input, u64::from(length))?;
        pad(&mut self.input, HEADER as u64 + u64::from(length))?;
        path.truncate(path.iter().position(|&byte| byte == 0).unwrap_or(path.len()));
        if path == TRAILER {
            self.end();
            return Ok(None);
        }
        let kind = match mode >> 12 {
            0o01 => EntryType::Fifo,
            0o02 => EntryType::Char,
            0o04 => EntryType::Directory,
            0o06 => EntryType::Block,
            0o10 => EntryType::Regular,
            0o12 => EntryType::Symlink,
            // No process listens on a socket any more.
            0o14 => return self.text(size).map(|_| None),
            _ => return Err(invalid("an entry has a kind that is not known")),
        };
        if [uid, gid].contains(&u32::MAX) {
            // The largest number means "no change" to chown(2), so it is no owner.
            return Err(invalid("an owner has no such number"));
        }
        let (mode, mtime, device) = (mode & 0o7777, i64::from(mtime), (of_major, of_minor));
        let (link, xattrs, pieces) = (Vec::new(), Vec::new(), vec![(0, u64::from(size))]);
        let mut entry =
            TarEntry { kind, path, link, mode, uid, gid, mtime, device, xattrs, size: u64::from(size), pieces };
        if kind == EntryType::Symlink {
            entry.link = self.text(size)?;
            (entry.size, entry.pieces) = (0, Vec::new());
            return Ok(Some(entry));
        }
        if kind == EntryType::Regular && links > 1 {
            return self.one_of_several(entry, (major, minor, inode));
        }
        self.expect_content(&entry);
        Ok(Some(entry))
    }

    /// Reads the numbers of a header.
    fn header(&mut self) -> io::Result<[u32; 13]> {
        let mut header = [0; HEADER];
        self.input.read_exact(&mut header).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => invalid("the archive is cut off"),
            _ => error,
        })?;
        if !matches!(header.get(..6), Some(b"070701" | b"070702")) {
            return Err(invalid("an entry does not begin as one of cpio"));
        }
        let mut numbers = [0u32; 13];
        for (number, digits) in numbers.iter_mut().zip(header.get(6..).unwrap_or_default().chunks(8)) {
            let text = std::str::from_utf8(digits).map_err(|_| invalid("a number of an entry is damaged"))?;
            *number = u32::from_str_radix(text, 16).map_err(|_| invalid("a number of an entry is damaged"))?;
        }
        Ok(numbers)
    }

    /// Reads the content of an entry that is short.
    fn text(&mut self, size: u32) -> io::Result<Vec<u8>> {
        let text = content(&mut self.input, u64::from(size))?;
        pad(&mut self.input, u64::from(size)).map(|()| text)
    }

    /// Notes how much content of a file follows in the stream.
    fn expect_content(&mut self, entry: &TarEntry) {
        self.left = entry.size;
        self.padding = self.left.next_multiple_of(4) - self.left;
    }

    /// Takes one of several names of a file: that of its content, a further one, or one that has to wait.
    fn one_of_several(&mut self, entry: TarEntry, identity: Identity) -> io::Result<Option<TarEntry>> {
        match self.known.get(&identity) {
            Some(first) if entry.size == 0 => return Ok(Some(link(entry, first))),
            None if entry.size == 0 && self.waiting_count < MAX_WAITING => {
                self.waiting_count += 1;
                self.waiting.entry(identity).or_default().push(entry);
                return Ok(None);
            }
            None if entry.size == 0 => return Err(invalid("too many names wait for the content of their file")),
            _ => {}
        }
        let waiting = self.waiting.remove(&identity).unwrap_or_default();
        self.waiting_count -= waiting.len();
        self.ready.extend(waiting.into_iter().map(|further| link(further, &entry.path)));
        self.known.insert(identity, entry.path.clone());
        self.expect_content(&entry);
        Ok(Some(entry))
    }

    /// Takes names whose content never came as those of empty files.
    fn end(&mut self) {
        self.has_ended = true;
        for names in std::mem::take(&mut self.waiting).into_values() {
            let mut names = names.into_iter();
            let Some(first) = names.next() else { continue };
            let further: Vec<TarEntry> = names.map(|further| link(further, &first.path)).collect();
            self.ready.push_back(first);
            self.ready.extend(further);
        }
    }

    /// Refuses what follows the end, unless that is padding: an initramfs may consist of several archives.
    fn check_end(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match self.input.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) if buffer.iter().take(length).all(|&byte| byte == 0) => {}
                Ok(_) => return Err(invalid("another archive follows its end: unpack it with `unmkinitramfs`")),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Returns an entry as a further name of a file.
fn link(entry: TarEntry, first: &[u8]) -> TarEntry {
    TarEntry { kind: EntryType::Link, link: first.to_vec(), pieces: Vec::new(), ..entry }
}

fn content(input: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    if length > MAX_RECORDS {
        return Err(invalid("the name of an entry is too long"));
    }
    let mut bytes = Vec::new();
    let read = input.take(length).read_to_end(&mut bytes)?;
    if read as u64 == length { Ok(bytes) } else { Err(invalid("the archive is cut off")) }
}

/// Reads up to a multiple of four.
fn pad(input: &mut impl Read, length: u64) -> io::Result<()> {
    content(input, length.next_multiple_of(4) - length).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of an archive: name, mode, inode, number of names and content.
    type Item<'i> = (&'i str, u32, u32, u32, &'i [u8]);

    fn archive(items: &[Item<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let end: Item<'_> = ("TRAILER!!!", 0, 0, 1, b"");
        for (name, mode, inode, links, content) in items.iter().chain([&end]) {
            let numbers = [*inode, *mode, 5, 6, *links, 7, content.len() as u32, 0, 0, 8, 9, name.len() as u32 + 1, 0];
            bytes.extend_from_slice(b"070701");
            numbers.iter().for_each(|number| bytes.extend_from_slice(format!("{number:08X}").as_bytes()));
            bytes.extend_from_slice(name.as_bytes());
            bytes.resize((bytes.len() + 1).next_multiple_of(4), 0);
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    /// Returns for each entry its name, its kind, where it leads, and its content.
    fn read(bytes: &[u8]) -> io::Result<Vec<(String, EntryType, String, String)>> {
        let (mut entries, mut found) = (CpioEntries::new(bytes), Vec::new());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        while let Some(entry) = entries.next()? {
            let mut content = vec![0; usize::try_from(entry.size).unwrap()];
            if !content.is_empty() && entry.kind == EntryType::Regular {
                let read = entries.read(&mut content)?;
                content.truncate(read);
            }
            found.push((text(&entry.path), entry.kind, text(&entry.link), text(&content)));
        }
        Ok(found)
    }

    #[test]
    fn content_may_come_with_any_name_of_a_file() {
        let (file, link) = (0o100_644, 0o120_777);
        let items: [Item<'_>; 8] = [
            (".", 0o040_755, 1, 2, b""),
            ("a", file, 2, 2, b""),
            ("b", file, 2, 2, b"last"),
            ("c", file, 3, 2, b"first"),
            ("d", file, 3, 2, b""),
            ("e", file, 4, 2, b""),
            ("f", file, 4, 2, b""),
            ("l", link, 5, 1, b"a/b"),
        ];
        let found = read(&archive(&items)).unwrap();
        let of = |name: &str| {
            let (_, kind, link, content) = found.iter().find(|(known, ..)| known == name).unwrap();
            (*kind, link.as_str(), content.as_str())
        };
        assert_eq!(of("b"), (EntryType::Regular, "", "last"));
        assert_eq!(of("a").1, "b");
        assert_eq!(of("c"), (EntryType::Regular, "", "first"));
        assert_eq!((of("d").0, of("d").1), (EntryType::Link, "c"));
        assert_eq!((of("e"), of("f").1), ((EntryType::Regular, "", ""), "e"));
        assert_eq!(of("l"), (EntryType::Symlink, "a/b", ""));
        let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, [".", "b", "a", "c", "d", "l", "e", "f"], "the content comes before further names");
    }

    #[test]
    fn damaged_archives_are_refused() {
        let whole = archive(&[("file", 0o100_644, 1, 1, b"content")]);
        for length in 0..whole.len() - 1 {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
        for (at, byte) in [(0, b'1'), (20, b'x')] {
            let mut damaged = whole.clone();
            damaged[at] = byte;
            assert!(read(&damaged).is_err(), "{at}");
        }
        let error = read(&[&whole[..], &[0; 512], &whole].concat()).unwrap_err().to_string();
        assert!(error.contains("another archive follows"), "{error}");
        assert!(read(&[&whole[..], &[0; 5000]].concat()).is_ok());
        let many: Vec<String> = (0..=MAX_WAITING).map(|number| number.to_string()).collect();
        let items: Vec<Item<'_>> =
            many.iter().zip(1..).map(|(name, inode)| (name.as_str(), 0o100_644, inode, 2, &b""[..])).collect();
        assert!(read(&archive(&items)).unwrap_err().to_string().contains("too many names wait"));
        let mut huge = whole.clone();
        huge[94..102].copy_from_slice(b"7FFFFFFF");
        assert!(read(&huge).unwrap_err().to_string().contains("too long"));
    }
}
