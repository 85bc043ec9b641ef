//! The limits on what a registry can make this crate read and send at once.

/// Most bytes of an answer that are read: a token, or the reasons of a refusal.
pub(crate) const ANSWER: usize = 1 << 20;

/// Most bytes of the list of referrers of an image: the size that every registry accepts for a manifest.
pub(crate) const REFERRERS: usize = 4 << 20;

/// Most characters of a registry's message that are shown.
pub(crate) const MESSAGE: usize = 300;

/// Blobs uploaded at once, as docker does.
pub(crate) const UPLOADS: usize = 3;

/// Most bytes of a statement about an image.
pub(crate) const STATEMENT: usize = 64 << 20;

/// Requests at once that ask what a registry has.
pub(crate) const LOOK_UPS: usize = 8;

/// Bytes of a blob that are read and hashed at a time.
pub(crate) const CHUNK: usize = 256 << 10;
