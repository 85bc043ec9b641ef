//! Text files that the command line names.

use rootstrap_bootstrap::{read_input, read_whole};
use std::path::Path;

/// Reads a text file, or standard input for `-`.
pub(crate) fn read(path: &str) -> Result<String, String> {
    let bytes = match path {
        "-" => read_whole(&mut std::io::stdin()),
        path => read_input(Path::new(path)),
    };
    let bytes = bytes.map_err(|error| format!("cannot read it: {error}"))?;
    String::from_utf8(bytes).map_err(|_| "it is not text in UTF-8".to_owned())
}
