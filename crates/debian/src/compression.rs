//! The compressions of Debian's archives and packages, and one selection of decoders for all who read them.
//!
//! The module reads only from the reader that it is handed. It does not limit how much a decoder hands out: that ceiling is
//! the caller's, who knows what the file is.

use std::io::{self, BufRead, Read};

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// xz.
    Xz,
    /// Zstandard (RFC 8878).
    Zstd,
    /// bzip2.
    Bzip2,
    /// The format before xz, "LZMA alone".
    Lzma,
}

/// How many bytes [`Compression::from_magic`] looks at.
pub const MAGIC_LENGTH: usize = 6;

/// What a decoder reads, and what it refuses.
#[derive(Clone, Copy, Debug)]
pub struct DecoderOptions {
    /// Which of several streams, one after the other in the same input, are read.
    pub streams: Streams,
    /// Whether the checksums inside an xz stream are verified. It takes an eighth of the time of decoding, and adds nothing
    /// if a digest of the whole file has been verified. The other formats are not affected.
    pub verifies_checks: bool,
    /// The most memory that the xz and LZMA decoders may use, in bytes.
    pub xz_memory: u64,
    /// The largest window of a Zstandard frame, as a power of two. `None` leaves it to the library, which takes 27.
    pub zstd_window_log: Option<u32>,
}

/// Which of several streams in the same input are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// All of them, as the tools of these formats do.
    All,
    /// All streams of gzip, and only the first stream of the other formats, as dpkg does.
    AsDpkg,
}

impl Compression {
    /// The suffix that archives and packages give the names of such files: `.gz`, or the empty text for [`Self::None`].
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
            Self::Bzip2 => ".bz2",
            Self::Lzma => ".lzma",
        }
    }

    /// The compression with this [`Self::suffix`].
    #[must_use]
    pub fn from_suffix(suffix: &str) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Xz, Self::Zstd, Self::Bzip2, Self::Lzma]
            .into_iter()
            .find(|compression| compression.suffix() == suffix)
    }

    /// The compression of a file that begins with `head`, of which the first [`MAGIC_LENGTH`] bytes decide; `None` if it is
    /// none of those with a magic number. LZMA has no magic number.
    #[must_use]
    pub fn from_magic(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // A frame, or a skippable frame before it (RFC 8878 §3.1).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }

    /// Wraps `input` in a reader of the decoded bytes.
    ///
    /// # Errors
    /// The decoder cannot be set up, for example because there is no memory for it.
    pub fn decoder<'r>(
        self,
        input: impl BufRead + Send + 'r,
        options: DecoderOptions,
    ) -> io::Result<Box<dyn Read + Send + 'r>> {
        let reads_all = options.streams == Streams::All;
        Ok(match self {
            Self::None => Box::new(input),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
            Self::Bzip2 if reads_all => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
            Self::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(input)),
            Self::Xz => {
                let concatenated = if reads_all { xz2::stream::CONCATENATED } else { 0 };
                let checks = if options.verifies_checks { 0 } else { xz2::stream::IGNORE_CHECK };
                let stream = xz2::stream::Stream::new_stream_decoder(options.xz_memory, concatenated | checks)?;
                Box::new(xz2::bufread::XzDecoder::new_stream(input, stream))
            }
            Self::Lzma => {
                let stream = xz2::stream::Stream::new_lzma_decoder(options.xz_memory)?;
                Box::new(xz2::bufread::XzDecoder::new_stream(input, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                if let Some(log) = options.zstd_window_log {
                    decoder.window_log_max(log)?;
                }
                if reads_all { Box::new(decoder) } else { Box::new(decoder.single_frame()) }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const OPTIONS: DecoderOptions =
        DecoderOptions { streams: Streams::All, verifies_checks: true, xz_memory: 256 << 20, zstd_window_log: None };

    fn encode(compression: Compression, text: &[u8]) -> Vec<u8> {
        match compression {
            Compression::None => text.to_vec(),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Zstd => zstd::encode_all(text, 1).unwrap(),
            Compression::Xz | Compression::Lzma => {
                let stream = if compression == Compression::Xz {
                    xz2::stream::Stream::new_easy_encoder(1, xz2::stream::Check::Crc32)
                } else {
                    xz2::stream::Stream::new_lzma_encoder(&xz2::stream::LzmaOptions::new_preset(1).unwrap())
                };
                let mut encoder = xz2::write::XzEncoder::new_stream(Vec::new(), stream.unwrap());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    fn decode(compression: Compression, bytes: &[u8], options: DecoderOptions) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        compression.decoder(bytes, options)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn every_compression_is_known_by_suffix_and_magic() {
        for (suffix, compression) in [
            ("", Compression::None),
            (".gz", Compression::Gzip),
            (".xz", Compression::Xz),
            (".zst", Compression::Zstd),
            (".bz2", Compression::Bzip2),
            (".lzma", Compression::Lzma),
        ] {
            assert_eq!((compression.suffix(), Compression::from_suffix(suffix)), (suffix, Some(compression)));
            let encoded = encode(compression, b"text");
            let known = if compression == Compression::Lzma { Compression::None } else { compression };
            assert_eq!(Compression::from_magic(&encoded[..encoded.len().min(MAGIC_LENGTH)]), known);
            assert_eq!(decode(compression, &encoded, OPTIONS).unwrap(), b"text", "{compression:?}");
        }
        for head in [&b""[..], b"\x1f", b"BZ", b"\xfd7zXZ", b"PK\x03\x04"] {
            assert_eq!(Compression::from_magic(head), Compression::None);
        }
        assert_eq!(Compression::from_magic(b"\x5a\x2a\x4d\x18"), Compression::Zstd);
        assert_eq!(Compression::from_suffix(".rar"), None);
    }

    #[test]
    fn further_streams_are_read_as_the_options_say() {
        for (compression, dpkg) in [
            (Compression::Gzip, "onetwo"),
            (Compression::Xz, "one"),
            (Compression::Zstd, "one"),
            (Compression::Bzip2, "one"),
        ] {
            let bytes = [encode(compression, b"one"), encode(compression, b"two")].concat();
            assert_eq!(decode(compression, &bytes, OPTIONS).unwrap(), b"onetwo", "{compression:?}");
            let options = DecoderOptions { streams: Streams::AsDpkg, ..OPTIONS };
            assert_eq!(decode(compression, &bytes, options).unwrap(), dpkg.as_bytes(), "{compression:?}");
        }
    }

    #[test]
    fn limits_and_checks_are_enforced_as_the_options_say() {
        let xz = encode(Compression::Xz, b"text");
        assert!(decode(Compression::Xz, &xz, DecoderOptions { xz_memory: 1000, ..OPTIONS }).is_err());
        // The checksum of the block: the four bytes before the index, which takes 8 bytes, and the footer of 12.
        let mut damaged = xz.clone();
        let check = xz.len() - 12 - 8 - 4;
        damaged[check] ^= 1;
        assert!(decode(Compression::Xz, &damaged, OPTIONS).is_err());
        let unchecked = DecoderOptions { verifies_checks: false, ..OPTIONS };
        assert_eq!(decode(Compression::Xz, &damaged, unchecked).unwrap(), b"text");
        // The encoder does not know the length of what comes, so that its frame names a window.
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(20).unwrap();
        encoder.write_all(&vec![1; 4 << 20]).unwrap();
        let zstd = encoder.finish().unwrap();
        for (log, is_accepted) in [(None, true), (Some(20), true), (Some(19), false)] {
            let options = DecoderOptions { zstd_window_log: log, ..OPTIONS };
            assert_eq!(decode(Compression::Zstd, &zstd, options).is_ok(), is_accepted, "{log:?}");
        }
    }
}
