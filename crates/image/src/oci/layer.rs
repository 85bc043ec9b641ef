//! The single layer of an image: a tree as a compressed archive in a file, with the digests before and after compression.

use super::{digest, documents};
use crate::compress::{Algorithm, Encoder, KnownPieces};
use crate::stoppable::go_on;
use crate::tar::{self, Options, Written};
use crate::{Error, Result};
use rootstrap_rootfs::Root;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A packed tree.
#[derive(Debug)]
pub struct Layer {
    /// The media type of the archive.
    pub media_type: &'static str,
    /// The digest of the compressed archive.
    pub digest: String,
    /// The length of the file in bytes.
    pub size: u64,
    /// The digest of the archive before compression. It does not depend on the compression.
    pub diff_id: String,
    /// The file with the compressed archive.
    pub file: File,
    /// What the archive holds.
    pub written: Written,
}

/// Packs `root` into the empty `file`. After an error the contents of `file` are useless. Pieces that are `known` are not compressed again.
/// Another thread sets `cancel` to stop.
///
/// # Errors
/// As for [`tar::write`]. The compression is xz, which layers cannot have. `cancel` was set.
pub fn layer(
    root: &Root,
    file: File,
    options: &Options<'_>,
    known: Option<Arc<KnownPieces>>,
    cancel: &AtomicBool,
) -> Result<Layer> {
    let media_type = match options.compression.algorithm {
        Algorithm::None => documents::LAYER,
        Algorithm::Gzip => documents::LAYER_GZIP,
        Algorithm::Zstd => documents::LAYER_ZSTD,
        Algorithm::Xz => return Err(Error::LayerCompression),
    };
    let mut packed = HashingWriter::new(BufWriter::with_capacity(1 << 20, &file), cancel);
    let encoder = Encoder::with_known(&mut packed, options.compression, options.threads, known);
    let mut encoder = encoder.map_err(Error::Write)?;
    let mut plain = HashingWriter::new(&mut encoder, cancel);
    let written = tar::stream(root, &mut plain, &Options { layer: true, ..*options })?;
    let diff_id = plain.digest();
    encoder.finish().map_err(Error::Write)?;
    packed.flush().map_err(Error::Write)?;
    let (size, digest) = (packed.length, packed.digest());
    Ok(Layer { media_type, digest, size, diff_id, file, written })
}

/// A writer that hashes and counts the bytes, and fails once `cancel` is set.
struct HashingWriter<'c, W> {
    out: W,
    cancel: &'c AtomicBool,
    hash: Sha256,
    length: u64,
}

impl<'c, W: Write> HashingWriter<'c, W> {
    fn new(out: W, cancel: &'c AtomicBool) -> Self {
        Self { out, cancel, hash: Sha256::new(), length: 0 }
    }

    fn digest(self) -> String {
        digest(self.hash.finalize().as_slice())
    }
}

impl<W: Write> Write for HashingWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        go_on(self.cancel)?;
        let written = self.out.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
