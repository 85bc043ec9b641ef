//! Compressed pieces of layers in the cache. A layer that differs from an earlier one in a few files takes the others' pieces from there.

use rootstrap_cache::{Cache, CachedFile, Layer, ProgramDigest, Retention};
use rootstrap_debian::digest::Digest;
use rootstrap_image::compress::KnownPieces;
use sha2::{Digest as _, Sha256};
use std::io::{Read, Write};
use std::sync::Arc;

/// The cache layer of compressed pieces.
pub(crate) const PIECES: Layer = Layer { name: "gzip", directories: &[DIRECTORY], retention: Retention::LastUse };
const DIRECTORY: &str = "gzip";
/// The form of a file: the digest of the compressed piece, then the piece.
const FORM: &str = "piece";

/// The longest file that is read. No piece is that long.
const MAX: u64 = 8 << 20;

/// Returns the pieces that the cache has. `keeps` is whether new ones go there. A first build may be the only one, and would write its
/// layer to the disk twice. `None` where the running program cannot be told from others, which may compress in another way.
pub(crate) fn known_pieces(cache: &Cache, program: &ProgramDigest, keeps: bool) -> Option<Arc<KnownPieces>> {
    let (cache, program) = (cache.clone(), program.get()?);
    let place = move |name: &[u8; 32]| {
        let name = Sha256::new().chain_update(program).chain_update(name).finalize();
        CachedFile::derived(&cache, DIRECTORY, FORM, &Digest::Sha256(name.into()).to_string())
    };
    let of_new = place.clone();
    Some(Arc::new(KnownPieces {
        find: Box::new(move |name| read(&place(name))),
        // A piece that cannot be kept is compressed again next time.
        keep: Box::new(move |name, piece| {
            let _ = keeps.then(|| write(&of_new(name), piece));
        }),
    }))
}

fn read(place: &CachedFile) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    place.open()?.take(MAX).read_to_end(&mut bytes).ok()?;
    let (digest, piece) = bytes.split_first_chunk::<32>()?;
    (Sha256::digest(piece).as_slice() == digest).then(|| piece.to_vec())
}

fn write(place: &CachedFile, piece: &[u8]) -> Option<()> {
    let mut new = place.create_private().ok()?;
    let file = new.file();
    file.write_all(Sha256::digest(piece).as_slice()).and_then(|()| file.write_all(piece)).ok()?;
    new.keep().ok().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_damaged_piece_is_not_known() {
        let place = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(place.path()), place.path()).unwrap();
        let file = CachedFile::derived(&cache, DIRECTORY, FORM, &"ab".repeat(32));
        assert_eq!(read(&file), None);
        write(&file, b"piece").unwrap();
        assert_eq!(read(&file).as_deref(), Some(&b"piece"[..]));
        for damaged in [&b"short"[..], &[0; 40]] {
            fs::write(file.path(), damaged).unwrap();
            assert_eq!(read(&file), None);
        }
    }
}
