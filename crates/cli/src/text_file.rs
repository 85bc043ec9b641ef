//! Text files that the command line names.

use rootstrap_bootstrap::{Error, read_input, read_whole};
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::Path;

/// Reads a text file, or standard input for `-`.
///
/// # Errors
/// It cannot be read, or is no text. A pipe is refused, because it can be read only once and the program reads its arguments again when
/// it starts itself with other rights.
pub(crate) fn read(path: &str) -> Result<String, Error> {
    let bad = |reason: String| Error::InputFile { path: path.to_owned(), reason };
    let bytes = match path {
        "-" => standard_input(),
        path if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) => {
            return Err(bad("it is not a regular file; use - for standard input".to_owned()));
        }
        path => read_input(Path::new(path)),
    };
    let bytes = bytes.map_err(|error| bad(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| bad("it is not text in UTF-8".to_owned()))
}

/// Reads standard input to its end and puts a file with the same content in its place, which the next reader finds from its beginning on.
fn standard_input() -> io::Result<Vec<u8>> {
    let bytes = read_whole(&mut io::stdin())?;
    let mut copy = File::from(rustix::fs::memfd_create("standard-input", MemfdFlags::empty())?);
    copy.write_all(&bytes)?;
    copy.rewind()?;
    rustix::stdio::dup2_stdin(&copy)?;
    Ok(bytes)
}
