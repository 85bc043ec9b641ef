//! What a request is resolved against: parsed `Packages` indexes.

use rootstrap_debian::packages::Table;

/// One parsed `Packages` index and where it came from.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a> {
    /// The caller's number of the pocket that the index belongs to. [`Planned`](crate::Planned) has it too.
    pub pocket: usize,
    /// The component, as in `main`.
    pub component: &'a str,
    /// The architecture that the index is for, as in `binary-amd64`. A package of another architecture does not count, unless it is for
    /// `all`.
    pub architecture: &'a str,
    /// The packages of the index.
    pub packages: &'a Table,
}
