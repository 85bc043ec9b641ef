//! What a request is resolved against: parsed `Packages` indexes.

use rootstrap_debian::packages::Table;
use rootstrap_debian::release::Release;

/// One parsed `Packages` index and where it came from.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a> {
    /// The caller's number of the pocket that the index belongs to. [`Planned`](crate::Planned) has it too.
    pub pocket: usize,
    /// The Release file that lists the index. Its names are what pins go by, and it says whether its versions are taken of their own accord.
    pub release: &'a Release,
    /// The name of the host that sends the packages; empty for a directory.
    pub site: &'a str,
    /// The component, as in `main`.
    pub component: &'a str,
    /// The architecture that the index is for, as in `binary-amd64`. A package of another architecture does not count, unless it is for
    /// `all`.
    pub architecture: &'a str,
    /// The packages of the index.
    pub packages: &'a Table,
}

#[cfg(test)]
impl<'a> Index<'a> {
    /// Returns an index of an ordinary archive.
    pub(crate) fn plain(pocket: usize, architecture: &'a str, packages: &'a Table) -> Self {
        static PLAIN: std::sync::LazyLock<Release> = std::sync::LazyLock::new(Release::default);
        Self { pocket, release: &PLAIN, site: "", component: "main", architecture, packages }
    }
}
