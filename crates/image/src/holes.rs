//! Finds long runs of zeros in files, so that images have holes there.

use crate::entries::Entry;
use crate::stoppable::go_on;
use crate::{Error, Result};
use mkext4::SparseSeg;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;

/// The size of a block in bytes. Holes begin and end at block boundaries.
pub(crate) const BLOCK: u64 = 4096;
/// The smallest size of a hole in bytes. A smaller hole would save less space than its description takes.
const MIN_HOLE: u64 = 64 << 10;
/// The largest number of bytes read at once.
const PIECE: usize = 256 << 10;

/// Returns the data and the holes of a regular file in their order. Holes follow from the bytes alone: the holes that the
/// host's filesystem reports depend on that filesystem.
pub(crate) fn segments(entry: &Entry<'_>, cancel: &AtomicBool) -> Result<Vec<SparseSeg>> {
    // The lengths of runs of data and of zeros in turns, data first.
    let mut runs = vec![0];
    let mut block_at = |block: &[u8]| {
        let zeros = block.iter().all(|&byte| byte == 0);
        if zeros == (runs.len() % 2 == 1) {
            runs.push(0);
        }
        if let Some(last) = runs.last_mut() {
            *last += block.len() as u64;
        }
    };
    let mut rest = Vec::new();
    entry.read_contents(&entry.open()?, &mut |piece| {
        go_on(cancel).map_err(Error::Write)?;
        // A piece may end inside a block.
        rest.extend_from_slice(piece);
        let whole = rest.len() - rest.len() % BLOCK as usize;
        rest.drain(..whole).as_slice().chunks(BLOCK as usize).for_each(&mut block_at);
        Ok(())
    })?;
    if !rest.is_empty() {
        block_at(&rest);
    }
    let mut segments = Vec::new();
    for (at, length) in runs.into_iter().enumerate().filter(|&(_, length)| length > 0) {
        match segments.last_mut() {
            _ if at % 2 == 1 && length >= MIN_HOLE => segments.push(SparseSeg::Hole(length)),
            Some(SparseSeg::Data(before)) => *before += length,
            _ => segments.push(SparseSeg::Data(length)),
        }
    }
    Ok(segments)
}

/// Reads the data of a file and skips its holes.
pub(crate) struct Contents<'c> {
    file: File,
    segments: &'c [SparseSeg],
    /// The position in the file.
    at: u64,
    /// How many bytes of the first segment have been read.
    done: u64,
    cancel: &'c AtomicBool,
    /// The error of the last read. The library's errors do not distinguish reading from writing.
    failed: Option<io::Error>,
}

impl<'c> Contents<'c> {
    pub(crate) fn new(file: File, segments: &'c [SparseSeg], cancel: &'c AtomicBool) -> Self {
        Self { file, segments, at: 0, done: 0, cancel, failed: None }
    }

    /// Returns the error if the file could not be read.
    pub(crate) fn failed(self) -> Option<io::Error> {
        self.failed
    }
}

impl Read for Contents<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some((first, rest)) = self.segments.split_first() else { return Ok(0) };
            let (&SparseSeg::Data(length) | &SparseSeg::Hole(length)) = first;
            if matches!(first, SparseSeg::Hole(_)) || self.done == length {
                self.at += length - self.done;
                (self.segments, self.done) = (rest, 0);
                continue;
            }
            let wanted = usize::try_from(length - self.done).unwrap_or(usize::MAX).min(buffer.len()).min(PIECE);
            let piece = buffer.get_mut(..wanted).unwrap_or_default();
            let read = go_on(self.cancel).and_then(|()| self.file.read_exact_at(piece, self.at));
            if let Err(error) = read {
                let kind = error.kind();
                self.failed = Some(error);
                return Err(kind.into());
            }
            (self.at, self.done) = (self.at + wanted as u64, self.done + wanted as u64);
            return Ok(wanted);
        }
    }
}
