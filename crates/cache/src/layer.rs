//! Layers: which files belong together, and which of them pruning removes first.

/// Files of one kind in the cache. The crate that owns the files defines the layer as a constant; whoever counts or prunes
/// a cache hands in the layers of all crates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The name that `rootstrap cache info` shows.
    pub name: &'static str,
    /// The directories below `v1/` that hold its files. No other layer may name them.
    pub directories: &'static [&'static str],
    /// In which order pruning removes its files.
    pub retention: Retention,
}

/// In which order pruning removes the files of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// The files used longest ago go first, in one order with those of all other layers of this kind.
    LastUse,
    /// The names of files are `NUMBER-…`, and the files of one directory are versions of one thing. For files that protect
    /// against going back to an older version, such as Release files:
    ///
    /// * A size limit removes them only when nothing is left of the other layers.
    /// * An age limit never removes the file with the highest number of its directory.
    NewestVersion,
}
