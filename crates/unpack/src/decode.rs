//! The compressions a member of a .deb may have (deb(5)), behind one reader with a ceiling.
//!
//! Where a member holds several streams in a row, gzip's are read on and of the others only the first is read, as dpkg
//! does: a .deb must not be one package to us and another to the target's dpkg.

use crate::limits;
use std::io::{self, BufReader, Read};

/// data.tar alone has ever been in these; dpkg refuses a control.tar that is.
const OF_DATA_ALONE: [&str; 2] = [".bz2", ".lzma"];

/// A reader of the decoded bytes of the member `name`, which ends in an error once `ceiling` bytes are passed.
///
/// `None` for a name whose ending dpkg does not know either.
pub(crate) fn decoder<'r>(
    name: &str,
    stem: &str,
    bytes: impl Read + Send + 'r,
    ceiling: u64,
) -> Option<io::Result<Ceiling<Box<dyn Read + Send + 'r>>>> {
    let suffix = name.strip_prefix(stem)?;
    if stem != "data.tar" && OF_DATA_ALONE.contains(&suffix) {
        return None;
    }
    let bytes = BufReader::with_capacity(1 << 16, bytes);
    let decoded: io::Result<Box<dyn Read + Send + 'r>> = match suffix {
        "" => Ok(Box::new(bytes)),
        ".gz" => Ok(Box::new(flate2::bufread::MultiGzDecoder::new(bytes))),
        ".bz2" => Ok(Box::new(bzip2::bufread::BzDecoder::new(bytes))),
        // The .deb's own digest has been checked against a signed index, so the checksum inside is not computed
        // a second time: it takes an eighth of the decoding.
        ".xz" => xz2::stream::Stream::new_stream_decoder(limits::XZ_MEMORY, xz2::stream::IGNORE_CHECK)
            .map(|stream| Box::new(xz2::bufread::XzDecoder::new_stream(bytes, stream)) as Box<dyn Read + Send>)
            .map_err(io::Error::other),
        ".lzma" => xz2::stream::Stream::new_lzma_decoder(limits::XZ_MEMORY)
            .map(|stream| Box::new(xz2::bufread::XzDecoder::new_stream(bytes, stream)) as Box<dyn Read + Send>)
            .map_err(io::Error::other),
        ".zst" => {
            zstd::Decoder::with_buffer(bytes).map(|decoder| Box::new(decoder.single_frame()) as Box<dyn Read + Send>)
        }
        _ => return None,
    };
    Some(decoded.map(|reader| Ceiling { reader, left: ceiling }))
}

/// Ends in an error instead of handing out more than so many bytes.
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
