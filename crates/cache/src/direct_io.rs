//! Writing files past the page cache (`O_DIRECT`).
//!
//! A file that has to be on the disk before it gets its name need not be in memory as well. Through the page cache, the kernel
//! would first have to free memory for the bytes, and the run would then have to wait until the kernel has written them.

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

/// Bytes written at once.
const CHUNK: usize = 1 << 20;

/// Addresses and lengths are multiples of this (open(2), `O_DIRECT`). Where a filesystem asks for more, the file is written
/// through the page cache.
const ALIGNMENT: usize = 4096;

/// Calls `fill` to write the empty `file`, while another thread brings the bytes to the disk. Returns what `fill` returns.
///
/// # Errors
/// Returns the first error of the disk. After such an error `fill` sees only that the other thread has ended, so what `fill`
/// returned is dropped. The bytes that were written before the error stay in the file.
pub fn write<T>(file: &File, fill: impl FnOnce(&mut dyn Write) -> T) -> io::Result<T> {
    thread::scope(|scope| {
        let (full, chunks) = sync_channel(1);
        let (emptied, empty) = channel();
        let writer = thread::Builder::new().spawn_scoped(scope, move || write_chunks(file, &chunks, &emptied))?;
        let mut out = ChunkedWriter { chunk: Chunk::new(), full, empty };
        let filled = fill(&mut out);
        let sent = out.send();
        drop(out);
        // An error of the writing thread is the cause of every other error, so it is returned first.
        writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        sent.map(|()| filled)
    })
}

/// Memory that begins at an aligned address.
struct Chunk {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Chunk {
    fn new() -> Self {
        let memory = vec![0; CHUNK + ALIGNMENT];
        Self { start: memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT), memory, length: 0 }
    }

    /// Returns the aligned part of the memory, [`CHUNK`] bytes.
    fn aligned(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..self.start + CHUNK).unwrap_or_default()
    }
}

/// Fills one chunk while the other thread writes another.
struct ChunkedWriter {
    chunk: Chunk,
    full: SyncSender<Chunk>,
    empty: Receiver<Chunk>,
}

impl ChunkedWriter {
    fn send(&mut self) -> io::Result<()> {
        let next = self.empty.try_recv().unwrap_or_else(|_| Chunk::new());
        let full = std::mem::replace(&mut self.chunk, Chunk { length: 0, ..next });
        // The other thread has failed and reports the cause.
        self.full.send(full).map_err(|_| io::Error::other("the writer has ended"))
    }
}

impl Write for ChunkedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.chunk.length;
        let room = self.chunk.aligned().get_mut(length..).unwrap_or_default();
        let count = room.len().min(bytes.len());
        room.get_mut(..count).unwrap_or_default().copy_from_slice(bytes.get(..count).unwrap_or_default());
        self.chunk.length += count;
        if self.chunk.length == CHUNK {
            self.send()?;
        }
        Ok(count)
    }

    /// Does nothing: nobody reads the file before it is complete.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_chunks(file: &File, chunks: &Receiver<Chunk>, emptied: &Sender<Chunk>) -> io::Result<()> {
    let flags = fcntl_getfl(file)?;
    let mut is_direct = fcntl_setfl(file, flags | OFlags::DIRECT).is_ok();
    let (mut size, mut written) = (0, 0);
    for mut chunk in chunks {
        let length = chunk.length;
        let mut put = |count| file.write_all_at(chunk.aligned().get(..count).unwrap_or_default(), size).map(|()| count);
        let padded = if is_direct { length.next_multiple_of(ALIGNMENT) } else { length };
        let count = match put(padded) {
            Err(error) if is_direct && error.kind() == io::ErrorKind::InvalidInput => {
                is_direct = false;
                fcntl_setfl(file, flags)?;
                put(length)
            }
            done => done,
        };
        written = size + count? as u64;
        size += length as u64;
        let _ = emptied.send(chunk);
    }
    if is_direct {
        fcntl_setfl(file, flags)?;
    }
    if written == size { Ok(()) } else { file.set_len(size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_any_length_are_written() {
        let place = tempfile::tempdir().unwrap();
        // A tmpfs refuses O_DIRECT before Linux 6.6.
        for place in [place.path(), std::path::Path::new("/dev/shm")].into_iter().filter(|place| place.is_dir()) {
            for length in [0, 1, ALIGNMENT, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 5 * CHUNK + 4097] {
                let expected: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
                let file = tempfile::NamedTempFile::new_in(place).unwrap();
                let value = write(file.as_file(), |out| {
                    expected.chunks(70_001).try_for_each(|piece| out.write_all(piece)).map(|()| 7)
                });
                assert_eq!(value.unwrap().unwrap(), 7);
                assert!(std::fs::read(file.path()).unwrap() == expected, "{length} in {}", place.display());
                assert_eq!(fcntl_getfl(file.as_file()).unwrap() & OFlags::DIRECT, OFlags::empty());
            }
        }
    }

    #[test]
    fn the_error_of_the_disk_is_returned() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read_only = File::open(file.path()).unwrap();
        let failed = write(&read_only, |out| (0..10).try_for_each(|_| out.write_all(&[0; CHUNK]))).unwrap_err();
        assert_eq!(failed.raw_os_error(), Some(9), "{failed}");
    }
}
