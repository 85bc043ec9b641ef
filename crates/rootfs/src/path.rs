//! Paths as the bytes that the kernel takes them for.

/// Splits `path` at its last slash into parent and name, both without that slash.
///
/// A path without a slash has the empty parent, as a path directly below `/` has.
#[must_use]
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/').and_then(|slash| path.split_at_checked(slash)) {
        Some((parent, name)) => (parent, name.strip_prefix(b"/").unwrap_or(name)),
        None => (b"", path),
    }
}

/// The part of `path` before its last slash; empty if there is no slash.
#[must_use]
pub fn parent(path: &[u8]) -> &[u8] {
    split(path).0
}

/// The part of `path` after its last slash; all of it if there is no slash.
#[must_use]
pub fn name(path: &[u8]) -> &[u8] {
    split(path).1
}

/// `path` without a leading `./`, and without slashes at its beginning and end.
pub(crate) fn trim(path: &[u8]) -> &[u8] {
    let mut path = path;
    while let Some(rest) = path.strip_prefix(b"./").or_else(|| path.strip_prefix(b"/")) {
        path = rest;
    }
    while let Some(rest) = path.strip_suffix(b"/") {
        path = rest;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_split_at_the_last_slash() {
        for (path, parent, name) in [
            ("", "", ""),
            ("/", "", ""),
            ("a", "", "a"),
            ("/a", "", "a"),
            ("a/b", "a", "b"),
            ("/a/b", "/a", "b"),
            ("a//b", "a/", "b"),
            ("a/", "a", ""),
        ] {
            assert_eq!(split(path.as_bytes()), (parent.as_bytes(), name.as_bytes()), "{path:?}");
        }
        assert_eq!((super::parent(b"a/b/c"), super::name(b"a/b/c")), (&b"a/b"[..], &b"c"[..]));
    }

    #[test]
    fn trimming_keeps_the_inside() {
        for (path, trimmed) in [("./", ""), ("././a/", "a"), ("/a//b//", "a//b"), (".", "."), ("..", "..")] {
            assert_eq!(trim(path.as_bytes()), trimmed.as_bytes(), "{path:?}");
        }
    }
}
