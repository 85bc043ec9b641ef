//! The commands, one file each.

pub(crate) mod bootstrap;
pub(crate) mod cache;
mod deadline;
pub(crate) mod diff;
pub(crate) mod enter;
pub(crate) mod image;
pub(crate) mod lock;
mod outcome;
pub(crate) mod outdated;
mod rights;
pub(crate) mod second_stage;
pub(crate) mod verify;
