//! Where results go: targets and formats, container images, registries, SBOMs and files of the root beside them, and what is kept of finished archives.
//!
//! Rule: nothing gets its name before everything is written. A failure up to then leaves no trace.

pub(crate) mod archive_cache;
pub(crate) mod container;
mod find;
pub(crate) mod known_pieces;
pub(crate) mod mtree;
pub(crate) mod options;
mod product;
mod progress;
mod publication;
pub(crate) mod push;
pub(crate) mod sbom;
pub(crate) mod side_file;
mod summary;
pub(crate) mod target;

pub(crate) use find::{find_image, locks_inside, tag_of_inputs};
pub(crate) use product::{FinishedRoot, RootOptions};
pub(crate) use progress::progress;
pub(crate) use publication::{Publication, publish};
pub use summary::Summary;
