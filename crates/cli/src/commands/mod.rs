//! One file a command.

pub(crate) mod bootstrap;
pub(crate) mod cache;
pub(crate) mod image;
pub(crate) mod second_stage;
