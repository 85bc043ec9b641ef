//! The names that every cache has, whatever its layers are.

/// The directory below the cache's own that holds everything. It changes with the layout; older versions are ignored and never
/// migrated.
pub(crate) const VERSION: &str = "v1";

/// The directory of files that are being written.
pub(crate) const TMP: &str = "tmp";

/// The file whose lock every open cache shares.
pub(crate) const LOCK: &str = "lock";

/// The file that marks a directory as a cache, so that backup programs leave it out: <https://bford.info/cachedir/>.
pub(crate) const TAG_NAME: &str = "CACHEDIR.TAG";

/// The content of [`TAG_NAME`]. Pruning refuses a directory whose tag has other content.
pub(crate) const TAG: &[u8] =
    b"Signature: 8a477f597d28d172789f06886806bc55\n# A cache of rootstrap. It can be deleted at any moment.\n";
