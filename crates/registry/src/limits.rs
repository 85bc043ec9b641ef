//! The ceilings: nothing a registry answers is waited for, read or followed beyond these.

use std::time::Duration;

/// Most bytes of an answer that is read: a token, or the reasons of a refusal.
pub(crate) const ANSWER: usize = 1 << 20;

/// Most bytes of a registry's words that are passed on.
pub(crate) const WORDS: usize = 300;

/// Most redirects followed for one request.
pub(crate) const REDIRECTS: usize = 5;

/// Blobs uploaded at once, as docker does.
pub(crate) const UPLOADS: usize = 3;

/// Bytes of a blob that are read and hashed at a time.
pub(crate) const CHUNK: usize = 256 << 10;

/// Longest wait between two attempts, unless the registry names a longer one.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// Longest wait that a registry can ask for by `Retry-After`.
pub(crate) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(120);
