//! Java's keystore of trusted certificates, which notes the millisecond at which each certificate came in.
//!
//! The format (sun.security.provider.JavaKeyStore): `FEEDFEED`, the version, the number of entries, the entries, and a digest. A trusted
//! certificate is a 2, its alias, its time in milliseconds, the type of certificate and the certificate. Texts have their length in two
//! bytes before them, certificates in four. All numbers are big endian. `distroless` writes such files; neither crate imports the other.

use sha1::{Digest, Sha1};

/// The digest is over this password in UTF-16, these words and all that is before it. Everybody knows the password.
const PASSWORD: &str = "changeit";
const WORDS: &[u8] = b"Mighty Aphrodite";
const DIGEST: usize = 20;

/// Lowers the times in a keystore to `epoch`, in seconds. Returns `None` for a file that is not understood, that has another password
/// or holds keys.
pub(crate) fn normalized(file: &[u8], epoch: i64) -> Option<Vec<u8>> {
    let end = file.len().checked_sub(DIGEST)?;
    let (body, written) = file.split_at_checked(end)?;
    if digest(body) != written {
        return None;
    }
    let epoch = u64::try_from(epoch).ok()?.checked_mul(1000)?;
    let mut body = body.to_vec();
    if body.get(..8)? != [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2] {
        return None;
    }
    let count = number(&body, 8, 4)?;
    let mut at = 12;
    for _ in 0..count {
        if number(&body, at, 4)? != 2 {
            return None;
        }
        at = skipped(&body, at.checked_add(4)?, 2)?;
        let time = body.get_mut(at..at.checked_add(8)?)?;
        if u64::from_be_bytes(time.try_into().ok()?) > epoch {
            time.copy_from_slice(&epoch.to_be_bytes());
        }
        at = skipped(&body, at.checked_add(8)?, 2)?;
        at = skipped(&body, at, 4)?;
    }
    if at != body.len() {
        return None;
    }
    let digest = digest(&body);
    body.extend_from_slice(&digest);
    Some(body)
}

fn digest(body: &[u8]) -> Vec<u8> {
    let mut hash = Sha1::new();
    PASSWORD.encode_utf16().for_each(|unit| hash.update(unit.to_be_bytes()));
    hash.update(WORDS);
    hash.update(body);
    hash.finalize().to_vec()
}

/// Returns the number in `width` bytes.
fn number(body: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = body.get(at..at.checked_add(width)?)?;
    Some(bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

/// Returns the place after a text or certificate that has its length in `width` bytes before it.
fn skipped(body: &[u8], at: usize, width: usize) -> Option<usize> {
    at.checked_add(width)?.checked_add(number(body, at, width)?).filter(|end| *end <= body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(times: &[u64]) -> Vec<u8> {
        let mut body = vec![0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2];
        body.extend((times.len() as u32).to_be_bytes());
        for time in times {
            body.extend(2u32.to_be_bytes());
            body.extend(*b"\0\x05alias");
            body.extend(time.to_be_bytes());
            body.extend(*b"\0\x05X.509\0\0\0\x03der");
        }
        let digest = digest(&body);
        [body, digest].concat()
    }

    #[test]
    fn times_of_the_build_become_the_epoch() {
        assert_eq!(
            normalized(&written(&[5_000, 1_000_001, u64::MAX]), 1000).unwrap(),
            written(&[5_000, 1_000_000, 1_000_000])
        );
        assert_eq!(normalized(&written(&[]), 1000).unwrap(), written(&[]));
    }

    #[test]
    fn the_keystore_of_a_tree_is_rewritten() {
        let dir = tempfile::tempdir().unwrap();
        let root = rootstrap_rootfs::Root::open(dir.path()).unwrap();
        root.create_directories(b"etc/ssl/certs/java", 0o755).unwrap();
        root.write(b"etc/ssl/certs/java/cacerts", &written(&[2_000_000]), 0o644).unwrap();
        crate::canonical::rewrite_all(&root, 1000, &false.into()).unwrap();
        assert_eq!(root.read(b"etc/ssl/certs/java/cacerts").unwrap().unwrap(), written(&[1_000_000]));
    }

    #[test]
    fn what_is_not_understood_stays() {
        let file = written(&[2_000_000, 3_000_000]);
        for end in 0..file.len() {
            assert_eq!(normalized(&file[..end], 1000), None, "{end}");
        }
        for at in 0..file.len() {
            let mut file = file.clone();
            file[at] ^= 0xff;
            assert_eq!(normalized(&file, 1000), None, "{at}");
            // The same with a digest that fits: nothing may panic.
            let body = file[..file.len() - DIGEST].to_vec();
            let digest = digest(&body);
            let _ = normalized(&[body, digest].concat(), 1000);
        }
    }
}
