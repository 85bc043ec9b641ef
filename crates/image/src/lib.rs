//! One reproducible artefact from a root.
//!
//! In the order a recipe calls it: [`tidy::tidy`] removes what two builds of one plan would not have in common,
//! [`docker::settings`] writes what container images have and installed systems have not, [`tidy::clamp_times`]
//! makes a directory as reproducible as an archive is, and one of [`tar::write`], [`cpio::write`], [`ext4::write`] and
//! [`squashfs::write`] records the tree; what each of them puts where, `entries` decides for all. [`oci`] makes a container
//! image of it, and [`extract`] a tree of somebody else's archive. For trees without scripts [`ldcache`] and [`keystore`]
//! write what the packages' own programs would have. Nothing here asks a clock: every time comes from the tree or from the
//! epoch the caller names. Only squashfs takes a program of the host, which is fed and sees nothing of the tree.

mod canonical;
pub mod compiled;
pub mod compress;
pub mod cpio;
pub mod docker;
mod entries;
mod error;
pub mod ext4;
pub mod extract;
mod gzip;
mod holes;
pub mod keystore;
pub mod ldcache;
mod library;
pub mod oci;
mod pax;
#[cfg(test)]
#[path = "sample_tests.rs"]
mod sample;
pub mod squashfs;
pub mod tar;
mod tar_read;
mod tar_record;
pub mod tidy;

pub use error::{Error, Result};
