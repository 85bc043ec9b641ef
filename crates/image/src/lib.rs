//! One reproducible artefact from a root.
//!
//! In the order a recipe calls it: [`tidy::tidy`] removes what two builds of one plan would not have in common,
//! [`docker::settings`] writes what container images have and installed systems have not, [`tidy::clamp_times`]
//! makes a directory as reproducible as an archive is, and [`tar::write`] streams the tree. Nothing here asks a
//! clock: every time comes from the tree or from the epoch the caller names.

mod canonical;
pub mod compiled;
pub mod compress;
pub mod docker;
mod error;
mod gzip;
mod pax;
pub mod tar;
pub mod tidy;

pub use error::{Error, Result};
