//! The crate against debs made by the testkit: its results beside those of the host's own dpkg, in any order of work,
//! and with archives that mean harm.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "a test says what it compared and what it had to skip")]

mod conffiles;
mod database;
mod diversions;
mod files;
mod filters;
mod hostile;
mod kept;
mod left_to_dpkg;
mod multi_arch;
mod order;
mod payloads;
mod triggers;
mod world;
