//! Opens the archive of a suite: fetches and verifies its indexes, makes the plan, and lists the debs to fetch.
//!
//! Rule: this folder alone decides which mirrors are asked. What it returns is verified; nothing here touches the target.

pub(crate) mod host_mirrors;
mod mirrors;
mod open;
mod proxies;

pub(crate) use mirrors::{at_pocket, wanted_pockets};
pub(crate) use open::{Archive, ArchiveOptions, find_suite, open};
pub use proxies::proxies;
