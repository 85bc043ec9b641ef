//! What the tests of the whole program share. They run the real binary against archives that they make, and against live ones.
//!
//! The rings are the test binaries in `tests/`. They share the path of the built program, a world of archive, mirror, cache and
//! scratch directory to run it in, and questions about the machine.
//!
//! A test that cannot run here calls [`skip`] and returns; [`need!`] does both.
#![allow(clippy::unwrap_used, reason = "a broken fixture is a failed test")]

pub mod base;
pub mod live;
pub mod machine;
pub mod parsers;
pub mod program;
pub mod transcript;
pub mod world;

pub use rootstrap_testkit::{need, skip};
