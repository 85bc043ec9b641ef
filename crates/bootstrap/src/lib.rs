//! The recipe: from a request to a published root filesystem.

pub mod host;
pub mod suite;
