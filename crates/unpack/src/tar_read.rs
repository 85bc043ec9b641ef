//! Reads the entries of a tar archive that any program may have written: ustar, PAX and GNU, sparse files included.
//!
//! This is not the reader of the `tar` crate, because PAX values may hold any bytes (capabilities do) and because the records
//! of a sparse file change what the contents of its entry are.

use std::collections::BTreeMap;
use std::io::{self, Read};
use tar::{EntryType, Header};

const BLOCK: usize = 512;
/// The most bytes of a long name or of the PAX records of one entry. No honest archive needs more.
pub(crate) const MAX_RECORDS: u64 = 1 << 20;
/// The most bytes of one sparse file. Images are written with its holes filled, so a few bytes of archive must not become an
/// endless layer.
const MAX_SPARSE: u64 = 64 << 30;
/// The most pieces of one sparse file.
const MAX_PIECES: usize = 1 << 16;

/// One entry. Its contents follow in the stream.
#[derive(Debug)]
pub(crate) struct TarEntry {
    pub kind: EntryType,
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    pub device: (u32, u32),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Length of the file.
    pub size: u64,
    /// The parts of the file that have contents, as offset and length, in the order of the stream. The rest are holes.
    pub pieces: Vec<(u64, u64)>,
}

/// Reads entries one after the other.
pub(crate) struct Entries<R> {
    input: R,
    /// Bytes of the current entry that are still in the stream.
    left: u64,
    /// Bytes that fill the last block of the current entry.
    padding: u64,
}

pub(crate) fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl<R: Read> Entries<R> {
    pub fn new(input: R) -> Self {
        Self { input, left: 0, padding: 0 }
    }

    /// Returns one that is in the middle of an entry, of which so many bytes are left.
    #[cfg(test)]
    pub fn holding(input: R, left: u64) -> Self {
        Self { input, left, padding: 0 }
    }

    /// Skips the rest of the current entry and reads the next one; `None` at the end of the archive.
    pub fn next(&mut self) -> io::Result<Option<TarEntry>> {
        let mut records = BTreeMap::new();
        let (mut long_name, mut long_link) = (None, None);
        loop {
            self.skip()?;
            let mut block = [0; BLOCK];
            self.input.read_exact(&mut block).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => invalid("the archive is cut off"),
                _ => error,
            })?;
            if block == [0; BLOCK] {
                // What follows the end means nothing, but the program that writes it may wait until it is read.
                io::copy(&mut self.input, &mut io::sink())?;
                return Ok(None);
            }
            let header = Header::from_byte_slice(&block);
            check(header, &block)?;
            let size = match number(&records, b"size")? {
                // These entries have no contents, even if their headers name a size.
                _ if has_no_contents(header.entry_type()) => 0,
                Some(size) if !matches!(header.entry_type(), EntryType::XHeader | EntryType::XGlobalHeader) => size,
                _ => header.entry_size()?,
            };
            let whole = size.checked_next_multiple_of(BLOCK as u64).ok_or_else(|| invalid("an entry is too large"))?;
            (self.left, self.padding) = (size, whole - size);
            match header.entry_type() {
                EntryType::XHeader => records = parse(&self.take_all()?)?,
                EntryType::XGlobalHeader => self.take_all().map(drop)?,
                EntryType::GNULongName => long_name = Some(until_zero(self.take_all()?)),
                EntryType::GNULongLink => long_link = Some(until_zero(self.take_all()?)),
                _ => return self.entry(header, &records, long_name, long_link).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        records: &BTreeMap<Vec<u8>, Vec<u8>>,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> io::Result<TarEntry> {
        let text = |key: &[u8]| records.get(key).cloned();
        let path = text(b"GNU.sparse.name").or_else(|| text(b"path")).or(long_name);
        let link = text(b"linkpath").or(long_link);
        let id = |key: &[u8], of_header: io::Result<u64>| {
            let value = number(records, key)?.map_or(of_header, Ok)?;
            // The largest number means "no change" to chown(2), so it is no owner.
            u32::try_from(value).ok().filter(|id| *id != u32::MAX).ok_or_else(|| invalid("an owner has no such number"))
        };
        let mtime = match records.get(&b"mtime"[..]) {
            Some(text) => seconds(text)?,
            None => i64::try_from(header.mtime()?).unwrap_or(i64::MAX),
        };
        let mut xattrs = Vec::new();
        for (key, value) in records {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                xattrs.push((name.to_vec(), value.clone()));
            }
        }
        let device = (header.device_major().ok().flatten(), header.device_minor().ok().flatten());
        let mut entry = TarEntry {
            kind: header.entry_type(),
            path: path.unwrap_or_else(|| header.path_bytes().into_owned()),
            link: link.or_else(|| header.link_name_bytes().map(|name| name.into_owned())).unwrap_or_default(),
            mode: header.mode()? & 0o7777,
            uid: id(b"uid", header.uid())?,
            gid: id(b"gid", header.gid())?,
            mtime,
            device: (device.0.unwrap_or(0), device.1.unwrap_or(0)),
            xattrs,
            size: self.left,
            pieces: vec![(0, self.left)],
        };
        self.sparse(header, records, &mut entry)?;
        // Old versions of tar(1) wrote directories like this.
        if entry.kind == EntryType::Regular && entry.path.ends_with(b"/") {
            entry.kind = EntryType::Directory;
        }
        Ok(entry)
    }

    /// Reads the map of holes of a sparse file (tar(5) of libarchive, "GNU tar"; GNU tar manual, "Storing Sparse Files").
    fn sparse(
        &mut self,
        header: &Header,
        records: &BTreeMap<Vec<u8>, Vec<u8>>,
        entry: &mut TarEntry,
    ) -> io::Result<()> {
        if header.entry_type() == EntryType::GNUSparse {
            let gnu = header.as_gnu().ok_or_else(|| invalid("a sparse file is not in GNU's format"))?;
            entry.pieces.clear();
            for piece in gnu.sparse.iter().filter(|piece| !piece.is_empty()) {
                entry.pieces.push((piece.offset()?, piece.length()?));
            }
            let mut more = gnu.is_extended();
            while more {
                let mut block = tar::GnuExtSparseHeader::new();
                self.input.read_exact(block.as_mut_bytes())?;
                for piece in block.sparse().iter().filter(|piece| !piece.is_empty()) {
                    entry.pieces.push((piece.offset()?, piece.length()?));
                }
                more = block.is_extended();
                if entry.pieces.len() > MAX_PIECES {
                    return Err(invalid("a sparse file has too many pieces"));
                }
            }
            entry.size = gnu.real_size()?;
            entry.kind = EntryType::Regular;
        } else if records.keys().any(|key| key.starts_with(b"GNU.sparse.")) {
            if number(records, b"GNU.sparse.major")? != Some(1) {
                return Err(invalid("a sparse file is in a form that has not been written for a long time"));
            }
            entry.pieces = self.map()?;
            entry.size = number(records, b"GNU.sparse.realsize")?.unwrap_or(entry.size);
        } else {
            return Ok(());
        }
        if entry.size > MAX_SPARSE {
            return Err(invalid("a sparse file is larger than 64 GiB"));
        }
        let mut end = 0u64;
        for &(offset, length) in &entry.pieces {
            if offset < end || offset.checked_add(length).is_none_or(|end| end > entry.size) {
                return Err(invalid("the pieces of a sparse file do not fit together"));
            }
            end = offset + length;
        }
        if entry.pieces.iter().map(|(_, length)| u128::from(*length)).sum::<u128>() == u128::from(self.left) {
            Ok(())
        } else {
            Err(invalid("a sparse file has not the contents that it names"))
        }
    }

    /// Reads the map at the beginning of the contents of a sparse file, format 1.0: decimal numbers, one on each line, in whole
    /// blocks.
    fn map(&mut self) -> io::Result<Vec<(u64, u64)>> {
        let mut block = [0; BLOCK];
        let mut at = BLOCK;
        let mut number = || -> io::Result<u64> {
            let mut value = 0u64;
            loop {
                if at == BLOCK {
                    self.left =
                        self.left.checked_sub(BLOCK as u64).ok_or_else(|| invalid("a map of holes has no end"))?;
                    self.input.read_exact(&mut block)?;
                    at = 0;
                }
                let byte = block.get(at).copied().unwrap_or_default();
                at += 1;
                let digit = match byte {
                    b'\n' => return Ok(value),
                    b'0'..=b'9' => u64::from(byte - b'0'),
                    _ => return Err(invalid("a map of holes has something else than numbers")),
                };
                value = value
                    .checked_mul(10)
                    .and_then(|value| value.checked_add(digit))
                    .ok_or_else(|| invalid("a map of holes has a number that is too large"))?;
            }
        };
        let count = number()?;
        if count > MAX_PIECES as u64 {
            return Err(invalid("a sparse file has too many pieces"));
        }
        (0..count).map(|_| Ok((number()?, number()?))).collect()
    }

    /// Reads contents of the current entry into `buffer`. Returns the number of bytes read.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        loop {
            match self.input.read(buffer.get_mut(..room).unwrap_or_default()) {
                Ok(0) if room > 0 => return Err(invalid("the archive is cut off")),
                Ok(length) => {
                    self.left -= length as u64;
                    return Ok(length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn skip(&mut self) -> io::Result<()> {
        let over = self.left.saturating_add(self.padding);
        (self.left, self.padding) = (0, 0);
        match io::copy(&mut (&mut self.input).take(over), &mut io::sink())? == over {
            true => Ok(()),
            false => Err(invalid("the archive is cut off")),
        }
    }

    /// Reads all contents of the current entry.
    fn take_all(&mut self) -> io::Result<Vec<u8>> {
        if self.left > MAX_RECORDS {
            return Err(invalid("the records of an entry are too long"));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.input).take(self.left).read_to_end(&mut bytes)?;
        self.left -= read as u64;
        if self.left == 0 { Ok(bytes) } else { Err(invalid("the archive is cut off")) }
    }
}

fn has_no_contents(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    )
}

/// Fails unless the checksum of the header is right.
fn check(header: &Header, block: &[u8; BLOCK]) -> io::Result<()> {
    // The sum of all bytes, with the bytes of the checksum field taken as blanks.
    let sum: u32 =
        block.iter().enumerate().map(|(at, &byte)| u32::from(if (148..156).contains(&at) { b' ' } else { byte })).sum();
    match header.cksum() {
        Ok(given) if given == sum => Ok(()),
        _ => Err(invalid("it is no tar archive, or a damaged one")),
    }
}

/// Parses PAX records: `LENGTH KEY=VALUE\n`, where the length counts the whole record.
fn parse(mut bytes: &[u8]) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let bad = || invalid("the records of an entry are damaged");
    let mut records = BTreeMap::new();
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|&b| b == b' ').ok_or_else(bad)?;
        let length =
            decimal(bytes.get(..blank).unwrap_or_default()).and_then(|n| usize::try_from(n).ok()).ok_or_else(bad)?;
        let (record, rest) = bytes.split_at_checked(length).ok_or_else(bad)?;
        let record = record.get(blank + 1..).and_then(|record| record.strip_suffix(b"\n")).ok_or_else(bad)?;
        let equals = record.iter().position(|&b| b == b'=').ok_or_else(bad)?;
        let (key, value) = record.split_at(equals);
        records.insert(key.to_vec(), value.get(1..).unwrap_or_default().to_vec());
        bytes = rest;
    }
    Ok(records)
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn number(records: &BTreeMap<Vec<u8>, Vec<u8>>, key: &[u8]) -> io::Result<Option<u64>> {
    let Some(text) = records.get(key) else { return Ok(None) };
    decimal(text).map(Some).ok_or_else(|| invalid("the records of an entry are damaged"))
}

/// Parses a time with a fraction into whole seconds, rounded down.
fn seconds(text: &[u8]) -> io::Result<i64> {
    let bad = || invalid("the records of an entry are damaged");
    let text = std::str::from_utf8(text).map_err(|_| bad())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().map_err(|_| bad())?;
    let below = whole.starts_with('-') && fraction.bytes().any(|b| b != b'0');
    Ok(seconds.saturating_sub(i64::from(below)))
}

fn until_zero(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len()));
    bytes
}
