//! Parsed indexes in the cache, so that an index is decoded and parsed only once.
//!
//! The name of a file has its format and the digest of the index that it was made from, as the Release lists it. The file has the
//! parts of a [`Table`] (the long text, the short one, the numbers), then three numbers (bytes of the decoded index, packages, bytes
//! of the short text), all of 64 bits with the lowest byte first, and a SHA-256 of all that and of the file's name.
//!
//! No signature covers these files. They were made from a verified index by a process that could write the user's cache,
//! and whoever can do that can act as the user anyway. The digest is for damage by disks, and for files that were cut off or
//! renamed. A file that does not fit is removed and made again from the index.

use crate::error::Error;
use crate::layers::INDEXES_DIRECTORY;
use crate::limits;
use rootstrap_cache::{Cache, CachedFile, Key, KeyBuilder, NewFile};
use rootstrap_debian::digest::Digest;
use rootstrap_debian::packages::Table;
use rustix::process::setpriority_process;
use rustix::thread::gettid;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// The format of the files. It must be raised whenever other bytes are written for the same index: for a new field of [`Table`], for
/// another order of its fields, or for another layout of the file. A test compares the bytes.
const FORMAT: u32 = 2;

/// Length of the digest at the end of a file.
const DIGEST_LENGTH: u64 = 32;

/// The nice value of a thread that runs when no other wants to (nice(2)).
const LOWEST_PRIORITY: i32 = 19;

/// The threads that write parsed indexes while the run goes on. Dropping it waits for them.
pub(crate) struct ParsedIndexWriters {
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Whether a later session will find the cache. Otherwise nothing is written.
    for_later: bool,
}

impl ParsedIndexWriters {
    pub fn new(for_later: bool) -> Self {
        Self { threads: Mutex::default(), for_later }
    }

    /// Starts to write the packages of an index of `decoded` bytes to `place`. If that fails, the next run takes a little longer
    /// and nothing else happens.
    pub fn write(&self, place: ParsedIndexFile, table: Arc<Table>, decoded: u64) {
        if !self.for_later {
            return;
        }
        let Ok(file) = place.file.create() else { return };
        let write = move || {
            // All other work goes first.
            let _ = setpriority_process(Some(gettid()), LOWEST_PRIORITY);
            let _ = place.write(file, &table, decoded);
        };
        if let Ok(writer) = thread::Builder::new().name("index".to_owned()).spawn(write) {
            self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(writer);
        }
    }
}

impl Drop for ParsedIndexWriters {
    fn drop(&mut self) {
        for writer in self.threads.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = writer.join();
        }
    }
}

/// The place of one parsed index in the cache, whether it exists or not.
pub(crate) struct ParsedIndexFile {
    name: String,
    file: CachedFile,
}

impl ParsedIndexFile {
    /// Returns the place for the index whose file has this digest.
    pub fn new(cache: &Cache, digest: &Digest) -> Self {
        let name = format!("{FORMAT}-{digest}");
        Self { file: CachedFile::new(cache, INDEXES_DIRECTORY, &name), name }
    }

    /// Reads the packages if the file exists, is undamaged, and was made from an index of at most `limit` bytes. A damaged file is
    /// removed.
    pub fn read(&self, limit: u64) -> Option<Table> {
        let file = self.file.open_or_fetch(&self.key())?;
        let Some((table, decoded)) = self.parse_file(file).ok().flatten() else {
            self.file.remove();
            return None;
        };
        (decoded <= limit).then_some(table)
    }

    fn parse_file(&self, file: File) -> io::Result<Option<(Table, u64)>> {
        let size = file.metadata()?.len();
        let mut bytes = Vec::with_capacity(usize::try_from(size.min(limits::INDEX_TEXT)).unwrap_or_default());
        file.take(limits::INDEX_TEXT).read_to_end(&mut bytes)?;
        Ok(self.parse(bytes))
    }

    /// Returns the table and the bytes of the decoded index; `None` if the bytes are damaged.
    fn parse(&self, mut bytes: Vec<u8>) -> Option<(Table, u64)> {
        let (body, digest) = bytes.split_last_chunk::<32>()?;
        let (body, trailer) = body.split_last_chunk::<24>()?;
        let number = |chunk: &[u8; 8]| u64::from_le_bytes(*chunk);
        let [decoded, packages, short_length] = trailer.as_chunks::<8>().0 else { return None };
        let packages = usize::try_from(number(packages)).ok()?;
        let short_length = usize::try_from(number(short_length)).ok()?;
        let (text, numbers) = body.split_at_checked(body.len().checked_sub(packages.checked_mul(16)?)?)?;
        let (long, short) = text.split_at_checked(text.len().checked_sub(short_length)?)?;
        if self.digest([long, short, numbers, trailer]) != *digest {
            return None;
        }
        let (decoded, short) = (number(decoded), String::from_utf8(short.to_vec()).ok()?);
        let (end, numbers) = (long.len(), numbers.to_vec());
        // The long text is at the beginning, so it need not be copied.
        bytes.truncate(end);
        Some((Table::from_parts([short, String::from_utf8(bytes).ok()?], &numbers), decoded))
    }

    /// Writes the packages of an index of `decoded` bytes to `file` and gives it its place.
    fn write(&self, mut file: NewFile, table: &Table, decoded: u64) -> Result<(), Error> {
        let ([short, long], numbers) = table.parts();
        let trailer = [decoded, table.len() as u64, short.len() as u64].map(u64::to_le_bytes);
        let parts = [long.as_bytes(), short.as_bytes(), &numbers, trailer.as_flattened()];
        // A file of more bytes would not be read.
        if parts.iter().map(|part| part.len() as u64).sum::<u64>() + DIGEST_LENGTH > limits::INDEX_TEXT {
            return Ok(());
        }
        let written = parts.iter().try_for_each(|part| file.file().write_all(part));
        let written = written.and_then(|()| file.file().write_all(&self.digest(parts)));
        written.map_err(|source| rootstrap_cache::Error::write(self.file.path(), source))?;
        file.keep()?;
        self.file.share(&self.key());
        Ok(())
    }

    /// Returns what stands for the file in a store that several machines share. Its name has the format, so every version of this program
    /// that knows the format makes the same file.
    fn key(&self) -> Key {
        KeyBuilder::new("parsed-index", &[0; 32]).text("name", &self.name).finish()
    }

    /// Returns a digest of the name and of all parts. Half of the long text is hashed apart from the rest, so that two processors
    /// share the work.
    fn digest(&self, [long, rest @ ..]: [&[u8]; 4]) -> [u8; 32] {
        let (first, second) = long.split_at(long.len() / 2);
        thread::scope(|scope| {
            // Without a thread, it takes a moment longer.
            let other = thread::Builder::new().spawn_scoped(scope, || Sha256::digest(first));
            let mut hash = Sha256::new_with_prefix(second);
            rest.iter().for_each(|part| hash.update(part));
            let first = match other {
                Ok(other) => other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(_) => Sha256::digest(first),
            };
            hash.chain_update(first).chain_update(&self.name).finalize().into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// One package with a value in every field that a [`Table`] has, and one with few fields.
    const INDEX: &str = "Package: full\nVersion: 1:2-3\nArchitecture: amd64\nMulti-Arch: same\nEssential: yes\n\
        Priority: required\nSection: libs\nTask: q, r\nSource: source (2)\nDepends: a, b\nPre-Depends: c\nRecommends: d\nSuggests: e\n\
        Enhances: f\nProvides: g (= 1)\nConflicts: h\nBreaks: i\nReplaces: j\nFilename: pool/full.deb\nSize: 7\n\
        Installed-Size: 8\nSHA256: aa\nSHA512: bb\nMaintainer: K <k@l>\nOriginal-Maintainer: M <m@n>\n\
        Homepage: https://o.example\nDescription: p\n\nPackage: few\nVersion: 1\n\n";

    /// SHA-256 of the file that [`INDEX`] becomes, for the [`FORMAT`] beside it.
    const GOLDEN: (u32, &str) = (2, "150e1f95b3b300a00154a3724ff9752d9bf3ba65d49f09cbb7978f492d87121d");

    #[test]
    fn the_format_number_is_raised_when_the_bytes_change() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(directory.path()), Path::new("/nowhere")).unwrap();
        let place = ParsedIndexFile::new(&cache, &Digest::Sha256([7; 32]));
        let table = Table::parse(INDEX);
        place.write(place.file.create().unwrap(), &table, INDEX.len() as u64).unwrap();
        assert!(place.read(u64::MAX).as_ref() == Some(&table));
        let bytes = std::fs::read(place.file.path()).unwrap();
        let digest = base16ct::lower::encode_string(&Sha256::digest(&bytes));
        assert_eq!(
            (FORMAT, digest.as_str()),
            GOLDEN,
            "the bytes of a parsed index have changed: raise FORMAT by one, so that files of the old format are not read, and put \
             the new number and digest into GOLDEN. If FORMAT was raised already, only GOLDEN has to follow."
        );
    }
}
