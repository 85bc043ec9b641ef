//! The decoded members of a .deb, behind a ceiling (deb(5)).
//!
//! If a member consists of several streams, all streams of gzip and only the first stream of the other formats are read, as
//! dpkg does: a .deb must not be one package to this crate and another to the target's dpkg.

use crate::limits;
use rootstrap_debian::compression::{Compression, DecoderOptions, Streams};
use std::io::{self, BufReader, Read};

/// The digest of the .deb has been verified against a signed index, so the checksums inside an xz stream are not computed.
const OPTIONS: DecoderOptions = DecoderOptions {
    streams: Streams::AsDpkg,
    verifies_checks: false,
    xz_memory: limits::XZ_MEMORY,
    zstd_window_log: None,
};

/// The decoded bytes of a member.
pub(crate) type Decoded<'r> = Ceiling<Box<dyn Read + Send + 'r>>;

/// Returns a reader of the decoded bytes of the member `name`, which ends in an error after `ceiling` bytes.
///
/// `None` if dpkg does not know the suffix that follows `stem` in `name`.
pub(crate) fn decoder<'r>(
    name: &str,
    stem: &str,
    bytes: impl Read + Send + 'r,
    ceiling: u64,
) -> Option<io::Result<Decoded<'r>>> {
    let compression = Compression::from_suffix(name.strip_prefix(stem)?)?;
    // Only data.tar has ever been compressed this way; dpkg refuses such a control.tar.
    if stem != "data.tar" && matches!(compression, Compression::Bzip2 | Compression::Lzma) {
        return None;
    }
    let bytes = BufReader::with_capacity(1 << 16, bytes);
    Some(compression.decoder(bytes, OPTIONS).map(|reader| Ceiling { reader, left: ceiling }))
}

/// A reader that ends in an error instead of handing out more than a number of bytes.
pub(crate) struct Ceiling<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Ceiling<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, "it decodes to more than the limit"))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bombs_hit_the_ceiling() {
        let bomb = zstd::encode_all(&vec![0; 1 << 20][..], 3).unwrap();
        let mut out = Vec::new();
        let mut reader = decoder("data.tar.zst", "data.tar", &bomb[..], 1000).unwrap().unwrap();
        assert_eq!(reader.read_to_end(&mut out).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(out.len() <= 1 << 17);
        assert!(decoder("data.tar.rar", "data.tar", &bomb[..], 1).is_none());
        assert!(decoder("control.tar", "data.tar", &bomb[..], 1).is_none());
        assert!(decoder("data.tar.bz2", "data.tar", &bomb[..], 1).is_some());
        assert!(decoder("control.tar.bz2", "control.tar", &bomb[..], 1).is_none());
    }
}
