//! Where a root grows before anybody sees it, and hidden directories and files beside a target.
//!
//! Rule: whatever a run creates outside the cache before it publishes is created here. It disappears with the run, or the next run
//! removes it.

mod area;
pub(crate) mod downloads;
pub(crate) mod fit;
pub(crate) mod hidden;
mod hidden_place;
pub(crate) mod memory;
mod merge;
pub(crate) mod new_file;
mod ownership;
pub(crate) mod place;
mod precopy;
pub(crate) mod space;

pub(crate) use area::{Staging, add_root};
pub(crate) use ownership::fake_ownership;
