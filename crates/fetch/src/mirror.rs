//! Where files come from: HTTP servers and directories.

use crate::error::Error;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rootstrap_http::{Url, redact, redirect};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A parsed mirror URI.
#[derive(Debug, Clone)]
pub(crate) struct Mirror {
    /// The URI as it was given, without slashes at its end. It contains the password, if there is one.
    pub uri: String,
    /// The URI for messages, with `***` instead of a password.
    pub shown: String,
    base: Location,
}

/// The place of a mirror or of one of its files.
#[derive(Debug, Clone)]
pub(crate) enum Location {
    Http(Url),
    File(PathBuf),
}

impl Mirror {
    /// Parses an `http:`, `https:`, `file:` or `copy:` URI. Slashes at its end make no difference.
    pub fn parse(uri: &str) -> Result<Self, Error> {
        let bad = |reason| Error::Mirror { uri: redact::password(uri), reason };
        let (scheme, rest) = uri.split_once(':').ok_or_else(|| bad("it has no scheme"))?;
        let base = match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => {
                let url = Url::parse(uri.trim_end_matches('/'))
                    .map_err(|_| Error::Mirror { uri: redact::unparsable(uri), reason: "it is not a valid URI" })?;
                if url.query().is_some() || url.fragment().is_some() {
                    return Err(bad("it has a query or a fragment"));
                }
                Location::Http(url)
            }
            "file" | "copy" => {
                let path = match rest.strip_prefix("//") {
                    Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
                    None => rest,
                };
                if !path.starts_with('/') {
                    return Err(bad("its path is not absolute"));
                }
                Location::File(PathBuf::from(unescape(path)))
            }
            _ => return Err(bad("its scheme is not supported")),
        };
        Ok(Self { uri: uri.trim_end_matches('/').to_owned(), shown: redact::password(uri), base })
    }

    /// Whether both mirrors are paths of one server, so that the second does not help where the server does not answer.
    pub fn is_same_server(&self, other: &Self) -> bool {
        match (&self.base, &other.base) {
            (Location::Http(url), Location::Http(other)) => redirect::is_same_origin(url, other),
            (Location::File(_), Location::File(_)) => true,
            _ => false,
        }
    }

    /// Whether the mirror is a directory, so that it needs no network.
    pub fn is_directory(&self) -> bool {
        matches!(self.base, Location::File(_))
    }

    /// Returns the place of a file of the mirror. `path` is relative and has no `..`.
    pub fn locate(&self, path: &str) -> Location {
        match &self.base {
            Location::File(directory) => Location::File(directory.join(path)),
            Location::Http(base) => {
                let mut url = base.clone();
                url.set_path(&format!("{}/{}", base.path().trim_end_matches('/'), escape(path)));
                Location::Http(url)
            }
        }
    }
}

/// Parses a list of mirrors and drops repetitions. `what` names in the error what would be fetched.
pub(crate) fn parse_all(uris: &[String], what: &str) -> Result<Vec<Mirror>, Error> {
    let mut mirrors: Vec<Mirror> = Vec::with_capacity(uris.len());
    for uri in uris {
        let mirror = Mirror::parse(uri)?;
        if mirrors.iter().all(|known| known.uri != mirror.uri) {
            mirrors.push(mirror);
        }
    }
    if mirrors.is_empty() { Err(Error::NoMirror { what: what.to_owned() }) } else { Ok(mirrors) }
}

/// The bytes that are percent-encoded in the path of a URL: all that have a special meaning there. Like apt, this also encodes `+`,
/// because some object stores read that as a space.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~').remove(b':');

fn escape(path: &str) -> String {
    utf8_percent_encode(path, ENCODED).to_string()
}

/// Decodes percent-encoding. An invalid escape stays as it is.
fn unescape(path: &str) -> OsString {
    OsString::from_vec(percent_decode_str(path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(uri: &str, path: &str) -> String {
        match Mirror::parse(uri).unwrap().locate(path) {
            Location::Http(url) => url.to_string(),
            Location::File(path) => path.display().to_string(),
        }
    }

    #[test]
    fn a_trailing_slash_makes_no_difference() {
        for base in ["http://m.example/debian", "http://m.example/debian/", "http://m.example/debian//"] {
            assert_eq!(at(base, "dists/x/InRelease"), "http://m.example/debian/dists/x/InRelease");
        }
        assert_eq!(at("http://m.example", "a"), "http://m.example/a");
        assert_eq!(at("http://m.example:8080/", "a"), "http://m.example:8080/a");
    }

    #[test]
    fn plus_signs_and_question_marks_stay_part_of_the_path() {
        assert_eq!(at("https://m.example/d", "g++_1~a?b#c.deb"), "https://m.example/d/g%2B%2B_1~a%3Fb%23c.deb");
    }

    #[test]
    fn file_and_copy_uris_are_directories() {
        for base in [
            "file:/srv/my%20mirror",
            "file:///srv/my%20mirror/",
            "copy:/srv/my mirror",
            "file://localhost/srv/my mirror",
        ] {
            assert_eq!(at(base, "g++"), "/srv/my mirror/g++");
        }
    }

    #[test]
    fn other_uris_are_refused() {
        for uri in ["", "debian", "ftp://m.example", "file:relative", "http://", "http://m.example/?x", "cdrom:x"] {
            assert!(Mirror::parse(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let mirror = Mirror::parse("https://me:secret@m.example/x").unwrap();
        assert_eq!(mirror.shown, "https://me:***@m.example/x");
        assert!(!Mirror::parse("https://me:secret@m.example/?q").unwrap_err().to_string().contains("secret"));
    }
}
