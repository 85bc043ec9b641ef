//! The only door into the target: a directory fd and `openat2(RESOLVE_IN_ROOT)`.
//!
//! Invariant: no path given to this crate reaches anything outside the root it was opened on. Symbolic links
//! are followed as if the root were `/`, `..` stops there, and magic links (`/proc/PID/fd`) and other mounts are
//! refused. The crate knows nothing of packages.

mod contents;
mod copy;
mod cursor;
mod descent;
mod directory;
mod entry;
mod error;
mod fake_ownership;
pub mod path;
mod place;
mod precopy;
mod root;
pub mod skeleton;
mod walk;
pub mod xattr;

pub use copy::{CopyOptions, copy};
pub use cursor::Cursor;
pub use entry::{Attributes, Device, Kind, Metadata, Moment, now};
pub use error::{Error, Result};
pub use fake_ownership::{FakeOwnership, Faked};
pub use place::Place;
pub use precopy::Precopy;
pub use root::Root;
pub use walk::{Visit, walk};
