//! Indexes and a request become an ordered [`Plan`] that can be printed, saved and replayed.
//!
//! Invariant: a pure function. No IO, no clock, no randomness, no threads, no suite names; the same indexes and the
//! same request give the same plan. The order of stanzas counts where apt's does and nowhere else: between providers
//! that are alike in everything. After the plan nothing decides any more.
//!
//! The road, a module each: [`request`] says what is wanted; [`index`] finds the one candidate per name and what each
//! relation can be met by; `select` turns variant, includes and excludes into the packages to start from; `walk`
//! closes over dependencies the way apt does; `without` knows which of them a tree without scripts does not have; `solve` (a SAT solver) takes over where the walk runs into a conflict;
//! `explain` says why nothing works; `order` cuts the result into the phases debootstrap would install; [`mod@plan`] is
//! the outcome.

mod closure;
mod error;
mod explain;
pub mod index;
mod mention;
mod nearest;
mod needs;
mod order;
pub mod plan;
#[cfg(test)]
mod properties;
pub mod request;
mod select;
mod solve;
#[cfg(test)]
mod tests;
mod walk;
mod without;

pub use error::Error;
pub use index::Index;
pub use plan::{Phase, Plan, Planned, plan};
pub use request::{Request, Variant};
