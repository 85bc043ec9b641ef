//! Hex digests of byte strings.

use sha2::Digest as _;

fn hex(bytes: impl AsRef<[u8]>) -> String {
    base16ct::lower::encode_string(bytes.as_ref())
}

pub(crate) fn md5(bytes: &[u8]) -> String {
    hex(md5::Md5::digest(bytes))
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(sha2::Sha256::digest(bytes))
}

pub(crate) fn sha512(bytes: &[u8]) -> String {
    hex(sha2::Sha512::digest(bytes))
}

/// Computed by the OpenPGP library, because no other dependency has SHA-1 and only a mirror with nothing but weak
/// digests needs it.
pub(crate) fn sha1(bytes: &[u8]) -> String {
    let mut context = sequoia_openpgp::types::HashAlgorithm::SHA1.context().unwrap().for_digest();
    context.update(bytes);
    hex(context.into_digest().unwrap())
}

#[cfg(test)]
mod tests {
    #[test]
    fn digests_of_the_empty_string() {
        assert_eq!(super::md5(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(super::sha1(b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(&super::sha256(b"")[..16], "e3b0c44298fc1c14");
        assert_eq!(&super::sha512(b"")[..16], "cf83e1357eefb8bd");
    }
}
