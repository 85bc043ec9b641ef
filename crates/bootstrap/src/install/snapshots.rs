//! The snapshots in the cache that a build begins with, or that it makes.

use crate::event::Report;
use crate::install::first_phase_snapshot::{FirstPhaseSnapshot, SnapshotInputs};
use crate::install::root_snapshot::RootSnapshot;
use crate::request::{Moment, Request};
use rootstrap_cache::{Cache, ProgramDigest};
use rootstrap_resolve::Plan;

/// What the cache has, or will have, of the work of scripts.
pub(crate) struct Snapshots {
    /// Of the first phase; `None` if a build neither begins with it nor makes it.
    pub first_phase: Option<FirstPhaseSnapshot>,
    /// Of the whole plan; as before.
    pub root: Option<RootSnapshot>,
}

impl Snapshots {
    /// Looks for those that the request allows.
    pub fn find(
        request: &Request,
        cache: &Cache,
        program: &ProgramDigest,
        inputs: &SnapshotInputs<'_>,
        report: Report<'_>,
    ) -> Self {
        let Request { customization, output, machine, .. } = request;
        let may_reuse = request.runs_scripts() && !output.is_first_stage() && machine.cache.is_some() && machine.reuse;
        // What hooks change before a moment is not known here.
        let is_untouched_until = |moment| customization.hooks.iter().all(|hook| hook.moment >= moment);
        let debconf = &customization.settings.debconf;
        let root = (may_reuse && is_untouched_until(Moment::Customize))
            .then(|| RootSnapshot::find(cache, program, inputs, debconf, report))
            .flatten();
        let is_needed = may_reuse && !root.as_ref().is_some_and(RootSnapshot::exists);
        let first_phase = (is_needed && is_untouched_until(Moment::Essential))
            .then(|| FirstPhaseSnapshot::find(cache, program, inputs, report))
            .flatten();
        Self { first_phase, root }
    }

    /// Whether the cache has the whole root, so that no deb is needed.
    pub fn have_root(&self) -> bool {
        self.root.as_ref().is_some_and(RootSnapshot::exists)
    }

    /// Whether no script has to run for a plan.
    pub fn are_enough_for(&self, plan: &Plan) -> bool {
        let has_first = self.first_phase.as_ref().is_some_and(FirstPhaseSnapshot::exists);
        self.have_root() || has_first && plan.phases.len() == 1
    }
}
