//! Where a package's conffiles are put.

/// Where a package's conffiles are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conffiles {
    /// To their paths at once, as debootstrap's first extraction does. Their digests go into the database, so that
    /// configuring leaves them alone.
    InPlace,
    /// Beside their paths as `NAME.dpkg-new`, for `dpkg --configure` to install.
    New,
}
