//! The engines ring: the files in `ci/`, checked by the linters of their engines and run by the engines themselves.
//!
//! The engines work on a project with a few images of a made-up archive, and push to a registry on this machine.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod linters;
mod project;
mod runs;
mod slurm;
mod story;
