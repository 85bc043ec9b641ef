//! Opens the archive of a suite: fetches and verifies its indexes, makes the plan, and lists the debs to fetch.
//!
//! Rule: this folder alone decides which mirrors are asked. What it returns is verified; nothing here touches the target.

mod asked_suite;
mod at_pocket;
mod further;
pub(crate) mod host_mirrors;
mod input_file;
mod local_debs;
mod lock_file;
pub(crate) mod locked;
mod lookup;
mod mirrors;
mod open;
mod proxies;
mod served;
mod snapshot;

pub(crate) use asked_suite::find_suite;
pub(crate) use at_pocket::at_pocket;
pub use input_file::{read_input, read_whole};
pub(crate) use local_debs::is_path;
pub use lock_file::read_lock;
pub(crate) use mirrors::{is_of_user, lasting_uris, pockets, wanted_pockets};
pub(crate) use open::{Archive, ArchiveOptions, keyring, open, open_locked, session};
pub use proxies::proxies;
pub(crate) use served::{ServedPocket, is_further, is_local};
pub(crate) use snapshot::{at_moment, moment_of, uris as snapshot_uris};
