//! Contents of files: copied with their holes, and compared.

use rustix::fs::SeekFrom;
use std::fs::File;
use std::io::{self, Read, Write};

/// Bytes read at once. A longer file may have holes that are worth keeping.
pub(crate) const BUFFER: usize = 1 << 18;

/// Copies the contents of `from`, which is `size` bytes long, into the empty file `to`.
///
/// It reads and writes because `copy_file_range` refuses to copy between two filesystems, and sendfile(2) is no faster.
pub(crate) fn copy(from: &mut File, to: &mut File, size: u64, buffer: &mut [u8]) -> io::Result<()> {
    if size <= BUFFER as u64 {
        return copy_range(from, to, size, buffer);
    }
    let mut position = 0;
    while position < size {
        let start = match rustix::fs::seek(&*from, SeekFrom::Data(position)) {
            Ok(start) => start,
            // There is only a hole up to the end.
            Err(rustix::io::Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        let end = rustix::fs::seek(&*from, SeekFrom::Hole(start))?;
        rustix::fs::seek(&*from, SeekFrom::Start(start))?;
        rustix::fs::seek(&*to, SeekFrom::Start(start))?;
        copy_range(from, to, end.saturating_sub(start), buffer)?;
        position = end;
    }
    to.set_len(size)
}

fn copy_range(from: &mut File, to: &mut File, length: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut from = from.take(length);
    loop {
        match from.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether two files have the same contents from their current positions on.
pub(crate) fn equal(one: &mut impl Read, other: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let (left, right) = buffer.split_at_mut(buffer.len() / 2);
    loop {
        let (length, second) = (fill(one, left)?, fill(other, right)?);
        if left.get(..length) != right.get(..second) {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or the file ends. Returns the number of bytes read.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(room) = buffer.get_mut(length..).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
