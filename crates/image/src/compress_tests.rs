//! Compressed data read back, for several numbers of threads.

use super::*;
use std::collections::HashMap;
use std::io::Read;
use std::sync::Mutex;

const ALL: [Algorithm; 4] = [Algorithm::None, Algorithm::Gzip, Algorithm::Xz, Algorithm::Zstd];

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

fn packed(data: &[u8], compression: impl Into<Compression>, threads: usize, chunk: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::with_threads(&mut out, compression.into(), threads).unwrap();
    for chunk in data.chunks(chunk) {
        encoder.write_all(chunk).unwrap();
    }
    encoder.finish().unwrap();
    out
}

fn unpacked(data: &[u8], compression: Algorithm) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    match compression {
        Algorithm::None => Ok(data.to_vec()),
        // Not the decoder for several members: the stream must have exactly one.
        Algorithm::Gzip => flate2::read::GzDecoder::new(data).read_to_end(&mut out).map(|_| out),
        Algorithm::Xz => xz2::read::XzDecoder::new(data).read_to_end(&mut out).map(|_| out),
        Algorithm::Zstd => zstd::stream::read::Decoder::new(data)?.read_to_end(&mut out).map(|_| out),
    }
}

#[test]
fn names() {
    for (name, expected) in [
        ("x.tar", Some(Algorithm::None)),
        ("/a.b/x.tar.gz", Some(Algorithm::Gzip)),
        ("X.TGZ", Some(Algorithm::Gzip)),
        ("x.tar.xz", Some(Algorithm::Xz)),
        ("x.tar.zst", Some(Algorithm::Zstd)),
        ("x.gz", None),
        ("tar", None),
        ("/", None),
    ] {
        assert_eq!(Compression::from_name(Path::new(name)), expected.map(Into::into), "{name}");
    }
}

#[test]
fn known_pieces_are_not_compressed_again() {
    let kept = Arc::new(Mutex::new(HashMap::<[u8; 32], Vec<u8>>::new()));
    let (of_find, of_keep) = (Arc::clone(&kept), Arc::clone(&kept));
    let known = Arc::new(KnownPieces {
        find: Box::new(move |name| of_find.lock().unwrap().get(name).cloned()),
        keep: Box::new(move |name, piece| drop(of_keep.lock().unwrap().insert(*name, piece.to_vec()))),
    });
    let with_known = |data: &[u8]| {
        let before = kept.lock().unwrap().len();
        let mut out = Vec::new();
        let mut encoder = Encoder::with_known(&mut out, Algorithm::Gzip.into(), 2, Some(Arc::clone(&known))).unwrap();
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap();
        assert_eq!(out, packed(data, Algorithm::Gzip, 1, 4096));
        kept.lock().unwrap().len() - before
    };
    let data = sample(16 << 20);
    let pieces = with_known(&data);
    assert!((32..=128).contains(&pieces), "{pieces}");
    assert_eq!(with_known(&data), 0);
    // Bytes that are inserted, changed or removed at one place change the pieces there alone.
    let at = 5 << 20;
    let inserted = [&data[..at], b"inserted", &data[at..]].concat();
    let changed = [&data[..at], b"changed", &data[at + 7..]].concat();
    let removed = [&data[..at], &data[at + 100_000..]].concat();
    for other in [inserted, changed, removed] {
        let new = with_known(&other);
        assert!((1..=4).contains(&new), "{new} of {pieces}");
    }
}

#[test]
fn the_bytes_do_not_depend_on_threads_or_chunks() {
    // Empty, below one piece, several pieces and blocks of xz, and pieces that nothing but their size ends.
    let samples = [0, 1000, 2 << 20, (8 << 20) + 3].map(sample);
    for data in samples.into_iter().chain([vec![0; 5 << 20]]) {
        let length = data.len();
        for compression in ALL {
            let one = packed(&data, compression, 1, 65536);
            assert_eq!(unpacked(&one, compression).unwrap(), data, "{compression:?} {length}");
            assert_eq!(one, packed(&data, compression, 2, 65536), "{compression:?} {length}: 2 threads");
            assert_eq!(one, packed(&data, compression, 3, 10007), "{compression:?} {length}: other chunks");
        }
    }
}

#[test]
fn incompressible_data_survives() {
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
fn readers_refuse_a_stream_without_finish() {
    for length in [0, 1000, 2 << 20] {
        let data = sample(length);
        for compression in [Algorithm::Gzip, Algorithm::Xz, Algorithm::Zstd] {
            for abandon in [true, false] {
                let mut out = Vec::new();
                let mut encoder = Encoder::with_threads(&mut out, compression.into(), 2).unwrap();
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
fn the_gzip_header_has_no_name_and_no_time() {
    let out = packed(b"x", Algorithm::Gzip, 1, 1);
    assert_eq!(out[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
}

#[test]
fn levels() {
    let parse = |text: &str| text.parse::<Compression>();
    assert_eq!(parse("gzip"), Ok(Algorithm::Gzip.into()));
    assert_eq!(parse("zstd:19"), Ok(Compression { algorithm: Algorithm::Zstd, level: Some(19) }));
    for wrong in ["", "lzma", "gzip:", "gzip:10", "zstd:0", "zstd:23", "xz:-1", "none:1", "zstd:19:2"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
    let data = sample(3 << 20);
    for (low, high, algorithm) in
        [("gzip:1", "gzip:9", Algorithm::Gzip), ("zstd:1", "zstd:19", Algorithm::Zstd), ("xz:0", "xz:9", Algorithm::Xz)]
    {
        let packed = |text: &str, threads| packed(&data, parse(text).unwrap(), threads, 65536);
        assert!(packed(high, 1).len() < packed(low, 1).len(), "{low} {high}");
        assert_eq!(packed(high, 1), packed(high, 3), "{high}");
        assert_eq!(unpacked(&packed(high, 2), algorithm).unwrap(), data);
    }
    // Level 0 stores the data in the gzip format.
    assert_eq!(unpacked(&packed(&data, parse("gzip:0").unwrap(), 2, 4096), Algorithm::Gzip).unwrap(), data);
}
