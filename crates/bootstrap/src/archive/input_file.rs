//! Files that the user names and that are read whole: keyrings, apt's sources and preferences, lists of packages.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The most bytes of such a file. Debian's keyring has 60 kB.
const LARGEST: u64 = 16 << 20;

/// The number (statfs(2)) of the filesystem of pipes without a name.
const PIPES: u64 = 0x5049_5045;

/// Reads a file, or what a shell hands over in its place (`<(gpg --export)`). Refuses what could be waited for or read without end.
///
/// # Errors
/// It cannot be read, is neither a regular file nor such a pipe, or is larger than 16 MiB.
pub fn read_input(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = open(path, true)?;
    read_whole(&mut file)
}

/// Opens a regular file.
///
/// # Errors
/// It cannot be opened, or is no regular file.
pub(crate) fn open_input(path: &Path) -> std::io::Result<File> {
    open(path, false)
}

fn open(path: &Path, may_be_pipe: bool) -> std::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "width and sign differ by architecture")]
    let is_pipe = rustix::fs::fstatfs(&file)?.f_type as u32 as u64 == PIPES;
    if !(file.metadata()?.is_file() || is_pipe && may_be_pipe) {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Reads an open file to its end.
///
/// # Errors
/// As for [`read_input`].
pub fn read_whole(file: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LARGEST {
        true => Err(std::io::Error::other("it is larger than 16 MiB")),
        false => Ok(bytes),
    }
}
