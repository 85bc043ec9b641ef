//! Entries: files of the cache that nothing else vouches for, found by a key of all that decided their content.
//!
//! ```text
//! payload | notes | length of the notes (8 bytes, lowest first) | SHA-256 of everything before
//! ```
//!
//! A disk may lose or change bytes, so the digest is compared whenever an entry is read. An entry that is damaged is removed and
//! counts as absent.

use crate::direct_io;
use crate::directory::Cache;
use crate::error::Error;
use crate::file::{CachedFile, NewFile};
use crate::hash::{SHA256_LENGTH, for_each_chunk, sha256};
use crate::key::Key;
use rustix::fs::ioctl_ficlone;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes of the number that says how long the notes are.
const LENGTH_SIZE: u64 = 8;

/// The longest notes that are read. No writer makes longer ones.
const MAX_NOTES: u64 = 256 << 20;

/// The place of one entry, whether the entry exists or not.
#[derive(Clone, Debug)]
pub struct Entry {
    place: CachedFile,
    key: Key,
}

/// An entry that exists.
#[derive(Debug)]
pub struct StoredEntry {
    file: File,
    place: CachedFile,
    payload_size: u64,
    notes: Vec<u8>,
}

/// An entry that is being written. Dropping it removes what was written.
#[derive(Debug)]
pub struct NewEntry {
    file: NewFile,
    entry: Entry,
}

impl Entry {
    /// Returns the place of the entry with this key, in a directory of the caller's layer.
    #[must_use]
    pub fn new(cache: &Cache, directory: &str, key: &Key) -> Self {
        Self { place: CachedFile::new(cache, directory, &key.to_string()), key: *key }
    }

    /// Returns the entry if it exists and is undamaged, which reads all of it. This counts as a use.
    #[must_use]
    pub fn find(&self) -> Option<StoredEntry> {
        self.read(Check::Digest)
    }

    /// Returns the entry if it exists, without comparing its digest: for [`StoredEntry::copy_to`], which does that. This counts as
    /// a use.
    #[must_use]
    pub fn find_unchecked(&self) -> Option<StoredEntry> {
        self.read(Check::Lengths)
    }

    fn read(&self, check: Check) -> Option<StoredEntry> {
        let mut file = self.place.open_or_fetch(&self.key)?;
        let Some((payload_size, notes)) = read_notes(&mut file, check) else {
            self.place.remove();
            return None;
        };
        Some(StoredEntry { file, place: self.place.clone(), payload_size, notes })
    }

    /// Creates an empty entry to write to.
    ///
    /// # Errors
    /// No file can be created in the cache.
    pub fn create(&self) -> Result<NewEntry, Error> {
        Ok(NewEntry { file: self.place.create_private()?, entry: self.clone() })
    }
}

impl StoredEntry {
    /// Returns the notes that were stored beside the payload.
    #[must_use]
    pub fn notes(&self) -> &[u8] {
        &self.notes
    }

    /// Returns the length of the payload in bytes.
    #[must_use]
    pub fn payload_size(&self) -> u64 {
        self.payload_size
    }

    /// Returns a reader of the payload, from its beginning.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn payload(&self) -> io::Result<impl Read + Send + '_> {
        (&self.file).rewind()?;
        Ok((&self.file).take(self.payload_size))
    }

    /// Makes the empty file `to` share the blocks of the payload, and returns whether the filesystem can do that. The digest is not
    /// compared.
    ///
    /// # Errors
    /// The length of the file cannot be set.
    pub fn share_with(&self, to: &File) -> io::Result<bool> {
        let is_shared = share(&self.file, to)?;
        if is_shared {
            to.set_len(self.payload_size)?;
        }
        Ok(is_shared)
    }

    /// Copies the payload to `to` and returns whether the entry is undamaged. The digest is computed from the bytes that are
    /// copied, because checking it first would mean to read everything twice. A damaged entry is removed, and the caller must
    /// discard what was copied.
    ///
    /// # Errors
    /// The first error of reading the entry or writing to `to`.
    pub fn copy_to(&self, to: &mut impl Write) -> io::Result<bool> {
        let mut file = &self.file;
        file.rewind()?;
        let mut hasher = Sha256::new();
        let copied = for_each_chunk(&mut file.take(self.payload_size), |chunk| {
            hasher.update(chunk);
            to.write_all(chunk)
        })?;
        for_each_chunk(&mut file.take(self.notes.len() as u64 + LENGTH_SIZE), |chunk| {
            hasher.update(chunk);
            Ok(())
        })?;
        let mut expected = Vec::new();
        file.read_to_end(&mut expected)?;
        let is_undamaged = copied == self.payload_size && expected == hasher.finalize().as_slice();
        if !is_undamaged {
            self.place.remove();
        }
        Ok(is_undamaged)
    }
}

impl NewEntry {
    /// Returns the file to write the payload to.
    #[must_use]
    pub fn file(&self) -> &File {
        self.file.shared_file()
    }

    /// Appends `notes` and the digest to the payload that was written to [`Self::file`], and gives the entry its place.
    ///
    /// # Errors
    /// The file cannot be read, written or renamed.
    pub fn keep(mut self, notes: &[u8]) -> io::Result<()> {
        let file = self.file.file();
        file.seek(SeekFrom::End(0))?;
        file.write_all(notes)?;
        file.write_all(&(notes.len() as u64).to_le_bytes())?;
        file.rewind()?;
        let digest = sha256(file)?;
        file.write_all(&digest)?;
        self.persist()
    }

    /// Stores the bytes of `from` as the payload, with `notes`, and gives the entry its place. With `sync`,
    /// which waits for the disk, the filesystem shares the blocks if it can, and the bytes go past the page cache otherwise.
    ///
    /// # Errors
    /// The first error of `from` or of the file.
    pub fn keep_copy(self, mut from: &File, notes: &[u8], sync: bool) -> io::Result<()> {
        let length = (notes.len() as u64).to_le_bytes();
        from.rewind()?;
        // To share blocks, the kernel first waits for the disk.
        let is_shared = sync && share(from, self.file())?;
        let mut copy = |out: &mut dyn Write| {
            let mut hasher = Sha256::new();
            for_each_chunk(&mut from, |chunk| {
                hasher.update(chunk);
                if is_shared { Ok(()) } else { out.write_all(chunk) }
            })?;
            for end in [notes, &length] {
                hasher.update(end);
                out.write_all(end)?;
            }
            out.write_all(&hasher.finalize())
        };
        let mut file = self.file();
        if is_shared {
            file.seek(SeekFrom::End(0))?;
            copy(&mut file)?;
        } else if sync {
            direct_io::write(file, copy)??;
        } else {
            copy(&mut file)?;
        }
        self.persist()
    }

    fn persist(self) -> io::Result<()> {
        self.file.keep().map_err(io::Error::other)?;
        self.entry.place.share(&self.entry.key);
        Ok(())
    }
}

/// Makes the empty file `to` share all blocks of `from`. Returns `false`, with `to` empty, where the filesystem cannot do that.
fn share(from: &File, to: &File) -> io::Result<bool> {
    let is_done = ioctl_ficlone(to, from).is_ok();
    let length = to.metadata()?.len();
    // A filesystem may have stopped on the way.
    let is_whole = is_done && length == from.metadata()?.len();
    if !is_whole && length > 0 {
        to.set_len(0)?;
    }
    Ok(is_whole)
}

/// How much of an entry is checked before it is handed out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    Digest,
    Lengths,
}

/// Returns the length of the payload and the notes; `None` if the file is damaged.
fn read_notes(file: &mut File, check: Check) -> Option<(u64, Vec<u8>)> {
    let hashed = file.metadata().ok()?.len().checked_sub(SHA256_LENGTH as u64)?;
    if check == Check::Digest {
        let digest = sha256(&mut (&*file).take(hashed)).ok()?;
        let mut expected = [0; SHA256_LENGTH];
        file.read_exact(&mut expected).ok()?;
        if digest != expected {
            return None;
        }
    }
    let notes_end = hashed.checked_sub(LENGTH_SIZE)?;
    file.seek(SeekFrom::Start(notes_end)).ok()?;
    let mut length = [0; LENGTH_SIZE as usize];
    file.read_exact(&mut length).ok()?;
    let notes_size = u64::from_le_bytes(length);
    let payload_size = notes_end.checked_sub(notes_size).filter(|_| notes_size <= MAX_NOTES)?;
    file.seek(SeekFrom::Start(payload_size)).ok()?;
    let mut notes = vec![0; usize::try_from(notes_size).ok()?];
    file.read_exact(&mut notes).ok()?;
    Some((payload_size, notes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyBuilder;
    use std::fs;
    use std::path::Path;

    fn entry(directory: &Path, input: &str) -> Entry {
        let cache = Cache::open(Some(directory), Path::new("/nowhere")).unwrap();
        Entry::new(&cache, "archive", &KeyBuilder::new("test", &[0; 32]).text("input", input).finish())
    }

    fn store(entry: &Entry, payload: &[u8], notes: &[u8]) {
        let new = entry.create().unwrap();
        new.file().write_all(payload).unwrap();
        new.keep(notes).unwrap();
    }

    #[test]
    fn an_entry_is_found_by_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let one = entry(directory.path(), "one");
        assert!(one.find().is_none());
        store(&one, b"payload", b"notes");
        let found = one.find().unwrap();
        let mut payload = Vec::new();
        found.payload().unwrap().read_to_end(&mut payload).unwrap();
        assert_eq!((payload.as_slice(), found.notes(), found.payload_size()), (&b"payload"[..], &b"notes"[..], 7));
        let mut copy = Vec::new();
        assert!(one.find_unchecked().unwrap().copy_to(&mut copy).unwrap());
        assert_eq!(copy, b"payload");
        assert!(entry(directory.path(), "two").find().is_none());
    }

    #[test]
    fn a_copied_entry_has_the_same_bytes_as_a_written_one() {
        let directory = tempfile::tempdir().unwrap();
        let written = entry(directory.path(), "written");
        store(&written, b"payload", b"notes");
        let mut from = tempfile::tempfile_in(directory.path()).unwrap();
        from.write_all(b"payload").unwrap();
        for sync in [true, false] {
            let copied = entry(directory.path(), "copied");
            copied.create().unwrap().keep_copy(&from, b"notes", sync).unwrap();
            assert_eq!(fs::read(copied.place.path()).unwrap(), fs::read(written.place.path()).unwrap());
            assert!(copied.find().is_some());
        }
        assert_eq!(fs::read_dir(directory.path().join("v1/tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_entry_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let entry = entry(directory.path(), "x");
        let path = entry.place.path();
        for damage in 0..3 {
            store(&entry, b"payload", b"notes");
            let mut bytes = fs::read(path).unwrap();
            match damage {
                0 => bytes[2] ^= 1,
                1 => bytes.truncate(20),
                _ => bytes.clear(),
            }
            fs::write(path, &bytes).unwrap();
            let copied = entry.find_unchecked().map(|found| found.copy_to(&mut io::sink()).unwrap());
            assert_ne!(copied, Some(true), "{damage}");
            assert!(!path.exists(), "{damage}");
            fs::write(path, &bytes).unwrap();
            assert!(entry.find().is_none(), "{damage}");
            assert!(!path.exists(), "{damage}");
        }
    }
}
