//! The value of a key in a remote store: an `ActionResult` of the remote execution API (remote_execution.proto) with one output file.
//!
//! Servers of such stores, as bazel-remote, take nothing else below `/ac/`, and check that `/cas/` has the file.

use crate::hash::SHA256_LENGTH;

/// The most bytes of such a value that are read.
pub(crate) const LONGEST: usize = 64 << 10;

/// Numbers of fields: `ActionResult.output_files`, `OutputFile.path` and `.digest`, `Digest.hash` and `.size_bytes`.
const OUTPUT_FILES: u64 = 2;
const PATH: u64 = 1;
const DIGEST: u64 = 2;
const HASH: u64 = 1;
const SIZE: u64 = 2;

/// Kinds of values (protobuf, "Message Structure").
const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

/// A file in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// 64 hexadecimal digits.
    pub digest: String,
    pub size: u64,
}

/// Returns the value of a key that stands for this file.
pub(crate) fn encode(output: &Output) -> Vec<u8> {
    let mut digest = field(HASH, output.digest.as_bytes());
    digest.extend(varint(SIZE << 3 | VARINT));
    digest.extend(varint(output.size));
    let file = [field(PATH, b"entry"), field(DIGEST, &digest)].concat();
    field(OUTPUT_FILES, &file)
}

/// Returns the file that a value stands for; `None` if it is no such value.
pub(crate) fn decode(bytes: &[u8]) -> Option<Output> {
    let file = value(bytes, OUTPUT_FILES)?.1?;
    let digest = value(file, DIGEST)?.1?;
    let hash = std::str::from_utf8(value(digest, HASH)?.1?).ok()?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_digest = hash.len() == 2 * SHA256_LENGTH && hash.bytes().all(is_hex);
    is_digest.then_some(())?;
    Some(Output { digest: hash.to_owned(), size: value(digest, SIZE)?.0 })
}

fn field(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | LENGTH_DELIMITED), varint(content.len() as u64), content.to_vec()].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Returns the first value of a field: a number, and its bytes if it has a length.
fn value(mut message: &[u8], wanted: u64) -> Option<(u64, Option<&[u8]>)> {
    while !message.is_empty() {
        let tag = take_varint(&mut message)?;
        let found = match tag & 7 {
            VARINT => (take_varint(&mut message)?, None),
            LENGTH_DELIMITED => {
                let length = take_varint(&mut message)?;
                let (content, rest) = message.split_at_checked(usize::try_from(length).ok()?)?;
                message = rest;
                (length, Some(content))
            }
            // Fixed numbers of 8 and 4 bytes, in fields that are not read.
            1 => {
                message = message.get(8..)?;
                continue;
            }
            5 => {
                message = message.get(4..)?;
                continue;
            }
            _ => return None,
        };
        if tag >> 3 == wanted {
            return Some(found);
        }
    }
    None
}

fn take_varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_back() {
        for size in [0, 1, 127, 128, 300, u64::MAX] {
            let output = Output { digest: "0a".repeat(32), size };
            let expected = (size != 0 || decode(&encode(&output)).is_some()).then_some(output.clone());
            assert_eq!(decode(&encode(&output)), expected);
        }
    }

    #[test]
    fn other_bytes_are_no_value() {
        let whole = encode(&Output { digest: "0a".repeat(32), size: 7 });
        for end in 0..whole.len() {
            assert_eq!(decode(whole.get(..end).unwrap()), None, "{end}");
        }
        for bytes in [&b"<html>"[..], b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"{}", &[0x80; 20]] {
            assert_eq!(decode(bytes), None);
        }
        let upper = encode(&Output { digest: "0A".repeat(32), size: 7 });
        assert_eq!(decode(&upper), None);
    }
}
