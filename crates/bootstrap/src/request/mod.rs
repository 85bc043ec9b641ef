//! The request, in parts: the packages to install, their sources and the keys to trust, further changes to the tree, the form and place
//! of the result, and the machine.
//!
//! Rule: each folder of this crate is handed the parts that it needs and never the whole [`Request`]. Combinations that make no sense
//! cannot be built, or [`Request::check`] refuses them.

mod budget;
pub(crate) mod check;
mod container;
mod customization;
mod hook;
mod lock_choice;
mod locked;
mod machine;
mod output;
mod parts;
pub(crate) mod sbom;
mod selection;
mod settings;
mod sources;
pub(crate) mod special_hook;
pub(crate) mod target;

pub use budget::Budget;
pub(crate) use budget::Share;
pub use container::{Container, Push};
pub use customization::{Copy, Customization, TarIn};
pub use hook::{Hook, Moment};
pub use lock_choice::LockChoice;
pub use machine::{Host, Machine, StagingPlace};
pub use output::{Download, Filesystem, Output, Purpose};
pub use parts::Request;
pub use selection::{Selection, native_architecture};
pub use settings::{NewUser, Settings};
pub use sources::{FurtherSource, Snapshot, Sources};
pub use target::{Format, FormatName, Target};
