//! What every step of one build needs to know.

use crate::event::Report;
use crate::install::debs::Debs;
use crate::install::emulation::Emulation;
use crate::install::native::NativePrograms;
use crate::request::{Customization, Machine, Selection};
use crate::staging::Staging;
use rootstrap_resolve::Plan;
use rootstrap_rootfs::Root;
use rootstrap_suites::Suite;

/// What the steps of one build share.
pub(crate) struct BuildContext<'a> {
    pub selection: &'a Selection,
    pub customization: &'a Customization,
    pub suite: &'a Suite,
    pub plan: &'a Plan,
    /// The packages' .debs.
    pub debs: Debs<'a>,
    /// The growing root, and the staging area that it grows in.
    pub root: &'a Root,
    pub staging: &'a Staging,
    /// The time, in seconds since 1970, of every entry that has no time of its own.
    pub epoch: i64,
    pub emulation: &'a Emulation,
    /// The native programs for its sandbox, as soon as they are there.
    pub native: &'a NativePrograms,
    pub machine: &'a Machine,
    pub report: Report<'a>,
}
