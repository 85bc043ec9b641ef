//! Reading to the end in chunks, and hashing what was read.

use sha2::{Digest, Sha256};
use std::io::{self, Read};

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// The length of a SHA-256 in bytes.
pub(crate) const SHA256_LENGTH: usize = 32;

/// Reads `from` to its end, hands each chunk to `take`, and returns the number of bytes.
///
/// # Errors
/// The first error of `from` or of `take`. An interrupted read is repeated.
pub fn for_each_chunk(from: &mut impl Read, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut total = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => {
                take(buffer.get(..count).unwrap_or_default())?;
                total += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Returns the SHA-256 of all that `from` has left.
///
/// # Errors
/// The first error of `from`.
pub fn sha256(from: &mut impl Read) -> io::Result<[u8; SHA256_LENGTH]> {
    let mut hasher = Sha256::new();
    for_each_chunk(from, |chunk| {
        hasher.update(chunk);
        Ok(())
    })?;
    Ok(hasher.finalize().into())
}
