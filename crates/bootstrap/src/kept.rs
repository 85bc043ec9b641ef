//! Finished things in the cache, by a digest of all that went into them: `base/KEY` and `result/KEY`.
//!
//! ```text
//! payload | notes | length of the notes, 8 bytes | SHA-256 of all before
//! ```
//!
//! A file is written to `tmp/` and gets its name when it is whole. What is read is hashed first: a disk may forget. Nothing
//! here is needed: whatever cannot be read is not there, and what cannot be written is not kept.

use crate::direct;
use sha2::{Digest, Sha256};
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::NamedTempFile;

/// The cache's own layout, as `rootstrap_fetch` makes it.
const VERSION: &str = "v1";
const DIGEST: usize = 32;
/// Nobody writes longer notes.
const MAX_NOTES: u64 = 256 << 20;

/// One thing by its name in a layer of the cache.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    top: PathBuf,
    layer: &'static str,
    key: String,
}

/// What was kept.
pub(crate) struct Found {
    file: File,
    path: PathBuf,
    /// Length of the payload.
    pub size: u64,
    /// What was noted beside it.
    pub notes: Vec<u8>,
}

impl Found {
    /// The payload, from its beginning.
    pub fn payload(&self) -> io::Result<impl Read + Send + '_> {
        (&self.file).rewind()?;
        Ok((&self.file).take(self.size))
    }

    /// Copies the payload, and says whether it and the notes are what they were when they were written: reading twice is what
    /// hashing them first would cost. What is not goes from the cache.
    pub fn copy(&self, to: &mut impl Write) -> io::Result<bool> {
        let mut from = Hashing { inner: &self.file, hasher: Sha256::new() };
        from.inner.rewind()?;
        let mut buffer = vec![0; 1 << 18];
        let mut left = self.size;
        while left > 0 {
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            match from.read(buffer.get_mut(..room).unwrap_or_default()) {
                Ok(0) => break,
                Ok(count) => {
                    to.write_all(buffer.get(..count).unwrap_or_default())?;
                    left -= count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let rest = self.notes.len() as u64 + 8;
        io::copy(&mut from.by_ref().take(rest), &mut io::sink())?;
        let Hashing { mut inner, hasher } = from;
        let mut expected = Vec::new();
        inner.read_to_end(&mut expected)?;
        let is_whole = left == 0 && expected == hasher.finalize().as_slice();
        if !is_whole {
            let _ = std::fs::remove_file(&self.path);
        }
        Ok(is_whole)
    }
}

/// Hashes what is read.
struct Hashing<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Something that is being written.
pub(crate) struct Draft {
    file: NamedTempFile,
    slot: Slot,
}

impl Slot {
    /// The place in `layer` of what depends on this very program and on `inputs`, and on nothing else.
    pub fn new(cache: &Path, layer: &'static str, inputs: &impl Debug) -> Option<Self> {
        let mut hasher = Sha256::new();
        hasher.update(program()?);
        hasher.update(format!("{inputs:?}"));
        let key = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self { top: cache.join(VERSION), layer, key })
    }

    fn path(&self) -> PathBuf {
        self.top.join(self.layer).join(&self.key)
    }

    /// What is there, if it is whole. Being asked for counts as use.
    pub fn find(&self) -> Option<Found> {
        self.look(true)
    }

    /// What is there, whole or not: for [`Found::copy`], which tells.
    pub fn find_unchecked(&self) -> Option<Found> {
        self.look(false)
    }

    fn look(&self, check: bool) -> Option<Found> {
        let path = self.path();
        let mut file = File::options().read(true).open(&path).ok()?;
        let found = read(&mut file, check);
        if found.is_none() {
            let _ = std::fs::remove_file(&path);
        }
        let (size, notes) = found?;
        let _ =
            File::options().append(true).open(&path).and_then(|file| file.set_modified(std::time::SystemTime::now()));
        Some(Found { file, path, size, notes })
    }

    /// A file to write the payload to.
    pub fn draft(self) -> io::Result<Draft> {
        let file = NamedTempFile::new_in(self.top.join("tmp"))?;
        Ok(Draft { file, slot: self })
    }
}

impl Draft {
    /// Where the payload goes.
    pub fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Adds the notes, hashes all, and gives it its name.
    pub fn keep(mut self, notes: &[u8]) -> io::Result<()> {
        let file = self.file.as_file_mut();
        file.seek(SeekFrom::End(0))?;
        file.write_all(notes)?;
        file.write_all(&(notes.len() as u64).to_le_bytes())?;
        file.rewind()?;
        let digest = hash(file)?;
        file.write_all(&digest)?;
        self.persist()
    }

    /// Writes what is left to be read of `from`, and keeps that with `notes`. `waits` is whether that may wait for the disk.
    pub fn keep_copy(self, from: &mut impl Read, notes: &[u8], waits: bool) -> io::Result<()> {
        let length = (notes.len() as u64).to_le_bytes();
        let mut copy = |out: &mut dyn Write| {
            let mut from = Hashing { inner: from.chain(notes).chain(&length[..]), hasher: Sha256::new() };
            io::copy(&mut from, out)?;
            out.write_all(&from.hasher.finalize())
        };
        if waits { direct::write(self.file.as_file(), copy)? } else { copy(&mut self.file.as_file()) }?;
        self.persist()
    }

    fn persist(self) -> io::Result<()> {
        let path = self.slot.path();
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        self.file.persist(path).map(drop).map_err(|error| error.error)
    }
}

/// Length of the payload, and the notes, of a file that is whole if that is to be checked.
fn read(file: &mut File, check: bool) -> Option<(u64, Vec<u8>)> {
    let whole = file.metadata().ok()?.len().checked_sub(DIGEST as u64)?;
    if check {
        let digest = hash(&mut (&*file).take(whole)).ok()?;
        let mut expected = [0; DIGEST];
        file.read_exact(&mut expected).ok()?;
        if digest != expected {
            return None;
        }
    }
    let length = whole.checked_sub(8)?;
    file.seek(SeekFrom::Start(length)).ok()?;
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes).ok()?;
    let noted = u64::from_le_bytes(bytes);
    let size = length.checked_sub(noted).filter(|_| noted <= MAX_NOTES)?;
    file.seek(SeekFrom::Start(size)).ok()?;
    let mut notes = vec![0; usize::try_from(noted).ok()?];
    file.read_exact(&mut notes).ok()?;
    Some((size, notes))
}

/// The digest of all that is left to be read.
fn hash(from: &mut impl Read) -> io::Result<[u8; DIGEST]> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize().into()),
            Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Begins to hash the running program, which the first slot has to wait for otherwise.
pub(crate) fn prepare() {
    let _ = std::thread::Builder::new().spawn(program);
}

/// The digest of the running program: another one may do everything differently, whatever its version says.
fn program() -> Option<[u8; DIGEST]> {
    static PROGRAM: OnceLock<Option<[u8; DIGEST]>> = OnceLock::new();
    *PROGRAM.get_or_init(|| File::open("/proc/self/exe").and_then(|mut file| hash(&mut file)).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(cache: &Path, inputs: &str) -> Slot {
        std::fs::create_dir_all(cache.join("v1/tmp")).unwrap();
        Slot::new(cache, "base", &inputs).unwrap()
    }

    fn put(slot: &Slot, payload: &[u8], notes: &[u8]) {
        let draft = slot.clone().draft().unwrap();
        draft.file().write_all(payload).unwrap();
        draft.keep(notes).unwrap();
    }

    #[test]
    fn what_is_kept_is_found_by_its_inputs() {
        let cache = tempfile::tempdir().unwrap();
        let one = slot(cache.path(), "one");
        assert!(one.find().is_none());
        put(&one, b"payload", b"notes");
        let found = one.find().unwrap();
        let mut payload = Vec::new();
        found.payload().unwrap().read_to_end(&mut payload).unwrap();
        assert_eq!((payload.as_slice(), found.notes.as_slice()), (&b"payload"[..], &b"notes"[..]));
        let mut copy = Vec::new();
        assert!(one.find_unchecked().unwrap().copy(&mut copy).unwrap());
        assert_eq!(copy, b"payload");
        // The other way leads to the same.
        for waits in [true, false] {
            let copied = slot(cache.path(), "copied");
            copied.clone().draft().unwrap().keep_copy(&mut &b"payload"[..], b"notes", waits).unwrap();
            assert_eq!(std::fs::read(copied.path()).unwrap(), std::fs::read(one.path()).unwrap());
            assert!(copied.find().is_some());
        }
        assert!(slot(cache.path(), "two").find().is_none());
        assert_eq!(std::fs::read_dir(cache.path().join("v1/tmp")).unwrap().count(), 0);
    }

    #[test]
    fn what_is_damaged_is_not_there() {
        let cache = tempfile::tempdir().unwrap();
        let slot = slot(cache.path(), "x");
        for damage in 0..3 {
            put(&slot, b"payload", b"notes");
            let mut bytes = std::fs::read(slot.path()).unwrap();
            match damage {
                0 => bytes[2] ^= 1,
                1 => bytes.truncate(20),
                _ => bytes.clear(),
            }
            std::fs::write(slot.path(), &bytes).unwrap();
            let copied = slot.find_unchecked().map(|found| found.copy(&mut io::sink()).unwrap());
            assert_ne!(copied, Some(true), "{damage}");
            assert!(!slot.path().exists(), "{damage}");
            std::fs::write(slot.path(), &bytes).unwrap();
            assert!(slot.find().is_none(), "{damage}");
            assert!(!slot.path().exists(), "{damage}");
        }
    }
}
