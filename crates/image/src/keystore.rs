//! A Java keystore of trusted certificates, as the package ca-certificates-java would have a JVM write it.
//!
//! The format is JKS, which every JVM reads (`sun.security.provider.JavaKeyStore`): a header, an entry for each
//! certificate, and a keyed digest of it all. The password is the one everybody knows; nothing in here is secret.

use sha1::{Digest, Sha1};

/// The password of `cacerts`, everywhere.
const PASSWORD: &str = "changeit";
/// Goes into the digest after the password.
const WHITENER: &[u8] = b"Mighty Aphrodite";
const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
/// An entry that is a certificate without a key.
const TRUSTED: u32 = 2;

/// The keystore of `certificates`, each an alias and its DER. `epoch` is the date of all entries, in seconds since 1970.
///
/// Aliases are made lower case, as a JVM looks them up. Of two with one alias the first counts; an alias beyond 65535
/// bytes is cut.
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
        string(&alias, &mut entries);
        entries.extend(epoch.saturating_mul(1000).to_be_bytes());
        string("X.509", &mut entries);
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

/// A string as `java.io.DataOutput.writeUTF` has it: each half of a surrogate pair by itself, and no zero byte.
fn string(text: &str, out: &mut Vec<u8>) {
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
