//! Archives in PAX and GNU formats that say more than a plain header can, and packages of extreme sizes or of another name.

use crate::Fate::{Contained, Harmless, Refused};
use crate::{attack, evil};
use rootstrap_testkit::deb::{Compression, ar};
use rootstrap_testkit::entry::{Entry, tar};
use tar::{EntryType, Header};

/// Returns a header and the contents after it, in whole blocks.
fn raw(name: &str, kind: u8, content: &[u8], size: Option<u64>) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(EntryType::new(kind));
    header.set_size(size.unwrap_or(content.len() as u64));
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Returns a PAX record with its length.
fn record(text: &str) -> Vec<u8> {
    let mut length = text.len() + 3;
    while format!("{length} {text}\n").len() != length {
        length = format!("{length} {text}\n").len();
    }
    format!("{length} {text}\n").into_bytes()
}

/// Returns an archive with the usual directories, these raw entries, and its end.
fn data(raw_entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = tar(&[Entry::dir("./", 0o755), Entry::dir("./usr/", 0o755)]);
    // Two headers; what follows is the end of the archive.
    bytes.truncate(1024);
    bytes.extend(raw_entries.concat());
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn with(raw_entries: &[Vec<u8>]) -> Vec<u8> {
    let control = Compression::Gz.compress(&evil().control_tar());
    let data = Compression::Gz.compress(&data(raw_entries));
    ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control), ("data.tar.gz", &data)], 0)
}

/// An entry whose PAX header has these records.
fn pax(records: &[&str], kind: u8, content: &[u8]) -> Vec<Vec<u8>> {
    let text: Vec<u8> = records.iter().flat_map(|text| record(text)).collect();
    vec![raw("./pax", b'x', &text, None), raw("./usr/file", kind, content, None)]
}

#[test]
fn pax_records_that_climb() {
    for (name, records) in [
        ("the path of a PAX record climbs", ["path=./../../../canary/file"]),
        ("the path of a PAX record is of more directories than names", ["path=usr/../../../../canary/file"]),
        ("the path of a PAX record is empty", ["path="]),
        ("the path of a PAX record has a newline", ["path=./usr/a\n/etc/passwd"]),
    ] {
        attack(&format!("hostile::{name}"), Refused, |_| with(&pax(&records, b'0', b"evil\n")));
    }
    attack("hostile::the link of a PAX record climbs", Refused, |_| {
        with(&pax(&["linkpath=./../../../canary/file"], b'1', b""))
    });
    attack("hostile::the link of a PAX record points out", Refused, |place| {
        with(&pax(&[&format!("linkpath={}", place.join("canary").display())], b'2', b""))
    });
}

#[test]
fn pax_numbers_out_of_range() {
    for text in ["size=18446744073709551616", "size=-1", "uid=4294967296", "mtime=x"] {
        attack(&format!("hostile::PAX {text}"), Contained, |_| with(&pax(&[text], b'0', b"evil\n")));
    }
}

#[test]
fn pax_headers_that_are_damaged() {
    for (name, text) in [
        ("a record longer than the header", &b"99 path=./usr/x\n"[..]),
        ("a record without a value", b"8 path\n\n"),
        ("a record of length 0", b"0 path=x\n"),
    ] {
        attack(&format!("hostile::{name}"), Contained, |_| {
            with(&[raw("./pax", b'x', text, None), raw("./usr/file", b'0', b"x", None)])
        });
    }
    attack("hostile::a PAX header at the end", Contained, |_| with(&[raw("./pax", b'x', &record("path=./x"), None)]));
    attack("hostile::a PAX header of 2 MiB", Refused, |_| {
        with(&[
            raw("./pax", b'x', &record(&format!("comment={}", "c".repeat(2 << 20))), None),
            raw("./x", b'0', b"x", None),
        ])
    });
    attack("hostile::a global PAX header that climbs", Contained, |_| {
        with(&[raw("./pax", b'g', &record("path=./../../../canary/file"), None), raw("./usr/file", b'0', b"x", None)])
    });
}

#[test]
fn gnu_names_that_climb() {
    for (name, kind, text, of) in [
        ("a long name of GNU climbs", b'L', "./../../../canary/file\0", b'0'),
        ("a long link of GNU climbs", b'K', "./../../../canary/file\0", b'1'),
        ("a long name of GNU has a newline", b'L', "./usr/a\nb\0", b'0'),
    ] {
        attack(&format!("hostile::{name}"), Refused, |_| {
            with(&[raw("././@LongLink", kind, text.as_bytes(), None), raw("./usr/file", of, b"", None)])
        });
    }
    attack("hostile::a long name of GNU of 2 MiB", Refused, |_| {
        with(&[raw("././@LongLink", b'L', &vec![b'n'; 2 << 20], None), raw("./usr/file", b'0', b"x", None)])
    });
    attack("hostile::a long name of GNU at the end", Contained, |_| {
        with(&[raw("././@LongLink", b'L', b"./x\0", None)])
    });
}

/// dpkg does not know sparse files, so no package has one.
#[test]
fn sparse_files() {
    for (name, records) in [
        (
            "a sparse file of 8 EiB",
            &["GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=9223372036854775807"][..],
        ),
        ("a sparse file whose name climbs", &["GNU.sparse.major=1", "GNU.sparse.name=./../../../canary/file"]),
        ("a sparse file of format 0", &["GNU.sparse.size=1099511627776", "GNU.sparse.numblocks=0"]),
    ] {
        attack(&format!("hostile::{name}"), Contained, |_| with(&pax(records, b'0', b"0\n")));
    }
    attack("hostile::a sparse file of old GNU", Refused, |_| with(&[raw("./usr/file", b'S', b"", None)]));
}

#[test]
fn a_hundred_thousand_files() {
    let entries: Vec<Vec<u8>> = (0..100_000).map(|number| raw(&format!("./usr/f{number}"), b'0', b"", None)).collect();
    attack("hostile::a package of 100000 files", Harmless, |_| with(&entries));
}

#[test]
fn packages_that_are_another_one() {
    for (name, field, value) in [
        ("another name", "Package", "evil2"),
        ("another version", "Version", "2"),
        ("an older version", "Version", "0~"),
        ("another architecture", "Architecture", "s390x"),
        ("no architecture at all", "Architecture", ""),
        ("a version that is a path", "Version", "../../1"),
    ] {
        attack(&format!("hostile::control is for {name}"), Refused, |_| evil().field(field, value).build());
    }
}
