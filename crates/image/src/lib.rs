//! One reproducible artefact from a root: tar, cpio, ext4, squashfs, or a container image.
//!
//! Invariant: this crate never changes the root and never reads a clock: every time comes from the tree or from the epoch that
//! the caller gives. Equal trees give equal bytes on every host and for any number of threads.
//!
//! [`tar::write`], [`cpio::write`], [`ext4::write`] and [`squashfs::write`] record a tree. `entries` decides for all of them
//! which entries are recorded, and in which order. [`oci`] makes a container image. Only squashfs starts a program of the host.
//! The program reads an archive from a pipe and never sees the tree.

pub mod compress;
pub mod cpio;
mod entries;
mod error;
pub mod ext4;
#[cfg(test)]
mod golden_tests;
mod gzip;
mod holes;
pub mod oci;
mod options;
mod pax;
#[cfg(test)]
#[path = "sample_tests.rs"]
mod sample;
pub mod squashfs;
mod stoppable;
pub mod tar;
mod tar_record;

pub use error::{Error, Result};
pub use stoppable::StoppableWriter;
