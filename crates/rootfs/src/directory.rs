//! The names in an open directory.

use crate::error::{Error, Result};
use rustix::fs::Dir;
use std::os::fd::BorrowedFd;

/// Returns the names in `directory`, sorted by bytes. `path` is where the directory is, for errors.
pub(crate) fn names(directory: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut names = read(directory).map_err(|errno| Error::new("list", path, errno))?;
    names.sort();
    Ok(names)
}

/// Returns the names in `directory`, in the order of the filesystem.
pub(crate) fn read(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}
