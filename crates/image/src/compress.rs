//! Compressors whose bytes depend on their input alone, not on the number of cores.

use crate::gzip;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the formats")]
pub enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

/// File names and what they ask for.
const SUFFIXES: [(&str, Compression); 8] = [
    (".tar", Compression::None),
    (".tar.gz", Compression::Gzip),
    (".tgz", Compression::Gzip),
    (".tar.xz", Compression::Xz),
    (".txz", Compression::Xz),
    (".tar.zst", Compression::Zstd),
    (".tar.zstd", Compression::Zstd),
    (".tzst", Compression::Zstd),
];

impl Compression {
    /// What the name of an archive asks for; `None` if it is not the name of one.
    #[must_use]
    pub fn from_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        SUFFIXES.iter().find(|(suffix, _)| name.ends_with(suffix)).map(|&(_, compression)| compression)
    }
}

// Levels and block size decide the bytes: a change of one is a change of every image.
const XZ_PRESET: u32 = 6;
/// As large as the dictionary of the preset: smaller blocks cost size, larger ones cores.
const XZ_BLOCK: u64 = 8 << 20;
const XZ_MAGIC: &[u8] = b"\xfd7zXZ\0";
const ZSTD_LEVEL: i32 = 3;
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
        let inner = match compression {
            Compression::None => Inner::Plain(BufWriter::with_capacity(PLAIN_BUFFER, out)),
            Compression::Gzip => Inner::Gzip(gzip::Encoder::new(out, threads)?),
            Compression::Xz => {
                let stream = xz2::stream::MtStreamBuilder::new()
                    .threads(workers)
                    .preset(XZ_PRESET)
                    .block_size(XZ_BLOCK)
                    .check(xz2::stream::Check::Crc64)
                    .encoder()
                    .map_err(io::Error::other)?;
                Inner::Xz(Box::new(xz2::write::XzEncoder::new_stream(Gate::new(out), stream)))
            }
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Gate::new(out), ZSTD_LEVEL)?;
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
mod tests {
    use super::*;
    use std::io::Read;

    const ALL: [Compression; 4] = [Compression::None, Compression::Gzip, Compression::Xz, Compression::Zstd];

    /// Text that compresses and noise that does not, longer than any block.
    fn sample(length: usize) -> Vec<u8> {
        let mut state = 1u64;
        (0..length)
            .map(|at| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if at / 5000 % 2 == 0 { b'a' + (at / 7 % 9) as u8 } else { (state >> 56) as u8 }
            })
            .collect()
    }

    fn packed(data: &[u8], compression: Compression, threads: usize, chunk: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::with_threads(&mut out, compression, threads).unwrap();
        for chunk in data.chunks(chunk) {
            encoder.write_all(chunk).unwrap();
        }
        encoder.finish().unwrap();
        out
    }

    fn unpacked(data: &[u8], compression: Compression) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        match compression {
            Compression::None => Ok(data.to_vec()),
            // Not the multi-member decoder: one member is all there may be.
            Compression::Gzip => flate2::read::GzDecoder::new(data).read_to_end(&mut out).map(|_| out),
            Compression::Xz => xz2::read::XzDecoder::new(data).read_to_end(&mut out).map(|_| out),
            Compression::Zstd => zstd::stream::read::Decoder::new(data)?.read_to_end(&mut out).map(|_| out),
        }
    }

    #[test]
    fn names() {
        for (name, expected) in [
            ("x.tar", Some(Compression::None)),
            ("/a.b/x.tar.gz", Some(Compression::Gzip)),
            ("X.TGZ", Some(Compression::Gzip)),
            ("x.tar.xz", Some(Compression::Xz)),
            ("x.tar.zst", Some(Compression::Zstd)),
            ("x.gz", None),
            ("tar", None),
            ("/", None),
        ] {
            assert_eq!(Compression::from_name(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn what_goes_in_comes_out_whatever_the_threads_and_the_chunks() {
        // Empty, below one piece, exactly two pieces, several blocks of xz.
        for length in [0, 1000, 2 << 20, (8 << 20) + 3] {
            let data = sample(length);
            for compression in ALL {
                let one = packed(&data, compression, 1, 65536);
                assert_eq!(unpacked(&one, compression).unwrap(), data, "{compression:?} {length}");
                assert_eq!(one, packed(&data, compression, 2, 65536), "{compression:?} {length}: 2 threads");
                assert_eq!(one, packed(&data, compression, 3, 10007), "{compression:?} {length}: other chunks");
            }
        }
    }

    #[test]
    fn noise_does_not_confuse_the_pieces() {
        let mut state = 7u64;
        let mut noise = Vec::new();
        for _ in 0..(5 << 20) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            noise.push((state >> 33) as u8);
        }
        for compression in ALL {
            assert_eq!(unpacked(&packed(&noise, compression, 2, 4096), compression).unwrap(), noise);
        }
    }

    #[test]
    fn without_finish_a_stream_is_an_error_to_its_reader() {
        for length in [0, 1000, 2 << 20] {
            let data = sample(length);
            for compression in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
                for abandon in [true, false] {
                    let mut out = Vec::new();
                    let mut encoder = Encoder::with_threads(&mut out, compression, 2).unwrap();
                    encoder.write_all(&data).unwrap();
                    if abandon {
                        encoder.abandon();
                        assert!(!out.is_empty(), "{compression:?} {length}");
                    } else {
                        drop(encoder);
                    }
                    if !out.is_empty() {
                        assert!(unpacked(&out, compression).is_err(), "{compression:?} {length} {abandon}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_gzip_header_names_nobody() {
        let out = packed(b"x", Compression::Gzip, 1, 1);
        assert_eq!(out[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
    }
}
