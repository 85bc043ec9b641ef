//! The one layer of an image: a tree as a compressed archive in a file, with the digests of both forms.

use super::{digest, documents};
use crate::compress::{Algorithm, Encoder};
use crate::tar::{self, Options, Written};
use crate::{Error, Result};
use rootstrap_rootfs::Root;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// A packed tree.
#[derive(Debug)]
pub struct Layer {
    /// What the archive is.
    pub media_type: &'static str,
    /// Of the file as it is.
    pub digest: String,
    /// Length of the file in bytes.
    pub size: u64,
    /// Of the archive before compression: the same whatever compressed it.
    pub diff_id: String,
    /// The archive, from the beginning of the file.
    pub file: File,
    /// What went into it.
    pub written: Written,
}

/// Packs `root` into the empty `file`, which stays without a meaning of its own if that fails. `cancel` is set from outside to
/// stop.
///
/// # Errors
/// As for [`tar::write`]; and a compression that layers cannot have.
pub fn layer(root: &Root, file: File, options: &Options<'_>, cancel: &AtomicBool) -> Result<Layer> {
    let media_type = match options.compression.algorithm {
        Algorithm::None => documents::LAYER,
        Algorithm::Gzip => documents::LAYER_GZIP,
        Algorithm::Zstd => documents::LAYER_ZSTD,
        Algorithm::Xz => return Err(Error::LayerCompression),
    };
    let mut packed = Counted::new(BufWriter::with_capacity(1 << 20, &file), cancel);
    let mut encoder = Encoder::new(&mut packed, options.compression).map_err(Error::Write)?;
    let mut plain = Counted::new(&mut encoder, cancel);
    let written = tar::stream(root, &mut plain, &Options { layer: true, ..*options })?;
    let diff_id = plain.digest();
    encoder.finish().map_err(Error::Write)?;
    packed.flush().map_err(Error::Write)?;
    let (size, digest) = (packed.length, packed.digest());
    Ok(Layer { media_type, digest, size, diff_id, file, written })
}

/// Hashes and counts what goes through, until it is called off.
struct Counted<'c, W> {
    out: W,
    cancel: &'c AtomicBool,
    hash: Sha256,
    length: u64,
}

impl<'c, W: Write> Counted<'c, W> {
    fn new(out: W, cancel: &'c AtomicBool) -> Self {
        Self { out, cancel, hash: Sha256::new(), length: 0 }
    }

    fn digest(self) -> String {
        digest(self.hash.finalize().as_slice())
    }
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(io::Error::other("interrupted"));
        }
        let taken = self.out.write(bytes)?;
        self.hash.update(bytes.get(..taken).unwrap_or_default());
        self.length += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
