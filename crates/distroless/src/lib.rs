//! Completes a tree without running package scripts: users, the bundle of certificates, commands, the cache of shared
//! libraries, and a list of packages for scanners, all from data that the packages ship.
//!
//! Invariant: no program of the tree is run, so the tree can be of any architecture. The result follows from the tree and the
//! epoch.
//!
//! To read: [`complete()`] (the order of steps), [`register`] (what scanners read), then the files that they name.

mod alternatives;
mod certificates;
mod complete;
mod error;
mod java;
mod keystore;
pub mod ldcache;
mod library;
mod link;
mod status;

pub use alternatives::Alternative;
pub use complete::complete;
pub use error::{Error, Result};
pub use status::{Package, register};
