//! Compressors whose bytes depend on their input alone, not on the number of cores.

use crate::gzip;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::str::FromStr;

/// The formats of compression.
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
    /// How hard to try, on the scale of the format; `None`: the level everybody takes.
    pub level: Option<u8>,
}

impl From<Algorithm> for Compression {
    fn from(algorithm: Algorithm) -> Self {
        Self { algorithm, level: None }
    }
}

/// File names and what they ask for.
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
    /// What the name of an archive asks for; `None` if it is not the name of one.
    #[must_use]
    pub fn from_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        SUFFIXES.iter().find(|(suffix, _)| name.ends_with(suffix)).map(|&(_, algorithm)| algorithm.into())
    }
}

impl FromStr for Compression {
    type Err = String;

    /// `gzip`, or `zstd:19` with a level.
    ///
    /// # Errors
    /// What is wrong with it, in words.
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

// Levels and block size decide the bytes: a change of one is a change of every image.
const GZIP_LEVEL: u8 = 6;
const XZ_PRESET: u8 = 6;
/// The dictionaries of the presets (xz(1)), from that of the usual one on: smaller blocks cost size, larger ones cores.
const XZ_BLOCKS: [(u8, u64); 4] = [(9, 64 << 20), (8, 32 << 20), (7, 16 << 20), (0, 8 << 20)];
const XZ_MAGIC: &[u8] = b"\xfd7zXZ\0";
const ZSTD_LEVEL: u8 = 3;
/// Headers come in pieces of 512 bytes.
const PLAIN_BUFFER: usize = 256 << 10;
const ZSTD_MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";

/// A compressor. Only [`Encoder::finish`] completes the stream: one that is dropped ends in the middle, and every
/// reader says so.
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
    /// Compresses on all cores.
    ///
    /// # Errors
    /// `out` refuses the header, or the system threads.
    pub fn new(out: W, compression: Compression) -> io::Result<Self> {
        Self::with_threads(out, compression, std::thread::available_parallelism().map_or(1, Into::into))
    }

    /// Compresses on `threads` cores, with the same result for any number.
    ///
    /// # Errors
    /// As for [`Encoder::new`].
    pub fn with_threads(out: W, compression: Compression, threads: usize) -> io::Result<Self> {
        let workers = u32::try_from(threads.clamp(1, 64)).unwrap_or(1);
        let level = |usual: u8| compression.level.unwrap_or(usual);
        let inner = match compression.algorithm {
            Algorithm::None => Inner::Plain(BufWriter::with_capacity(PLAIN_BUFFER, out)),
            Algorithm::Gzip => Inner::Gzip(gzip::Encoder::new(out, level(GZIP_LEVEL).into(), threads)?),
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
                // Never 0: without workers the bytes are others.
                encoder.multithread(workers)?;
                Inner::Zstd(encoder)
            }
        };
        Ok(Self { inner })
    }

    /// Writes what is left and the end of the stream.
    ///
    /// # Errors
    /// Those of the underlying writer.
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

    /// Gives the stream up: what has been written stays an unfinished one, of at least one byte, because some
    /// readers take no byte at all for an empty archive. Errors do not matter any more.
    pub fn abandon(mut self) {
        let _ = match &mut self.inner {
            Inner::Plain(out) => out.flush(),
            Inner::Gzip(encoder) => encoder.flush(),
            Inner::Xz(encoder) => encoder.flush().and_then(|()| encoder.get_mut().begin(XZ_MAGIC)),
            Inner::Zstd(encoder) => encoder.flush().and_then(|()| encoder.get_mut().begin(ZSTD_MAGIC)),
        };
    }
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

    /// Does nothing: a flush in the middle would change the bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Drop for Encoder<W> {
    fn drop(&mut self) {
        // The encoder of xz2 finishes its stream when it is dropped; after `finish` there is nothing left to stop.
        if let Inner::Xz(encoder) = &mut self.inner {
            encoder.get_mut().out = None;
        }
    }
}

/// A writer that can be closed from outside.
struct Gate<W> {
    out: Option<W>,
    /// Whether anything went through.
    used: bool,
}

impl<W: Write> Gate<W> {
    fn new(out: W) -> Self {
        Self { out: Some(out), used: false }
    }

    /// Makes sure that there is at least the beginning of a stream.
    fn begin(&mut self, magic: &[u8]) -> io::Result<()> {
        if self.used { Ok(()) } else { self.write_all(magic) }
    }
}

impl<W: Write> Write for Gate<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.used |= !data.is_empty();
        self.out.as_mut().map_or(Ok(data.len()), |out| out.write(data))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

#[cfg(test)]
#[path = "compress_tests.rs"]
mod tests;
