//! A SAT solver, for where apt's way of walking ends in a conflict: it finds a valid set, or proves that there is none.
//!
//! Every name has one candidate, so resolvo's name, solvable and our id are the same number, and a "version set" is either
//! that candidate or nothing. Nothing needs to be interned beforehand, because resolvo asks only for what it reaches.

use crate::archive::Id;
use crate::error::Error;
use crate::needs::Graph;
use resolvo::{
    Candidates, Condition, ConditionId, ConditionalRequirement, Dependencies, DependencyProvider,
    HintDependenciesAvailable, Interner, KnownDependencies, NameId, Problem, Requirement, SolvableId, Solver,
    SolverCache, StringId, VersionSetId, VersionSetUnionId,
};
use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;

struct Provider<'s, 'a> {
    graph: &'s Graph<'a>,
    forbidden: &'s BTreeSet<Id>,
    unions: RefCell<Vec<Vec<VersionSetId>>>,
}

/// Returns a set with the `roots`, without `forbidden` packages, with all dependencies met and, with `recommends`, with as
/// many recommended packages as can be installed beside them. `None` if there is no such set.
///
/// # Errors
/// [`Error::Cancelled`]. [`Error::Malformed`] does not happen: the solver chooses no package whose fields cannot be parsed.
pub(crate) fn solve(
    graph: &Graph<'_>,
    roots: &[Id],
    forbidden: &BTreeSet<Id>,
    recommends: bool,
) -> Result<Option<BTreeSet<Id>>, Error> {
    let mut soft: Vec<Id> = Vec::new();
    loop {
        let provider = Provider { graph, forbidden, unions: RefCell::default() };
        let requirements = roots.iter().map(|&id| this(id).into()).collect();
        let recommended: Vec<SolvableId> = soft.iter().map(|&id| SolvableId::from_raw(raw(id))).collect();
        let problem = Problem::new().requirements(requirements).soft_requirements(recommended);
        let Ok(solution) = Solver::new(provider).solve(problem) else {
            return if graph.is_cancelled() { Err(Error::Cancelled) } else { Ok(None) };
        };
        let chosen: BTreeSet<Id> = solution.into_iter().map(|solvable| id(solvable.into_raw())).collect();
        let before = soft.len();
        if recommends {
            for &id in &chosen {
                for group in graph.needs(id)?.wanted(true) {
                    let met = group.options.iter().any(|option| chosen.contains(option));
                    // Only the first option of a group is tried, and only once. That is enough for a recommendation.
                    if let Some(first) = group.options.first().filter(|first| !met && !soft.contains(first)) {
                        soft.push(*first);
                    }
                }
            }
        }
        if soft.len() == before {
            return Ok(Some(chosen));
        }
    }
}

/// Ids count stanzas in memory, and no archive has 2^31 of them.
fn raw(id: Id) -> u32 {
    u32::try_from(id).unwrap_or(u32::MAX)
}

fn id(raw: u32) -> Id {
    raw as Id
}

/// Returns the version set "this candidate".
fn this(id: Id) -> VersionSetId {
    VersionSetId(raw(id) << 1)
}

/// Returns the version set "no candidate of this name".
fn never(id: Id) -> VersionSetId {
    VersionSetId(raw(id) << 1 | 1)
}

impl Interner for Provider<'_, '_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        self.graph.archive.name(id(solvable.into_raw()))
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        self.graph.archive.name(id(name.into_raw()))
    }

    fn display_version_set(&self, _: VersionSetId) -> impl Display + '_ {
        ""
    }

    fn display_string(&self, _: StringId) -> impl Display + '_ {
        ""
    }

    fn version_set_name(&self, set: VersionSetId) -> NameId {
        NameId::from_raw(set.0 >> 1)
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        NameId::from_raw(solvable.into_raw())
    }

    fn version_sets_in_union(&self, union: VersionSetUnionId) -> impl Iterator<Item = VersionSetId> {
        self.unions.borrow().get(union.0 as usize).cloned().unwrap_or_default().into_iter()
    }

    fn resolve_condition(&self, _: ConditionId) -> Condition {
        // Debian has no conditional dependencies, so resolvo never asks for one.
        Condition::Requirement(VersionSetId(0))
    }
}

impl DependencyProvider for Provider<'_, '_> {
    async fn filter_candidates(&self, candidates: &[SolvableId], set: VersionSetId, inverse: bool) -> Vec<SolvableId> {
        let matches = set.0 & 1 == 0;
        if matches == inverse { Vec::new() } else { candidates.to_vec() }
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates> {
        let usable = !self.forbidden.contains(&id(name.into_raw()));
        Some(Candidates {
            candidates: if usable { vec![SolvableId::from_raw(name.into_raw())] } else { Vec::new() },
            hint_dependencies_available: HintDependenciesAvailable::All,
            ..Candidates::default()
        })
    }

    fn should_cancel_with_value(&self) -> Option<Box<dyn Any>> {
        self.graph.is_cancelled().then(|| Box::new(()) as Box<dyn Any>)
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, _: &mut [SolvableId]) {
        // Every name has only one candidate.
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        let unusable = Dependencies::Unknown(StringId(0));
        let Ok(needs) = self.graph.needs(id(solvable.into_raw())) else { return unusable };
        let mut known = KnownDependencies::default();
        for group in needs.wanted(false) {
            match group.options.as_slice() {
                [] => return unusable,
                [only] => known.requirements.push(this(*only).into()),
                several => known.requirements.push(self.union(several)),
            }
        }
        known.constrains.extend(needs.ruled_out().map(never));
        Dependencies::Known(known)
    }
}

impl Provider<'_, '_> {
    fn union(&self, options: &[Id]) -> ConditionalRequirement {
        let mut unions = self.unions.borrow_mut();
        unions.push(options.iter().map(|&option| this(option)).collect());
        Requirement::Union(VersionSetUnionId(raw(unions.len() - 1))).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Archive;
    use crate::index::Index;
    use crate::policy::Policy;
    use rootstrap_debian::packages::Table;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// More packages than slots, each of which needs a slot of its own: a solver needs exponential time to see that it cannot be.
    #[test]
    fn a_search_without_end_can_be_stopped() {
        let slots = 12;
        let names = |n: usize| (0..slots).map(|slot| format!("p{n}-s{slot}")).collect::<Vec<_>>();
        let mut text = String::new();
        for n in 0..=slots {
            text += &format!("Package: p{n}\nArchitecture: all\nDepends: {}\n\n", names(n).join(" | "));
            for slot in 0..slots {
                let others: Vec<_> =
                    (0..=slots).filter(|other| *other != n).map(|other| format!("p{other}-s{slot}")).collect();
                text += &format!("Package: p{n}-s{slot}\nArchitecture: all\nConflicts: {}\n\n", others.join(", "));
            }
        }
        let (table, cancel) = (Table::parse(&text), AtomicBool::new(false));
        let indexes = [Index::plain(0, "all", &table)];
        let graph = || Graph::new(Archive::new(&indexes, vec!["amd64"], &Policy::default()), None, &cancel);
        std::thread::scope(|scope| {
            let (started, begun) = std::sync::mpsc::channel();
            let graph = &graph;
            let search = scope.spawn(move || {
                let graph = graph();
                let roots: Vec<Id> = (0..=slots).map(|n| graph.archive.id(&format!("p{n}")).unwrap()).collect();
                started.send(()).unwrap();
                solve(&graph, &roots, &BTreeSet::new(), false)
            });
            begun.recv().unwrap();
            cancel.store(true, Ordering::Relaxed);
            assert!(matches!(search.join().unwrap(), Err(Error::Cancelled)));
        });
    }
}
