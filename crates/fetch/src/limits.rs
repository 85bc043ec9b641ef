//! Limits. Every download and every decoder has one of these, or a smaller one that a signed file gives.

use rootstrap_http::Timeouts;
use std::time::Duration;

/// Most bytes of a `Release` or `InRelease` file. The largest one in use, that of sid, has about 0.3 MB.
pub const RELEASE: u64 = 16 << 20;

/// Most bytes of a `Release.gpg`. Three armored RSA signatures take 3 KB.
pub const SIGNATURE: u64 = 1 << 20;

/// Most bytes of an index as the mirror sends it. The index of Debian's main has 10 to 50 MB, depending on its compression.
pub const INDEX_TRANSFER: u64 = 256 << 20;

/// Most bytes of a decompressed index. If the Release lists a smaller size, that is the limit.
pub const INDEX_TEXT: u64 = 512 << 20;

/// Bytes of an index that are decoded before they are parsed. So many fit into the cache of a processor.
pub const INDEX_CHUNK: u64 = 256 << 10;

/// Most memory, in bytes, that the xz and lzma decoders may use. A file of `xz -9` needs 65 MiB.
pub const XZ_MEMORY: u64 = 256 << 20;

/// Largest window of the zstd decoder, as a power of two: 128 MiB, which is the default limit of `zstd` itself.
pub const ZSTD_WINDOW_LOG: u32 = 27;

/// How many seconds the `Date` of a Release may lie in the future. A wrong clock or time zone on this machine is more likely than an
/// archive with a false date.
pub const FUTURE_LEEWAY: i64 = 24 * 60 * 60;

/// Most retries at a mirror while another one is left. With the default waits they take about 2 seconds.
pub const BRIEF_RETRIES: u32 = 3;

/// Longest wait that a mirror can ask for while another one is left. A mirror that asks for more is given up.
pub const BRIEF_RETRY_AFTER: Duration = Duration::from_secs(2);

/// How long a mirror is waited for while another one is left: 6 seconds for the head of an answer, 3 for a connection and for the next
/// byte. If the others fail too, it is asked again with the usual patience.
pub const BRIEF_TIMEOUTS: Timeouts = Timeouts {
    // A connection with TLS takes four round trips, which are less than this even by satellite.
    connect: Duration::from_secs(3),
    stall: Duration::from_secs(3),
    rate_window: Duration::from_secs(10),
    minimum_rate: 1000,
};

/// Most retries after an attempt that ended because nothing came, or too little. Each has taken up to a minute already.
pub const STALL_RETRIES: u32 = 2;

/// Speed of the link, in bytes per second, from which an index is available sooner as gzip than as xz.
///
/// Trixie's main index for amd64 has 56.6 MB of text, 9.7 MB as xz and 13.3 MB as gzip. Decoding takes 56.6/168 = 0.34 s from
/// xz and 56.6/640 = 0.09 s from gzip (facts/crates.md §2). So gzip saves 0.25 s of decoding and costs 3.6 MB more of transfer,
/// which is equal at 15 MB/s. The limit is 20 MB/s, because a measurement of a short transfer is more often too high than too low.
pub const FAST_LINK: f64 = 20e6;

/// How many files are asked for at once of a server that asks to be spared, as services of snapshots do.
pub const GENTLE_JOBS: usize = 2;
