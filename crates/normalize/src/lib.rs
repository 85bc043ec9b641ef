//! Removes or rewrites files that would differ between two builds of one plan, and names those that still do.
//!
//! Invariant: the result follows from the tree and the epoch alone. Nothing here knows why a file is there, and nothing asks a
//! clock. Files that are not understood stay as they are.
//!
//! To read: [`tidy`] (the whole policy, as tables), then `canonical` and `pyc` (files that are rewritten), [`varying`] (files
//! that nothing can make equal), and [`clamp_times`], which a recipe calls last.

mod canonical;
mod error;
mod keystore;
pub mod pyc;
mod rewrite;
mod root_directory;
mod texmf;
mod tidy;
mod varying;

pub use error::{Error, Result};
pub use root_directory::{clamp_times, set_root_attributes};
pub use tidy::{Tidy, commands, tidy};
pub use varying::varying;
