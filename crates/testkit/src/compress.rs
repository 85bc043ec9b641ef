//! The compressions of index files and of the two tar members of a deb.

use std::io::Write;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// Not compressed.
    None,
    /// gzip, with no name and no time in its header.
    Gz,
    /// xz.
    Xz,
    /// Zstandard.
    Zst,
    /// bzip2.
    Bz2,
    /// The older lzma format ("LZMA alone").
    Lzma,
}

impl Compression {
    /// Every compression, for tests that must work with each.
    pub const ALL: [Compression; 6] = [Self::None, Self::Gz, Self::Xz, Self::Zst, Self::Bz2, Self::Lzma];

    /// The suffix of file names, with its dot; empty for `None`.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gz => ".gz",
            Self::Xz => ".xz",
            Self::Zst => ".zst",
            Self::Bz2 => ".bz2",
            Self::Lzma => ".lzma",
        }
    }

    /// Compresses `bytes`: fast presets, the same output for the same input.
    pub fn compress(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::None => bytes.to_vec(),
            Self::Gz => {
                let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                w.write_all(bytes).unwrap();
                w.finish().unwrap()
            }
            Self::Xz => {
                let mut w = xz2::write::XzEncoder::new(Vec::new(), 0);
                w.write_all(bytes).unwrap();
                w.finish().unwrap()
            }
            Self::Zst => zstd::encode_all(bytes, 1).unwrap(),
            Self::Bz2 => {
                let mut w = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                w.write_all(bytes).unwrap();
                w.finish().unwrap()
            }
            Self::Lzma => {
                let options = xz2::stream::LzmaOptions::new_preset(0).unwrap();
                let stream = xz2::stream::Stream::new_lzma_encoder(&options).unwrap();
                let mut w = xz2::write::XzEncoder::new_stream(Vec::new(), stream);
                w.write_all(bytes).unwrap();
                w.finish().unwrap()
            }
        }
    }
}

/// `bytes` as an xz stream that asks its decoder for a dictionary of 4 GiB, the most that the format allows.
pub fn xz_with_huge_dictionary(bytes: &[u8]) -> Vec<u8> {
    let mut stream = Compression::Xz.compress(bytes);
    // The block header behind the stream header of 12 bytes: its length in words of four bytes minus one, flags, the filter's id (LZMA2),
    // the length of the filter's properties, the code of the dictionary's size, zeros, and a CRC32 of all that.
    let block = 12;
    let end = block + (usize::from(stream[block]) + 1) * 4;
    assert_eq!(stream[block + 2..block + 4], [0x21, 0x01], "not the header that the encoder used to write");
    stream[block + 4] = 40;
    let mut crc = flate2::Crc::new();
    crc.update(&stream[block..end - 4]);
    stream[end - 4..end].copy_from_slice(&crc.sum().to_le_bytes());
    stream
}
