//! Copies on the command line, into the root and out of it: `SRC:DEST`.

use clap::builder::{OsStringValueParser, TypedValueParser};
use rootstrap_bootstrap::{Copy, Download, TarIn};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Returns the parser of copies.
pub(crate) fn parser() -> impl TypedValueParser<Value = Copy> {
    OsStringValueParser::new().try_map(copy)
}

/// Parses `SRC:DEST[:MODE[:USER:GROUP]]`. `DEST` is the last part that begins with a slash, so `SRC` may have colons. An empty mode is that
/// of the host's file.
fn copy(text: OsString) -> Result<Copy, String> {
    let bytes = text.into_vec();
    let wrong = || "it must be SRC:DEST, SRC:DEST:MODE or SRC:DEST:MODE:USER:GROUP".to_owned();
    let path = |parts: &[&[u8]]| PathBuf::from(OsString::from_vec(parts.join(&b':')));
    let parts: Vec<&[u8]> = bytes.split(|&b| b == b':').collect();
    let last = parts.len().saturating_sub(1);
    // Without such a part, the last one is a path that the request refuses.
    let at = parts.iter().rposition(|part| part.starts_with(b"/")).filter(|at| *at > 0).unwrap_or(last);
    let (from, rest) = parts.split_at_checked(at).ok_or_else(wrong)?;
    let (to, rest) = rest.split_first().ok_or_else(wrong)?;
    let rest = rest.iter().map(|part| std::str::from_utf8(part)).collect::<Result<Vec<_>, _>>().map_err(|_| wrong())?;
    let (mode, owner) = match rest.as_slice() {
        [] => ("", None),
        [mode] => (*mode, None),
        [mode, user, group] if !user.is_empty() && !group.is_empty() => {
            (*mode, Some(((*user).to_owned(), (*group).to_owned())))
        }
        _ => return Err(wrong()),
    };
    if to.is_empty() || from.iter().all(|part| part.is_empty()) {
        return Err(wrong());
    }
    let bad_mode = |_| format!("{mode} is no mode in octal, as in 0644");
    let mode = match mode {
        "" => None,
        mode => Some(u32::from_str_radix(mode, 8).map_err(bad_mode)?),
    };
    match mode {
        Some(mode) if mode > 0o7777 => Err(format!("{mode:o} is no mode of a file")),
        _ => Ok(Copy { from: path(from), to: path(&[to]), mode, owner }),
    }
}

/// Returns the parser of archives to unpack.
pub(crate) fn tar_in_parser() -> impl TypedValueParser<Value = TarIn> {
    OsStringValueParser::new().try_map(tar_in)
}

/// Parses `ARCHIVE:DIR`. `DIR` is the last part that begins with a slash, so `ARCHIVE` may have colons.
fn tar_in(text: OsString) -> Result<TarIn, String> {
    match copy(text) {
        Ok(Copy { from, to, mode: None, owner: None }) => Ok(TarIn { from, to }),
        _ => Err("it must be ARCHIVE:DIR".to_owned()),
    }
}

/// Returns the parser of downloads.
pub(crate) fn download_parser() -> impl TypedValueParser<Value = Download> {
    OsStringValueParser::new().try_map(download)
}

/// Parses `PATH:FILE`, where `FILE` may have colons.
fn download(text: OsString) -> Result<Download, String> {
    let bytes = text.into_vec();
    let wrong = || "it must be PATH:FILE, with an absolute path of the root".to_owned();
    let colon = bytes.iter().position(|b| *b == b':').filter(|at| *at > 1 && bytes.starts_with(b"/"));
    let (from, to) = bytes.split_at_checked(colon.ok_or_else(wrong)?).ok_or_else(wrong)?;
    let path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
    match to {
        [_, to @ ..] if !to.is_empty() => Ok(Download { from: path(from), to: path(to) }),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(from: &str, to: &str) -> Copy {
        Copy { from: from.into(), to: to.into(), mode: None, owner: None }
    }

    #[test]
    fn archives_and_downloads_have_two_paths() {
        assert_eq!(tar_in("a:b.tar:/c".into()), Ok(TarIn { from: "a:b.tar".into(), to: "/c".into() }));
        assert_eq!(download("/a:b:c".into()), Ok(Download { from: "/a".into(), to: "b:c".into() }));
        for wrong in ["a.tar", "a.tar:/c:0644", ":/a", ""] {
            assert!(tar_in(wrong.into()).is_err(), "{wrong}");
        }
        for wrong in ["a:b", "/a:", "/a", "/:b", ""] {
            assert!(download(wrong.into()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn copies_have_two_paths_and_may_have_a_mode_and_an_owner() {
        assert_eq!(copy("a:b:/c".into()).unwrap(), plain("a:b", "/c"));
        assert_eq!(copy("/a:/c".into()).unwrap(), plain("/a", "/c"));
        assert_eq!(copy("a:c".into()).unwrap(), plain("a", "c"), "the request refuses it");
        let shadow = copy("shadow:/etc/shadow:0640:root:shadow".into()).unwrap();
        assert_eq!((shadow.mode, shadow.owner), (Some(0o640), Some(("root".into(), "shadow".into()))));
        let kept = copy("a:/b::33:33".into()).unwrap();
        assert_eq!((kept.mode, kept.owner), (None, Some(("33".into(), "33".into()))));
        assert_eq!(copy("a:/b:4755".into()).unwrap().mode, Some(0o4755));
        for wrong in
            ["a", ":/a", ":", "a:/b:rw", "a:/b:98", "a:/b:17777", "a:/b:0644:root", "a:/b:0644:root:", "a:/b:1:2:3:4"]
        {
            assert!(copy(wrong.into()).is_err(), "{wrong}");
        }
    }
}
