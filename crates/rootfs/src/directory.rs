//! The names in an open directory.

use crate::error::{Error, Result};
use rustix::fs::Dir;
use std::os::fd::BorrowedFd;

/// Returns the names in `directory`, sorted by bytes. `path` is where the directory is, for errors.
pub(crate) fn names(directory: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<Vec<u8>>> {
    let err = |errno| Error::new("list", path, errno);
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).map_err(err)? {
        let entry = entry.map_err(err)?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name.to_vec());
        }
    }
    names.sort();
    Ok(names)
}
