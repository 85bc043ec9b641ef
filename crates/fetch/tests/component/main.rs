//! The crate against archives made by the testkit and served over loopback.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cache;
mod debs;
mod indexes;
mod parsed;
mod sharing;
mod trust;
mod world;
