//! One reproducible artefact from a root.
//!
//! In the order a recipe calls it: [`tidy::tidy`] removes what two builds of one plan would not have in common,
//! [`docker::settings`] writes what container images have and installed systems have not, [`tidy::clamp_times`]
//! makes a directory as reproducible as an archive is, and [`tar::write`] streams the tree. For trees without scripts
//! [`ldcache`] and [`keystore`] write what the packages' own programs would have. Nothing here asks a clock: every time comes from the tree or from the epoch the caller names.

mod canonical;
pub mod compiled;
pub mod compress;
pub mod cpio;
pub mod docker;
mod error;
pub mod ext4;
pub mod extract;
mod gzip;
pub mod keystore;
pub mod ldcache;
mod library;
pub mod maker;
pub mod oci;
mod pax;
pub mod squashfs;
pub mod tar;
mod tar_entry;
mod tar_read;
pub mod tidy;

pub use error::{Error, Result};
