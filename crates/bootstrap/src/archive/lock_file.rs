//! Reading lock files.

use crate::error::Error;
use rootstrap_lock::Lock;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Reads a lock file.
///
/// # Errors
/// There is no such file, it cannot be read, or it is no lock.
pub fn read_lock(path: &Path) -> Result<Lock, Error> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::NoLock { path: path.to_owned() },
        _ => Error::io("read", path)(error),
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(rootstrap_lock::SIZE + 1).read_to_end(&mut bytes).map_err(failed)?;
    let parsed = match String::from_utf8(bytes) {
        Ok(text) if text.len() as u64 <= rootstrap_lock::SIZE => Lock::parse(&text),
        Ok(_) => Err(rootstrap_lock::Error::Invalid { reason: "it is larger than 64 MiB".to_owned() }),
        Err(_) => Err(rootstrap_lock::Error::Invalid { reason: "it is not text".to_owned() }),
    };
    parsed.map_err(|source| Error::LockFile { path: path.to_owned(), source })
}
