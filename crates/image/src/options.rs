//! The choices that every format offers.

use crate::compress::{Compression, cores};
use rootstrap_rootfs::{Attributes, Visit, xattr};

/// What /dev holds in the archive. An unprivileged user cannot make device nodes, so the tree often has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dev {
    /// The nodes, links and mount points of [`rootstrap_rootfs::skeleton`].
    Static,
    /// Nothing. Container engines mount a /dev of their own, and refuse device nodes when they run unprivileged.
    Empty,
    /// What /dev holds in the tree, if the tree has a /dev.
    Kept,
}

/// How a tree is recorded.
#[derive(Clone, Copy)]
pub struct Options<'o> {
    /// The latest time of an entry, in seconds since 1970. Later times are recorded as this one.
    pub epoch: i64,
    /// What /dev holds.
    pub dev: Dev,
    /// How the archive is compressed. Only [`tar::write`](crate::tar::write), [`cpio::write`](crate::cpio::write) and
    /// [`oci::layer`](crate::oci::layer()) compress.
    pub compression: Compression,
    /// How many threads compress. They do not decide the bytes.
    pub threads: usize,
    /// Whether the archive is a layer of a container image. Then entries that layers use to delete others are an error.
    pub layer: bool,
    /// Returns the mode and the owner to record for an entry, where the tree itself cannot hold them. `None` records those of
    /// the tree.
    pub attributes: Option<&'o dyn Fn(&Visit<'_>) -> Attributes>,
    /// Returns whether an entry is recorded. `None` records all entries. It is asked about each entry by itself: an entry may
    /// be recorded although its directory is not.
    pub only: Option<&'o dyn Fn(&Visit<'_>) -> bool>,
    /// Whether the extended attribute of a name is recorded.
    pub keeps_xattr: fn(&[u8]) -> bool,
    /// A function that is told how many bytes of an archive were written since its last call.
    pub progress: Option<&'o dyn Fn(u64)>,
}

impl Options<'_> {
    /// Returns the options for an uncompressed archive of a whole system, with static device nodes.
    #[must_use]
    pub fn new(epoch: i64) -> Self {
        Self {
            epoch,
            dev: Dev::Static,
            compression: Compression::default(),
            threads: cores(),
            layer: false,
            attributes: None,
            only: None,
            keeps_xattr: xattr::is_portable,
            progress: None,
        }
    }
}
