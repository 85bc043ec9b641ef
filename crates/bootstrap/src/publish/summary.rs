//! What a run made, as data. The command line shows it.

use crate::request::Target;

/// What a run made.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many packages are installed.
    pub packages: usize,
    /// The size of their .debs in bytes.
    pub deb_bytes: u64,
    /// The size of the files in them in bytes.
    pub file_bytes: u64,
    /// The size of the archive before compression in bytes, where one was written.
    pub archive_bytes: Option<u64>,
    /// The codename of the suite.
    pub suite: String,
    /// The architectures: one, or more for an image of several platforms.
    pub architectures: Vec<String>,
    /// The digest of the container image, or of the index of several.
    pub digest: Option<String>,
    /// The id of the container image, as Docker and podman show it; of several images, that of the first.
    pub image: Option<String>,
    /// The names that the container image has in its archive.
    pub tags: Vec<String>,
    /// Where the result went.
    pub target: Target,
    /// The full names under which the image was pushed.
    pub pushed: Vec<String>,
    /// What could not be done in full, one sentence each.
    pub limits: Vec<String>,
    /// Whether the archive is one that an earlier run had made of the same.
    pub reused: bool,
    /// Whether the second stage still has to run.
    pub unfinished: bool,
}
