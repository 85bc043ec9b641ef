//! `--tar-in`: archives of the host in the finished root.

use crate::error::Error;
use crate::request::TarIn;
use crate::transfer::copies;
use rootstrap_rootfs::Root;
use rootstrap_unpack::archive;
use rustix::fs::OFlags;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::AtomicBool;

/// An archive unpacks to about so many times its size.
const USUAL_RATIO: u64 = 4;

/// Refuses archives that cannot be unpacked, before anything is fetched. Returns about how many bytes they unpack to.
pub(crate) fn check(archives: &[TarIn]) -> Result<u64, Error> {
    let mut bytes: u64 = 0;
    for tar in archives {
        let to = tar.to.as_os_str().as_bytes();
        if !to.starts_with(b"/") || to.split(|&b| b == b'/').any(|part| part == b"..") {
            return Err(bad(tar, format!("{} is no absolute path without `..`", tar.to.display())));
        }
        let file = open(tar)?;
        bytes = bytes.saturating_add(file.metadata().map_err(Error::io("unpack", &tar.from))?.len());
        archive::check(file).map_err(|error| bad(tar, error.io().to_string()))?;
    }
    Ok(bytes.saturating_mul(USUAL_RATIO))
}

/// Unpacks the archives into `root`, in their order.
pub(crate) fn unpack(archives: &[TarIn], root: &Root, cancel: &AtomicBool) -> Result<(), Error> {
    for tar in archives {
        archive::extract_over(open(tar)?, root, tar.to.as_os_str().as_bytes(), cancel).map_err(
            |error| match error {
                archive::Error::Archive(error) => bad(tar, error.to_string()),
                error @ archive::Error::Tree(_) => error.into(),
            },
        )?;
    }
    Ok(())
}

/// Returns the SHA-256 of an archive's file.
pub(crate) fn digest(tar: &TarIn) -> Result<String, Error> {
    Ok(copies::content_digest(&mut open(tar)?).map_err(Error::io("read", &tar.from))?.to_string())
}

/// Opens the file of an archive. What is no file, such as a pipe, could not be read twice, and its digest would not be known.
fn open(tar: &TarIn) -> Result<File, Error> {
    let options = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&tar.from);
    let file = options.map_err(Error::io("unpack", &tar.from))?;
    let is_file = file.metadata().is_ok_and(|found| found.is_file());
    if is_file { Ok(file) } else { Err(bad(tar, "it is no regular file".to_owned())) }
}

fn bad(tar: &TarIn, reason: String) -> Error {
    Error::TarIn { path: tar.from.clone(), reason }
}
