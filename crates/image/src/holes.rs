//! Where files have contents and where nothing but zeros, so that images need no room for the latter.

use crate::entries::Entry;
use crate::error::go_on;
use crate::{Error, Result};
use mkext4::SparseSeg;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;

/// Bytes of a block: holes begin and end where blocks do.
pub(crate) const BLOCK: u64 = 4096;
/// Zeros of fewer bytes than this are no hole: what describes it costs more.
const LEAST_HOLE: u64 = 64 << 10;
/// Bytes of contents read at once.
const PIECE: usize = 256 << 10;

/// Contents and holes of a regular file, by turns. From the bytes, not from what the filesystem below says
/// of holes: that depends on the filesystem.
pub(crate) fn segments(entry: &Entry<'_>, cancel: &AtomicBool) -> Result<Vec<SparseSeg>> {
    // Lengths by turns of contents and of zeros, contents first.
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
    entry.contents(&entry.open()?, &mut |piece| {
        go_on(cancel).map_err(Error::Write)?;
        // A piece need not end where a block does.
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
            _ if at % 2 == 1 && length >= LEAST_HOLE => segments.push(SparseSeg::Hole(length)),
            Some(SparseSeg::Data(before)) => *before += length,
            _ => segments.push(SparseSeg::Data(length)),
        }
    }
    Ok(segments)
}

/// Reads what of a file is no hole.
pub(crate) struct Contents<'c> {
    file: File,
    segments: &'c [SparseSeg],
    /// Where in the file, and how much of the first segment was read.
    at: u64,
    done: u64,
    cancel: &'c AtomicBool,
    /// The library's errors do not tell reading from writing.
    failed: Option<io::Error>,
}

impl<'c> Contents<'c> {
    pub(crate) fn new(file: File, segments: &'c [SparseSeg], cancel: &'c AtomicBool) -> Self {
        Self { file, segments, at: 0, done: 0, cancel, failed: None }
    }

    /// Why the file could not be read to its end, if that is so.
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
