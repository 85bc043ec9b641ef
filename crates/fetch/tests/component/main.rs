//! Tests against archives that the testkit makes and serves over loopback.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cache;
mod debs;
mod hostile;
mod indexes;
mod network;
mod parsed;
mod sharing;
mod trust;
mod world;
