//! Many roots: `rootstrap.toml`, which of its images are due, shards and reports.
//!
//! Invariant: this crate builds nothing itself. It says what is to be built, hands each image to `bootstrap`, and joins what comes back.
//! It reads no arguments and no environment, and prints nothing.
//!
//! Read `manifest` first: what a file says. `expand` makes images of it, and `conflicts` refuses two that write to one place. `build` goes
//! through the images, `report` is what a run says of them (`observer` collects a part of it from events), `shard` and `fan_out` spread them over machines.

mod build;
mod conflicts;
mod error;
mod expand;
mod fan_out;
mod image;
mod manifest;
mod observer;
mod report;
mod shard;

pub use build::{BuildOptions, Job, build};
pub use error::Error;
pub use fan_out::{Engine, TooManyJobs, fan_out};
pub use image::{Image, Key, Kind, Setting};
pub use observer::Observer;
pub use report::{ImageReport, MergeError, PackageChange, Report, StageSeconds, State, VaryingPath, merge};
pub use shard::{Shard, ShardError};

/// The name of the file that lists images.
pub const MANIFEST: &str = "rootstrap.toml";

/// A commented manifest to start from.
pub const TEMPLATE: &str = include_str!("template.toml");

/// Returns the images that a manifest lists, sorted as they stand there. `keys` are the options that an image may have, `native` is the
/// architecture of an image that names none.
///
/// # Errors
/// The text is not TOML, has an unknown key or a value of the wrong kind, an image extends itself, or two images have one name, target or
/// tag.
pub fn images(text: &str, keys: &[Key], native: &str) -> Result<Vec<Image>, Error> {
    let images = expand::expand(&manifest::parse(text, keys)?, keys, native)?;
    conflicts::check(&images)?;
    Ok(images)
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
