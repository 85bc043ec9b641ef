//! Keystores read back by the rules of the format.

use super::*;

/// The alias, the date in milliseconds, the type and the bytes of each certificate.
type Entries = Vec<(Vec<u8>, i64, Vec<u8>, Vec<u8>)>;

fn read(bytes: &[u8]) -> Entries {
    let (body, signature) = bytes.split_at(bytes.len() - 20);
    let mut hash = Sha1::new();
    for unit in "changeit".encode_utf16() {
        hash.update(unit.to_be_bytes());
    }
    hash.update(b"Mighty Aphrodite");
    hash.update(body);
    assert_eq!(hash.finalize().as_slice(), signature, "the digest");
    let mut rest = body;
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at(count);
        rest = left;
        taken.to_vec()
    };
    let number = |bytes: Vec<u8>| bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    assert_eq!(number(take(4)), 0xfeed_feed);
    assert_eq!(number(take(4)), 2);
    let count = number(take(4));
    let mut entries = Vec::new();
    for _ in 0..count {
        assert_eq!(number(take(4)), 2);
        let length = number(take(2)) as usize;
        let alias = take(length);
        let date = number(take(8)).cast_signed();
        let length = number(take(2)) as usize;
        let kind = take(length);
        let length = number(take(4)) as usize;
        entries.push((alias, date, kind, take(length)));
    }
    assert!(rest.is_empty());
    entries
}

fn certificate(alias: &str, der: &[u8]) -> (String, Vec<u8>) {
    (alias.to_owned(), der.to_vec())
}

#[test]
fn entries_survive_the_round_trip() {
    let given = [certificate("debian:A_Root=1=.pem", b"first"), certificate("debian:b.pem", b"")];
    let entries = read(&encode(&given, 1_700_000_000));
    let entry =
        |alias: &str, der: &[u8]| (alias.as_bytes().to_vec(), 1_700_000_000_000, b"X.509".to_vec(), der.to_vec());
    assert_eq!(entries, [entry("debian:a_root=1=.pem", b"first"), entry("debian:b.pem", b"")]);
    assert!(read(&encode(&[], 0)).is_empty());
}

#[test]
fn each_alias_appears_once() {
    let given = [certificate("a", b"1"), certificate("A", b"2")];
    let entries = read(&encode(&given, 0));
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].3, b"1");
}

#[test]
fn strings_are_in_javas_modified_utf8() {
    let alias = |text: &str| read(&encode(&[certificate(text, b"")], 0))[0].0.clone();
    assert_eq!(alias("ő€"), "ő€".as_bytes());
    assert_eq!(alias("\0"), [0xc0, 0x80]);
    assert_eq!(alias("😀"), [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]);
    assert_eq!(alias(&"é".repeat(40_000)).len(), 65_534);
}
