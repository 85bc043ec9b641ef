//! The ceilings: no download and no decoder runs without one of these, or a smaller one from a signed file.

use std::time::Duration;

/// Most bytes of a `Release` or `InRelease` file. The largest in use (sid) has about 0.3 MB.
pub const RELEASE: u64 = 16 << 20;

/// Most bytes of a `Release.gpg`. Three armored RSA signatures take 3 KB.
pub const SIGNATURE: u64 = 1 << 20;

/// Most bytes of an index as it is transferred. Debian's main has 10 to 50 MB.
pub const INDEX_TRANSFER: u64 = 256 << 20;

/// Most bytes of an index once decompressed; a size listed in Release lowers it.
pub const INDEX_TEXT: u64 = 512 << 20;

/// Bytes of an index that are decoded before they are parsed: small enough for a processor's cache.
pub const INDEX_CHUNK: u64 = 256 << 10;

/// Most memory (bytes) the xz and lzma decoders may ask for. `xz -9` needs 65 MiB.
pub const XZ_MEMORY: u64 = 256 << 20;

/// Largest zstd window, as a power of two: 128 MiB, what `zstd` itself accepts without being told.
pub const ZSTD_WINDOW_LOG: u32 = 27;

/// Most redirects followed for one request.
pub const REDIRECTS: usize = 5;

/// How far (seconds) the `Date` of a Release may lie ahead: clocks and time zones are set wrongly more often than
/// archives lie.
pub const FUTURE_LEEWAY: i64 = 24 * 60 * 60;

/// Longest wait between two attempts, whatever the number of attempts.
pub const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// Link speed (bytes per second) from which gzip beats xz for an index.
///
/// Trixie's main index for amd64: 56.6 MB of text, 9.7 MB as xz, 13.3 MB as gz. Decoding takes 56.6/168 = 0.34 s from
/// xz and 56.6/640 = 0.09 s from gz (facts/crates.md §2), so gz gains 0.25 s of processor and costs 3.6 MB of
/// transfer: even at 15 MB/s. Short transfers measure too fast rather than too slow, hence 20.
pub const FAST_LINK: f64 = 20e6;
