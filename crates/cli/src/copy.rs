//! Copies on the command line: `SRC:DEST`.

use clap::builder::{OsStringValueParser, TypedValueParser};
use rootstrap_bootstrap::Copy;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Returns the parser of copies.
pub(crate) fn parser() -> impl TypedValueParser<Value = Copy> {
    OsStringValueParser::new().try_map(copy)
}

fn copy(text: OsString) -> Result<Copy, &'static str> {
    let bytes = text.into_vec();
    let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
    match bytes.iter().rposition(|&b| b == b':').map(|at| bytes.split_at(at)) {
        Some((from @ [_, ..], [_, to @ ..])) => Ok(Copy { from: path(from), to: path(to) }),
        _ => Err("it must be SRC:DEST"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_cut_at_the_last_colon() {
        assert_eq!(copy("a:b:/c".into()).unwrap(), Copy { from: "a:b".into(), to: "/c".into() });
        for wrong in ["a", ":/a", ":"] {
            assert!(copy(wrong.into()).is_err(), "{wrong}");
        }
    }
}
