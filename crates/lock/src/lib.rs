//! The lock file: which packages a root filesystem has, where they come from, and who vouched for them.
//!
//! Invariant: pure functions between text and [`Lock`]. No IO and no clock: a lock has no time of its making, so the same packages from the
//! same archive give the same bytes. A text that was changed by hand is refused, because a part that somebody changed no longer has
//! anything to do with what was verified.
//!
//! Read `model` first: what a lock says. `request` compares what was asked for with what a lock was made for, `change` compares the
//! packages of two locks, and `file` reads and writes the text. docs/lock.md is the reference of the format.

mod change;
mod digest;
mod error;
mod file;
mod model;
mod request;

pub use change::{Change, ChangedPackage, changes};
pub use error::Error;
pub use file::{FORMAT, SIZE};
pub use model::{Lock, Package, Phase, Platform, Source};
pub use request::Request;

#[cfg(test)]
#[path = "fixture_tests.rs"]
mod fixture;
