//! The layers of the cache that this crate owns.

use rootstrap_cache::{Layer, Retention};

/// Indexes and debs as mirrors send them: `sha256/ab/abcd…` and `sha512/ab/abcd…`, by their digests.
pub const DOWNLOADS: Layer =
    Layer { name: "downloads", directories: &["sha256", "sha512"], retention: Retention::LastUse };

/// Verified Release files: `release/SUITE/DATE-HASH.InRelease`, or `.Release` with `.Release.gpg`. Without them an older Release
/// would be accepted again, and they are small.
pub const RELEASES: Layer =
    Layer { name: "release", directories: &[RELEASES_DIRECTORY], retention: Retention::NewestVersion };

/// Parsed indexes: `index/FORMAT-abcd…`, by the digest of the index.
pub const INDEXES: Layer = Layer { name: "index", directories: &[INDEXES_DIRECTORY], retention: Retention::LastUse };

/// All layers of this crate, in the order in which they are shown.
pub const LAYERS: [Layer; 3] = [DOWNLOADS, RELEASES, INDEXES];

/// The directory of [`RELEASES`].
pub(crate) const RELEASES_DIRECTORY: &str = "release";

/// The directory of [`INDEXES`].
pub(crate) const INDEXES_DIRECTORY: &str = "index";
