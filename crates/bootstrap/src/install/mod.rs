//! From a plan and verified debs to a configured root.
//!
//! Rule: packages come into the root one after the other, in the order of the plan. Threads only prepare what the next step needs, so
//! their timing decides nothing.

mod context;
pub(crate) mod core_set;
pub(crate) mod debs;
mod early_settings;
pub(crate) mod emulation;
pub(crate) mod failed;
pub(crate) mod first_phase_snapshot;
pub(crate) mod hooks;
pub(crate) mod installer;
mod merged_usr;
pub(crate) mod native;
pub(crate) mod output;
pub(crate) mod phases;
pub(crate) mod root_snapshot;
mod sandbox;
pub(crate) mod slim;
pub(crate) mod snapshots;
mod special_hooks;
mod unpacked;

pub(crate) use context::BuildContext;
