//! Verified bytes from mirror or cache.
//!
//! Invariant: nothing leaves this crate that is not signed by a key of the keyring. [`VerifiedPocket`] and
//! [`VerifiedDeb`] can be made only here: the first from a signed Release and the indexes it lists, the second from a
//! file of a listed size and digest. Nothing here touches the target.
//!
//! A [`Session`] holds the open cache, the connections and two threads. Its methods block; what can run at the same time does so
//! inside. Nothing is read from the environment or the clock: the caller hands in [`Options`] and [`Policy`].
//!
//! Files, from the top: `session`; for indexes `pocket_fetch` (a pocket step by step), `release` and `release_criteria` (what
//! makes a Release acceptable), `signature` (what makes it trusted), `release_history`, `index` and `parsed_index`; for debs
//! `debs`, `prefetch` and `deb_downloader`; below both `download` (attempts and mirrors), `partial` and `destination` (the place
//! in the cache). [`LAYERS`] are the parts of the cache that belong to this crate.

mod answer;
mod deb;
mod deb_downloader;
mod debs;
mod destination;
mod download;
mod error;
mod event;
mod hasher;
mod index;
mod keyring;
mod layers;
pub mod limits;
mod mirror;
mod options;
mod parsed_index;
mod partial;
mod pocket;
mod pocket_fetch;
mod prefetch;
mod problem;
mod release;
mod release_criteria;
mod release_history;
mod session;
mod signature;

pub use deb::{ListedDeb, VerifiedDeb};
pub use error::{Error, Failures, Fault};
pub use event::{Event, Report};
pub use keyring::Keyring;
pub use layers::{DOWNLOADS, INDEXES, LAYERS, RELEASES};
pub use options::Options;
pub use pocket::{Further, Index, Pocket, Policy, VerifiedPocket};
pub use problem::{KeyringProblem, SignatureProblem};
pub use session::Session;
