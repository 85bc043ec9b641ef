//! The crate with debs that the testkit makes: its results are compared with those of the host's own dpkg, in any order of work,
//! and hostile archives are tried.
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
