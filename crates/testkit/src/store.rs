//! The rules of a store of files by digest, as bazel-remote has them.

use crate::digest;
use crate::http::Head;
use std::io::{self, Read};

/// Reads a file that is put there.
pub(crate) fn read(reader: &mut impl Read, head: &Head) -> io::Result<Vec<u8>> {
    let length = head.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Returns whether these bytes may be at this path: below `cas/` the name is the digest, and what is below `ac/` names a file that is there.
pub(crate) fn may_be(path: &str, bytes: &[u8], has: &dyn Fn(&str) -> bool) -> bool {
    let mut parts = path.rsplitn(3, '/');
    let (name, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    // What comes before is the bucket of an object store.
    let above = parts.next().map(|above| format!("{above}/")).unwrap_or_default();
    match kind {
        "cas" => name == digest::sha256(bytes),
        "ac" => {
            let is_named = |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| has(&format!("{above}cas/{name}")));
            bytes.windows(64).any(is_named)
        }
        _ => false,
    }
}
