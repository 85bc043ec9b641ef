//! A .deb in a form that is cheap to read again: the same tar archives, not compressed, so that [`stage`](crate::stage) takes
//! it as it takes any .deb.
//!
//! A last member `_sha256`, which readers of a .deb ignore (deb(5)), has the digest of everything before it. That guards
//! against a disk that forgets, not against whoever can write there: it is only worth what the place is where it was kept.

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

/// Names this form. Changes with whatever [`stage`](crate::stage) would read in it otherwise.
pub const FORM: &str = "deb1";

const SEAL: &str = "_sha256";

/// Length of the last member and its header.
const SEAL_LENGTH: u64 = 60 + 64;

fn header(name: &str, size: u64) -> Vec<u8> {
    format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 100_644).into_bytes()
}

/// Whether a file is such a .deb and as it was when it was written. Reads it whole.
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
    Ok(hasher.finalize().iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect())
}

/// Writes one while the .deb is being read. What goes wrong with it is no matter of the .deb's: it is then just not kept.
pub(crate) struct Writer<'f> {
    file: &'f mut File,
    /// Bytes written, and the offset of the header of the member at hand.
    length: u64,
    begun: u64,
    failed: bool,
}

impl<'f> Writer<'f> {
    pub fn new(file: &'f mut File) -> Self {
        let mut writer = Self { file, length: 0, begun: 0, failed: false };
        writer.write(b"!<arch>\n");
        writer.write(&header("debian-binary", 4));
        writer.write(b"2.0\n");
        writer
    }

    /// What is written now is this member, up to [`Self::end`].
    pub fn begin(&mut self, name: &str) {
        self.begun = self.length;
        self.write(&header(name, 0));
    }

    pub fn end(&mut self, name: &str) {
        let header = header(name, self.length - self.begun - 60);
        // Ten digits are all there is room for.
        self.failed |= header.len() != 60 || self.file.write_all_at(&header, self.begun).is_err();
        if self.length % 2 == 1 {
            self.write(b"\n");
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.failed = self.failed || self.file.write_all(bytes).is_err();
        self.length += bytes.len() as u64;
    }

    /// Seals it; `false` if something went wrong.
    pub fn finish(mut self) -> bool {
        if self.failed {
            return false;
        }
        let Ok(digest) = digest(self.file, self.length) else { return false };
        self.write(&header(SEAL, 64));
        self.write(&digest);
        !self.failed
    }
}

/// Reads on, and writes what it reads.
pub(crate) struct Tee<'a, 'f, R> {
    pub reader: R,
    pub writer: Option<&'a mut Writer<'f>>,
}

impl<R: Read> Tee<'_, '_, R> {
    /// Reads what readers of tar archives leave behind the end of one.
    pub fn drain(&mut self) {
        if self.writer.is_some() {
            let drained = io::copy(self, &mut io::sink());
            if let Some(writer) = &mut self.writer {
                writer.failed |= drained.is_err();
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
