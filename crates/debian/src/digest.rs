//! Digests that are strong enough to trust: SHA256 and SHA512. Weaker digests have no representation here on purpose.

use crate::error::ParseError;
use std::fmt;

/// A digest of a file, as Release and Packages files list it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    /// SHA-256.
    Sha256([u8; 32]),
    /// SHA-512.
    Sha512([u8; 64]),
}

impl Digest {
    /// Parses 64 or 128 hexadecimal digits.
    ///
    /// # Errors
    /// Any other length or character.
    pub fn parse(hex: &str) -> Result<Self, ParseError> {
        let bad = || ParseError::new("digest", format!("{hex:?} is neither a SHA256 nor a SHA512 in hexadecimal"));
        match hex.len() {
            64 => decode(hex).map(Self::Sha256).ok_or_else(bad),
            128 => decode(hex).map(Self::Sha512).ok_or_else(bad),
            _ => Err(bad()),
        }
    }

    /// The algorithm as the archive spells it in `by-hash` directories.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA256",
            Self::Sha512(_) => "SHA512",
        }
    }

    /// The raw bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(b) => b,
            Self::Sha512(b) => b,
        }
    }
}

fn decode<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let length = base16ct::mixed::decode(hex, &mut bytes).ok()?.len();
    (length == N).then_some(bytes)
}

impl fmt::Display for Digest {
    /// Lower-case hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", base16ct::HexDisplay(self.bytes()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{self}", self.algorithm())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strong_digests_parse() {
        let hex = "ab".repeat(32);
        assert_eq!(Digest::parse(&hex).unwrap().to_string(), hex);
        assert_eq!(Digest::parse(&"0F".repeat(64)).unwrap().algorithm(), "SHA512");
        for bad in ["", "abc", &"a".repeat(32), &"a".repeat(40), &"zz".repeat(32), &"é".repeat(32)] {
            assert!(Digest::parse(bad).is_err(), "{bad:?}");
        }
    }
}
