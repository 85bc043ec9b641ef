//! Compressors whose output depends on their input alone, not on the number of threads.

use crate::gzip;
pub use crate::gzip::{FindPiece, KeepPiece, KnownPieces};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// A compression format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the formats")]
pub enum Algorithm {
    #[default]
    None,
    Gzip,
    Xz,
    Zstd,
}

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compression {
    /// The format.
    pub algorithm: Algorithm,
    /// The level, on the scale of the format. `None` is the default level of the format.
    pub level: Option<u8>,
}

impl From<Algorithm> for Compression {
    fn from(algorithm: Algorithm) -> Self {
        Self { algorithm, level: None }
    }
}

/// The suffixes of file names and their formats.
const SUFFIXES: [(&str, Algorithm); 8] = [
    (".tar", Algorithm::None),
    (".tar.gz", Algorithm::Gzip),
    (".tgz", Algorithm::Gzip),
    (".tar.xz", Algorithm::Xz),
    (".txz", Algorithm::Xz),
    (".tar.zst", Algorithm::Zstd),
    (".tar.zstd", Algorithm::Zstd),
    (".tzst", Algorithm::Zstd),
];

impl Compression {
    /// Returns the compression for the name of an archive, and `None` if the name is not that of an archive.
    #[must_use]
    pub fn from_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        SUFFIXES.iter().find(|(suffix, _)| name.ends_with(suffix)).map(|&(_, algorithm)| algorithm.into())
    }
}

impl FromStr for Compression {
    type Err = String;

    /// Parses the name of a format, for example `gzip`, or a name with a level, for example `zstd:19`.
    ///
    /// # Errors
    /// A sentence for the user that says which names or levels are possible.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, level) = match text.split_once(':') {
            None => (text, None),
            Some((name, level)) => (name, Some(level)),
        };
        let (algorithm, levels) = match name {
            "none" => (Algorithm::None, 0..=0),
            "gzip" | "gz" => (Algorithm::Gzip, 0..=9),
            "xz" => (Algorithm::Xz, 0..=9),
            "zstd" | "zst" => (Algorithm::Zstd, 1..=22),
            _ => return Err("it is gzip, zstd, xz or none".to_owned()),
        };
        let Some(level) = level else { return Ok(algorithm.into()) };
        let outside = || format!("the levels of {name} are {} to {}", levels.start(), levels.end());
        let level = level.parse().ok().filter(|level| levels.contains(level)).ok_or_else(outside)?;
        Ok(Self { algorithm, level: Some(level) })
    }
}

// Levels and block sizes decide the bytes: a change of one changes every image.
const GZIP_LEVEL: u8 = 6;
const XZ_PRESET: u8 = 6;
/// The block size for the presets from a number on. It is the size of the preset's dictionary (xz(1)), but at least that of
/// preset 6. Smaller blocks make the output larger; larger blocks occupy fewer threads.
const XZ_BLOCKS: [(u8, u64); 4] = [(9, 64 << 20), (8, 32 << 20), (7, 16 << 20), (0, 8 << 20)];
const XZ_MAGIC: &[u8] = b"\xfd7zXZ\0";
const ZSTD_LEVEL: u8 = 3;
/// The size of the buffer without compression. The headers of a tar archive arrive in pieces of 512 bytes.
const PLAIN_BUFFER: usize = 256 << 10;
const ZSTD_MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";

/// A compressor. Only [`Encoder::finish`] completes the stream. Readers refuse the stream of an encoder that was dropped.
pub struct Encoder<W: Write> {
    inner: Inner<W>,
}

enum Inner<W: Write> {
    Plain(BufWriter<W>),
    Gzip(gzip::Encoder<W>),
    Xz(Box<xz2::write::XzEncoder<Gate<W>>>),
    Zstd(zstd::stream::write::Encoder<'static, Gate<W>>),
}

impl<W: Write> Encoder<W> {
    /// Creates a compressor that uses all cores.
    ///
    /// # Errors
    /// `out` cannot be written, or the system refuses threads.
    pub fn new(out: W, compression: Compression) -> io::Result<Self> {
        Self::with_threads(out, compression, cores())
    }

    /// Creates a compressor that uses `threads` threads. The output is the same for any number.
    ///
    /// # Errors
    /// As for [`Encoder::new`].
    pub fn with_threads(out: W, compression: Compression, threads: usize) -> io::Result<Self> {
        Self::with_known(out, compression, threads, None)
    }

    /// Creates a compressor that need not compress pieces again that are `known`, if it compresses by gzip.
    ///
    /// # Errors
    /// As for [`Encoder::new`].
    pub fn with_known(
        out: W,
        compression: Compression,
        threads: usize,
        known: Option<Arc<KnownPieces>>,
    ) -> io::Result<Self> {
        let workers = u32::try_from(threads.clamp(1, 64)).unwrap_or(1);
        let level = |usual: u8| compression.level.unwrap_or(usual);
        let inner = match compression.algorithm {
            Algorithm::None => Inner::Plain(BufWriter::with_capacity(PLAIN_BUFFER, out)),
            Algorithm::Gzip => Inner::Gzip(gzip::Encoder::new(out, level(GZIP_LEVEL).into(), threads, known)?),
            Algorithm::Xz => {
                let preset = level(XZ_PRESET);
                let block = XZ_BLOCKS.iter().find(|(from, _)| preset >= *from).map_or(0, |(_, block)| *block);
                let stream = xz2::stream::MtStreamBuilder::new()
                    .threads(workers)
                    .preset(preset.into())
                    .block_size(block)
                    .check(xz2::stream::Check::Crc64)
                    .encoder()
                    .map_err(io::Error::other)?;
                Inner::Xz(Box::new(xz2::write::XzEncoder::new_stream(Gate::new(out), stream)))
            }
            Algorithm::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Gate::new(out), level(ZSTD_LEVEL).into())?;
                encoder.include_checksum(true)?;
                // At least 1, because zstd without workers writes different bytes.
                encoder.multithread(workers)?;
                Inner::Zstd(encoder)
            }
        };
        Ok(Self { inner })
    }

    /// Writes the rest and the end of the stream.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        match &mut self.inner {
            Inner::Plain(out) => out.flush(),
            Inner::Gzip(encoder) => encoder.finish(),
            Inner::Xz(encoder) => {
                encoder.try_finish()?;
                encoder.get_mut().flush()
            }
            Inner::Zstd(encoder) => {
                encoder.do_finish()?;
                encoder.get_mut().flush()
            }
        }
    }

    /// Leaves the stream incomplete and makes sure that it has at least one byte, because some readers take no bytes at all for
    /// an empty archive. Errors are ignored.
    pub fn abandon(mut self) {
        let _ = match &mut self.inner {
            Inner::Plain(out) => out.flush(),
            Inner::Gzip(encoder) => encoder.flush(),
            Inner::Xz(encoder) => encoder.flush().and_then(|()| encoder.get_mut().begin(XZ_MAGIC)),
            Inner::Zstd(encoder) => encoder.flush().and_then(|()| encoder.get_mut().begin(ZSTD_MAGIC)),
        };
    }
}

/// Returns the number of threads that can run at the same time.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::Plain(out) => out.write(data),
            Inner::Gzip(encoder) => encoder.write(data),
            Inner::Xz(encoder) => encoder.write(data),
            Inner::Zstd(encoder) => encoder.write(data),
        }
    }

    /// Does nothing, because a flush in the middle would change the bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Drop for Encoder<W> {
    fn drop(&mut self) {
        // The encoder of xz2 completes its stream when it is dropped. Closing the gate prevents that. After `finish` nothing is
        // left to write.
        if let Inner::Xz(encoder) = &mut self.inner {
            encoder.get_mut().out = None;
        }
    }
}

/// A writer that discards everything once `out` is `None`.
struct Gate<W> {
    out: Option<W>,
    /// Whether any byte was written.
    has_written: bool,
}

impl<W: Write> Gate<W> {
    fn new(out: W) -> Self {
        Self { out: Some(out), has_written: false }
    }

    /// Writes `magic` if nothing was written yet.
    fn begin(&mut self, magic: &[u8]) -> io::Result<()> {
        if self.has_written { Ok(()) } else { self.write_all(magic) }
    }
}

impl<W: Write> Write for Gate<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.has_written |= !data.is_empty();
        self.out.as_mut().map_or(Ok(data.len()), |out| out.write(data))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

#[cfg(test)]
#[path = "compress_tests.rs"]
mod tests;
