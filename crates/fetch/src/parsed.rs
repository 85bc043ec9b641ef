//! Indexes as they were read before, so that they need not be decoded and parsed again.
//!
//! A file is named after its format and the digest of the index, as the Release lists it, that it was made from. It is the parts of the [`Table`] (the long text, the short one, the numbers), then three numbers (bytes of the decoded index,
//! packages, bytes of the short text), all of 64 bits with the lowest byte first, and a SHA-256 of all that and of its name.
//!
//! No signature covers these files. What is in them was read from a verified index by a process that could write the
//! user's cache, and whoever can do that can do as the user does; the digest is for what disks forget, and for files that
//! were cut off or put under another name. One that does not fit is removed, and made again from the index.

use crate::cache::{Cache, persist, touch};
use crate::limits;
use rootstrap_debian::digest::Digest;
use rootstrap_debian::packages::Table;
use rustix::process::setpriority_process;
use rustix::thread::gettid;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use tempfile::NamedTempFile;

/// To be changed with anything that changes what is written for the same index.
const FORMAT: u32 = 1;

/// Of a thread that runs when no other wants to (nice(2)).
const LOWEST: i32 = 19;

/// What is written while the run goes on. Dropping it waits for that.
pub(crate) struct Writers {
    threads: Mutex<Vec<JoinHandle<()>>>,
    for_later: bool,
}

impl Writers {
    /// None yet. Nothing is written unless that is `for_later`.
    pub fn new(for_later: bool) -> Self {
        Self { threads: Mutex::default(), for_later }
    }

    /// Has the packages of an index of `decoded` bytes written to `place`. Where that cannot be done the next run takes a
    /// little longer, and nothing else comes of it.
    pub fn save(&self, cache: &Cache, place: Place, table: Arc<Table>, decoded: u64) {
        if !self.for_later {
            return;
        }
        let Ok(file) = cache.temporary() else { return };
        let write = move || {
            // Whoever waits for something else goes first.
            let _ = setpriority_process(Some(gettid()), LOWEST);
            let _ = place.save(file, &table, decoded);
        };
        if let Ok(writer) = thread::Builder::new().name("index".to_owned()).spawn(write) {
            self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(writer);
        }
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        for writer in self.threads.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = writer.join();
        }
    }
}

/// Where in the cache one index is.
pub(crate) struct Place {
    name: String,
    path: PathBuf,
}

impl Place {
    /// That of the index whose file has this digest.
    pub fn of(cache: &Cache, digest: &Digest) -> Self {
        let name = format!("{FORMAT}-{digest}");
        Self { path: cache.index_path(&name), name }
    }

    /// The packages, if they are here as they were written and come from no more than `limit` bytes of index. What is
    /// damaged is removed.
    pub fn load(&self, limit: u64) -> Option<Table> {
        let metadata = fs::symlink_metadata(&self.path).ok()?;
        let found = metadata.is_file().then(|| self.read(metadata.len()).ok().flatten()).flatten();
        let Some((table, decoded)) = found else {
            let _ = fs::remove_file(&self.path);
            return None;
        };
        touch(&self.path);
        (decoded <= limit).then_some(table)
    }

    fn read(&self, size: u64) -> io::Result<Option<(Table, u64)>> {
        let mut bytes = Vec::with_capacity(usize::try_from(size.min(limits::INDEX_TEXT)).unwrap_or_default());
        File::open(&self.path)?.take(limits::INDEX_TEXT).read_to_end(&mut bytes)?;
        Ok(self.check(bytes))
    }

    fn check(&self, mut bytes: Vec<u8>) -> Option<(Table, u64)> {
        let (body, digest) = bytes.split_last_chunk::<32>()?;
        let (body, trailer) = body.split_last_chunk::<24>()?;
        let number = |chunk: &[u8; 8]| u64::from_le_bytes(*chunk);
        let [decoded, count, heads] = trailer.as_chunks::<8>().0 else { return None };
        let (count, heads) = (usize::try_from(number(count)).ok()?, usize::try_from(number(heads)).ok()?);
        let (text, numbers) = body.split_at_checked(body.len().checked_sub(count.checked_mul(16)?)?)?;
        let (long, short) = text.split_at_checked(text.len().checked_sub(heads)?)?;
        if self.digest([long, short, numbers, trailer]) != *digest {
            return None;
        }
        let (decoded, heads) = (number(decoded), String::from_utf8(short.to_vec()).ok()?);
        let (end, numbers) = (long.len(), numbers.to_vec());
        // The long one stays where it is.
        bytes.truncate(end);
        Some((Table::from_parts([heads, String::from_utf8(bytes).ok()?], &numbers), decoded))
    }

    /// Writes the packages of an index of `decoded` bytes to `file` and gives that its name.
    fn save(&self, mut file: NamedTempFile, table: &Table, decoded: u64) -> io::Result<()> {
        let ([short, long], numbers) = table.parts();
        let trailer = [decoded, table.len() as u64, short.len() as u64].map(u64::to_le_bytes);
        let parts = [long.as_bytes(), short.as_bytes(), &numbers, trailer.as_flattened()];
        // It would not be read.
        if parts.iter().map(|part| part.len() as u64).sum::<u64>() + 32 > limits::INDEX_TEXT {
            return Ok(());
        }
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.write_all(&self.digest(parts))?;
        persist(file, &self.path).map_err(io::Error::other)
    }

    /// A digest of the name and of all parts. Half of the first is hashed apart from the rest, so that two processors share
    /// the work.
    fn digest(&self, [long, rest @ ..]: [&[u8]; 4]) -> [u8; 32] {
        let (first, second) = long.split_at(long.len() / 2);
        thread::scope(|scope| {
            let first = scope.spawn(|| Sha256::digest(first));
            let mut hash = Sha256::new_with_prefix(second);
            rest.iter().for_each(|part| hash.update(part));
            let first = first.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            hash.chain_update(first).chain_update(&self.name).finalize().into()
        })
    }
}
