//! A .deb in a form that is cheap to read again: the same tar archives without compression. [`stage`](crate::stage) reads it as
//! it reads any .deb.
//!
//! The last member, `_sha256`, contains the digest of everything before it; readers of a .deb ignore it (deb(5)). The digest
//! protects against a damaged disk, but not against a user who may write there: the file deserves as much trust as the
//! directory that holds it.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

/// The name of this format. It has to change whenever [`stage`](crate::stage) would read the same file differently.
pub const FORMAT: &str = "deb1";

/// The name of the member that has the digest.
const SEAL: &str = "_sha256";

/// Bytes of that member and its header.
const SEAL_LENGTH: u64 = 60 + 64;

/// The header of a member (ar(5)).
fn header(name: &str, size: u64) -> Vec<u8> {
    format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 100_644).into_bytes()
}

/// Whether a file is such a .deb and has not changed since it was written. The whole file is read.
#[must_use]
pub fn is_whole(file: &mut File) -> bool {
    has_its_digest(file).unwrap_or(false)
}

fn has_its_digest(file: &mut File) -> io::Result<bool> {
    let Some(length) = file.metadata()?.len().checked_sub(SEAL_LENGTH) else { return Ok(false) };
    let mut seal = Vec::new();
    file.seek(SeekFrom::Start(length))?;
    file.read_to_end(&mut seal)?;
    Ok(seal == [header(SEAL, 64), digest(file, length)?].concat())
}

/// The digest of the first `length` bytes, in hexadecimal.
fn digest(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    file.rewind()?;
    let mut file = file.take(length);
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 17]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(buffer.get(..count).unwrap_or_default()),
        }
    }
    Ok(base16ct::lower::encode_string(&hasher.finalize()).into_bytes())
}

/// Writes such a .deb while the original is being read. If writing fails, the copy is not kept; reading the original goes on.
pub(crate) struct Writer<'f> {
    file: &'f mut File,
    /// Bytes written.
    length: u64,
    /// The offset of the header of the current member.
    member: u64,
    has_failed: bool,
}

impl<'f> Writer<'f> {
    pub fn new(file: &'f mut File) -> Self {
        let mut writer = Self { file, length: 0, member: 0, has_failed: false };
        writer.write(b"!<arch>\n");
        writer.write(&header("debian-binary", 4));
        writer.write(b"2.0\n");
        writer
    }

    /// Begins the member `name`. Everything that is written until [`Self::end`] belongs to it.
    pub fn begin(&mut self, name: &str) {
        self.member = self.length;
        self.write(&header(name, 0));
    }

    /// Ends the member `name`, and writes its length into its header.
    pub fn end(&mut self, name: &str) {
        let header = header(name, self.length - self.member - 60);
        // The header has room for a length of ten digits, and becomes longer with more.
        self.has_failed |= header.len() != 60 || self.file.write_all_at(&header, self.member).is_err();
        if self.length % 2 == 1 {
            self.write(b"\n");
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.has_failed = self.has_failed || self.file.write_all(bytes).is_err();
        self.length += bytes.len() as u64;
    }

    /// Writes the digest. Returns `false` if anything could not be written.
    pub fn finish(mut self) -> bool {
        if self.has_failed {
            return false;
        }
        let Ok(digest) = digest(self.file, self.length) else { return false };
        self.write(&header(SEAL, 64));
        self.write(&digest);
        !self.has_failed
    }
}

/// A reader that also writes what is read through it to `writer`.
pub(crate) struct Tee<'a, 'f, R> {
    pub reader: R,
    pub writer: Option<&'a mut Writer<'f>>,
}

impl<R: Read> Tee<'_, '_, R> {
    /// Reads to the end what readers of tar archives leave unread after the end of an archive.
    pub fn drain(&mut self) {
        if self.writer.is_some() {
            let drained = io::copy(self, &mut io::sink());
            if let Some(writer) = &mut self.writer {
                writer.has_failed |= drained.is_err();
            }
        }
    }
}

impl<R: Read> Read for Tee<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        if let Some(writer) = &mut self.writer {
            writer.write(buffer.get(..count).unwrap_or_default());
        }
        Ok(count)
    }
}
