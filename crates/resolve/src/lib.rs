//! Indexes and a request become an ordered [`Plan`] that can be printed, saved and replayed.
//!
//! Invariant: a pure function. No IO, no clock, no randomness, no threads, no suite names; the same indexes and the same
//! request give the same plan. The order of stanzas counts only where it counts for apt: between providers that are equal
//! in every other respect. No later step chooses a package.
//!
//! The modules in the order of the work: `request` says what is wanted, and `include` takes the user's names apart. `group`
//! finds the packages of tasks and of apt's patterns.
//! `archive` has one candidate per name, which `candidate` chooses, and finds what meets a relation. `needs` parses what a package needs; `without`
//! knows which of that a tree without scripts does not need. `select` turns variant, includes and excludes into the
//! packages to start from. `walk` follows their dependencies as apt does; `solve` (a SAT solver) replaces it where the walk
//! ends in a conflict; `closure` decides between the two, and `explain` says why nothing works. `order` cuts the result
//! into the phases that debootstrap would install, and `unpack_order` puts each of them into apt's order. `reason` says why
//! each package is there. [`mod@plan`] is the result.

mod archive;
mod candidate;
mod closure;
mod error;
mod explain;
mod fnv;
mod group;
mod include;
mod index;
mod mention;
mod nearest;
mod needs;
mod order;
mod pattern;
mod pattern_parser;
pub mod plan;
mod planned;
mod policy;
#[cfg(test)]
mod properties;
mod reason;
mod release_include;
pub mod request;
mod select;
mod solve;
#[cfg(test)]
mod tests;
mod unpack_order;
mod walk;
mod without;

pub use error::Error;
pub use index::Index;
pub use plan::{Phase, Plan, plan};
pub use planned::Planned;
pub use request::{NamedDeb, Request, Variant};
