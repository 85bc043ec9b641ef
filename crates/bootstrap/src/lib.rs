//! The recipe: from a request to a published root filesystem.
//!
//! Invariant: everything a run depends on is in the [`Request`]; nothing here reads arguments, environment or clock,
//! and nothing prints. What happens is told as [`Event`]s. On any error nothing has been published.
//!
//! To read: [`request`] (what can be asked), `recipe` (the whole on one page), then the stages it names.

mod account;
mod alternatives;
mod archive;
mod base;
mod bill;
mod bodies;
mod container;
mod convert;
mod copies;
mod core_set;
mod direct;
mod distroless;
mod early;
mod error;
mod event;
mod finish;
mod first_stage;
mod foreign;
mod format;
mod hidden;
pub mod host;
mod java;
mod kept;
mod manifest;
mod marks;
mod memory;
mod merged_usr;
mod phases;
mod publish;
mod push;
mod recipe;
pub mod request;
mod result;
mod second_stage;
mod slim;
mod sources;
mod staging;
pub mod suite;
mod target;
mod unpacked;

pub use container::Container;
pub use convert::image;
pub use copies::Copy;
pub use error::Error;
pub use event::{Event, Stage, Summary};
pub use format::{Format, Target, Word};
pub use recipe::{bootstrap, plan};
pub use request::{Request, StagingPlace};
pub use rootstrap_configure::{enter_if_asked, privilege};
pub use rootstrap_debian::release::{format_date, parse_moment};
pub use rootstrap_fetch::{Event as FetchEvent, Proxies, prune};
pub use rootstrap_image::compress::{Algorithm, Compression};
pub use rootstrap_image::tar::spoil;
pub use rootstrap_resolve::{Error as ResolveError, Plan, Variant};
pub use second_stage::second_stage;
