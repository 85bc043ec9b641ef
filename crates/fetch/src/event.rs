//! Events: what happens while something is fetched.

use std::time::Duration;

/// What happens, as it happens. Events about one file come in order; events about different files mix.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variants explain their fields")]
pub enum Event {
    /// A Release is signed, fresh, and the requested one. `date` is in seconds since 1970, `keys` are fingerprints.
    ReleaseVerified { suite: String, date: i64, keys: Vec<String> },
    /// No mirror has this optional pocket.
    PocketMissing { suite: String },
    /// No mirror has the pocket, and the `next` one, which is asked only then, may have it. The URI is without a password.
    PocketElsewhere { suite: String, next: String },
    /// The download of an index begins. `size` is its length in bytes as the mirror sends it.
    IndexStarted { name: String, size: u64 },
    /// Bytes of indexes were received. A negative number takes back bytes that will be received again.
    IndexBytes { bytes: i64 },
    /// An index is complete and has the right digest.
    IndexDone { name: String },
    /// Sent once for each [`Session::debs`](crate::Session::debs), before the first download. Cached files are counted before they
    /// are checked: [`Self::DebBytes`] takes back the bytes of damaged ones.
    DebsTotal { count: usize, bytes: u64, cached_count: usize, cached_bytes: u64 },
    /// Bytes of debs were received. A negative number takes back bytes that will be received again.
    DebBytes { bytes: i64 },
    /// The download of a deb begins.
    DebStarted { label: String },
    /// A deb was downloaded and has the right digest.
    DebDone { label: String },
    /// Something did not have to be downloaded.
    CacheHit { what: String },
    /// An attempt failed, and the same mirror at `uri`, which is without a password, is asked again after `wait`. Attempts count from 1.
    Retry { what: String, uri: String, reason: String, attempt: u32, wait: Duration },
    /// A mirror is given up for one file, and the `next` one, if any, is asked. URIs are without passwords.
    MirrorFailed { uri: String, reason: String, next: Option<String> },
}

/// Receives the events. It is called from several threads.
pub type Report<'a> = &'a (dyn Fn(Event) + Sync);
