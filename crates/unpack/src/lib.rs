//! Many .debs into a root plus dpkg's database, with the same result in any order of work.
//!
//! Invariant: parallel work produces only file bodies in a private store. Every decision about a path is taken afterwards,
//! one package at a time in plan order, by the rules that dpkg itself follows. A package that these rules do not cover is not
//! touched but handed back as [`Verdict::ForDpkg`] with the reason. Nothing here runs a program or opens a connection.
//!
//! The three steps: [`stage`] decodes one .deb into the store (any thread, any order), [`merge`] moves it into
//! the root (one thread, plan order), [`database::record`] tells dpkg about it. Apart from these, [`archive`] unpacks a tar
//! archive of any distribution into an empty root.

pub mod after_scripts;
mod ar;
pub mod archive;
mod checks;
pub mod claims;
mod conffiles;
mod control;
mod cpio_read;
pub mod database;
mod decode;
mod entries;
mod error;
pub mod filters;
pub mod limits;
pub mod list;
pub mod merge;
mod not_tar;
pub mod payload;
mod stage;
mod tar_read;
pub mod triggers;

pub use checks::{Rules, reason_for_dpkg};
pub use claims::Claims;
pub use conffiles::Conffiles;
pub use control::{Conffile, Control, Member};
pub use entries::{Entry, EntryKind};
pub use error::Error;
pub use merge::{Verdict, merge};
pub use stage::{Deb, Staged, read_control, stage, stage_and_keep};
