//! The commands, one file each.

pub(crate) mod bootstrap;
pub(crate) mod build;
pub(crate) mod cache;
mod deadline;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod documents;
pub(crate) mod enter;
pub(crate) mod image;
pub(crate) mod init;
pub(crate) mod lock;
pub(crate) mod lock_images;
pub(crate) mod matrix;
pub(crate) mod merge_metadata;
pub(crate) mod outcome;
pub(crate) mod outdated;
pub(crate) mod plan;
pub(crate) mod rights;
pub(crate) mod second_stage;
pub(crate) mod suites;
pub(crate) mod translate;
pub(crate) mod verify;
