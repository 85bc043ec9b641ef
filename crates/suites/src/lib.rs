//! What vendors promise, as data: suites and their names, pockets, mirrors, keys and quirks.
//!
//! Invariant: everything here is read from `suites/*.toml` and `keyrings/`, which are compiled in. No function does IO, and none
//! decides anything about one run. A new release is therefore a change of data.
//!
//! To read: [`Suite`] (the fields of one release), [`Vendor`] (what all releases of a vendor share), [`lookup`] and [`unlisted`]
//! (from a name to a suite).

mod list;
mod suite;
mod vendor;

pub use list::{all, keyring, lookup, nearest, unlisted, vendors};
pub use suite::{MergedUsr, Pockets, SourcesFormat, Suite};
pub use vendor::{Account, Mirror, Pocket, Set, SnapshotService, SourceEntry, Vendor};
