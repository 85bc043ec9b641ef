//! The commands, one file each.

pub(crate) mod bootstrap;
pub(crate) mod cache;
mod deadline;
pub(crate) mod image;
mod network;
mod outcome;
mod rights;
pub(crate) mod second_stage;
