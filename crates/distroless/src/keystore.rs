//! A Java keystore of trusted certificates, as a JVM writes it for the package ca-certificates-java.
//!
//! The format is JKS, which every JVM reads (`sun.security.provider.JavaKeyStore`): a header, an entry for each certificate,
//! and a digest of the password and all bytes before it. The password is Java's public default, and the keystore holds no
//! secrets.

use sha1::{Digest, Sha1};

/// The default password of `cacerts` in every JVM.
const PASSWORD: &str = "changeit";
/// A constant of the format. The digest takes it after the password.
const WHITENER: &[u8] = b"Mighty Aphrodite";
const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
/// The tag of an entry with a trusted certificate and no key.
const TRUSTED: u32 = 2;

/// Returns the keystore of `certificates`, which are pairs of an alias and a DER encoding. `epoch` is the date of all entries,
/// in seconds since 1970.
///
/// Aliases are converted to lower case, because a JVM looks them up so. If two certificates have one alias, the first is taken.
/// An alias is cut off before it exceeds 65535 bytes.
#[must_use]
pub fn encode(certificates: &[(String, Vec<u8>)], epoch: i64) -> Vec<u8> {
    let mut known = std::collections::BTreeSet::new();
    let mut entries = Vec::new();
    for (alias, der) in certificates {
        let alias = alias.to_lowercase();
        let Ok(length) = u32::try_from(der.len()) else { continue };
        if !known.insert(alias.clone()) {
            continue;
        }
        entries.extend(TRUSTED.to_be_bytes());
        write_utf(&alias, &mut entries);
        entries.extend(epoch.saturating_mul(1000).to_be_bytes());
        write_utf("X.509", &mut entries);
        entries.extend(length.to_be_bytes());
        entries.extend(der);
    }
    let count = u32::try_from(known.len()).unwrap_or(u32::MAX);
    let mut bytes = [MAGIC.to_be_bytes(), VERSION.to_be_bytes(), count.to_be_bytes()].concat();
    bytes.extend(entries);
    let digest = digest(&bytes);
    bytes.extend(digest);
    bytes
}

fn digest(bytes: &[u8]) -> Vec<u8> {
    let password: Vec<u8> = PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let hash = Sha1::new().chain_update(password).chain_update(WHITENER).chain_update(bytes);
    hash.finalize().to_vec()
}

/// Appends `text` to `out` as `java.io.DataOutput.writeUTF` writes it: each half of a surrogate pair is encoded by itself, and
/// a zero takes two bytes.
fn write_utf(text: &str, out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    for unit in text.encode_utf16() {
        let start = bytes.len();
        let part = |shift: u16| 0x80 | (unit >> shift & 0x3f) as u8;
        match unit {
            1..=0x7f => bytes.push(unit as u8),
            0 | 0x80..=0x7ff => bytes.extend([0xc0 | (unit >> 6) as u8, part(0)]),
            _ => bytes.extend([0xe0 | (unit >> 12) as u8, part(6), part(0)]),
        }
        if bytes.len() > usize::from(u16::MAX) {
            bytes.truncate(start);
            break;
        }
    }
    out.extend(u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(bytes);
}

#[cfg(test)]
#[path = "keystore_tests.rs"]
mod tests;
