//! The outer layer of a .deb: an `ar` archive of two or more members (deb(5)).
//!
//! This is not a general reader of `ar` archives, because every header is checked before it is used: plain characters in names,
//! plain decimal sizes, the end magic, and nothing past the end of the file.

use std::io::{self, Read, Seek, SeekFrom};

const MAGIC: &[u8; 8] = b"!<arch>\n";

/// One member: its name, and where its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub name: String,
    pub offset: u64,
    pub size: u64,
}

/// Lists the members, and checks that each lies within the file. The inner error is the reason why the archive is refused.
///
/// # Errors
/// Reading fails.
pub(crate) fn members(file: &mut (impl Read + Seek)) -> io::Result<Result<Vec<Member>, String>> {
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut magic = [0; 8];
    if end < 8 || !read_whole(file, &mut magic)? || &magic != MAGIC {
        return Ok(Err("it is not a Debian package (no ar magic)".into()));
    }
    let mut members = Vec::new();
    let mut position = 8;
    while position < end {
        let mut header = [0; 60];
        file.seek(SeekFrom::Start(position))?;
        if !read_whole(file, &mut header)? {
            return Ok(Err("it ends within a member header".into()));
        }
        let Some((name, size)) = parse(&header) else {
            return Ok(Err(format!("the member header at byte {position} is malformed")));
        };
        let offset = position + 60;
        if size > end - offset {
            return Ok(Err(format!("it is cut off within {name}")));
        }
        if members.len() == 16 {
            return Ok(Err("it has too many members".into()));
        }
        members.push(Member { name, offset, size });
        // Members start at even offsets. A missing pad byte after the last member is tolerated, as dpkg does.
        position = offset + size + size % 2;
    }
    Ok(Ok(members))
}

/// Reads name and size from a header; `None` if it is malformed.
fn parse(header: &[u8; 60]) -> Option<(String, u64)> {
    if &header[58..] != b"`\n" {
        return None;
    }
    let name = std::str::from_utf8(&header[..16]).ok()?.trim_end_matches(' ');
    let name = name.strip_suffix('/').unwrap_or(name);
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    if name.is_empty() || !name.bytes().all(plain) {
        return None;
    }
    let size = std::str::from_utf8(&header[48..58]).ok()?.trim_end_matches(' ');
    if size.is_empty() || !size.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((name.to_owned(), size.parse().ok()?))
}

/// Fills the buffer. Returns `false` if the file ends before.
fn read_whole(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn member(name: &str, size: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 100_644).into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }

    fn archive(parts: &[Vec<u8>]) -> Vec<u8> {
        [&MAGIC[..], &parts.concat()].concat()
    }

    #[test]
    fn members_are_found() {
        let bytes = archive(&[member("debian-binary", "4", b"2.0\n"), member("control.tar.xz/", "3", b"abc\n")]);
        let members = members(&mut Cursor::new(bytes)).unwrap().unwrap();
        assert_eq!(members[0], Member { name: "debian-binary".into(), offset: 68, size: 4 });
        assert_eq!(members[1], Member { name: "control.tar.xz".into(), offset: 132, size: 3 });
    }

    #[test]
    fn damage_is_refused() {
        let good = member("debian-binary", "4", b"2.0\n");
        let mut no_magic = good.clone();
        no_magic[58] = b'x';
        for bytes in [
            vec![],
            b"!<arch>".to_vec(),
            b"PK\x03\x04 and more".to_vec(),
            archive(&[member("/99999", "4", b"2.0\n")]),
            archive(&[member("a", "+4", b"2.0\n")]),
            archive(&[member("a", "-1", b"")]),
            archive(&[member("a", "", b"")]),
            archive(&[member("a", "99", b"short")]),
            archive(&[member("a", "99999999999999999999", b"short")]),
            archive(&[no_magic]),
            archive(&[good.clone(), b"x".to_vec()]),
            archive(&vec![member("a", "0", b""); 17]),
        ] {
            assert!(members(&mut Cursor::new(&bytes)).unwrap().is_err(), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}
