//! The crate against registries on loopback: one made up here, with faults, and docker's own where it is installed.
#![allow(clippy::print_stderr, reason = "a test that cannot run says so")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod certificates;
mod fake;
mod faults;
mod helpers;
mod image;
mod order;
mod program;
