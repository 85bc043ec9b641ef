//! Why each package is in a plan: the request selects it, or another package of the plan needs it.

use crate::archive::Id;
use crate::error::Error;
use crate::needs::{Graph, Kind};
use crate::select::{Selection, Why};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Returns the reason for each package of `set`, as [`Planned::why`](crate::Planned::why) has it. The reasons lead from any package back
/// to the request by as few steps as there are.
///
/// # Errors
/// [`Error::Malformed`] or [`Error::Cancelled`].
pub(crate) fn reasons(
    graph: &Graph<'_>,
    selection: &Selection,
    set: &BTreeSet<Id>,
    recommends: bool,
) -> Result<BTreeMap<Id, String>, Error> {
    let mut reasons: BTreeMap<Id, String> = BTreeMap::new();
    // What the variant has by itself comes first, so that an include changes as few reasons as possible.
    let mut roots: Vec<Id> = selection.chosen.keys().copied().collect();
    roots.sort_by_key(|id| selection.chosen.get(id).map(|why| rank(*why)));
    for &id in &roots {
        reasons.insert(id, selected(selection, id).to_owned());
    }
    // The first alternative that is installed is the one that is needed. The others count only if nothing else explains them.
    for alternatives in [1, usize::MAX] {
        let mut reached: VecDeque<Id> = roots.iter().copied().collect();
        reached.extend(reasons.keys().filter(|id| !selection.chosen.contains_key(id)));
        let mut seen: BTreeSet<Id> = reached.iter().copied().collect();
        while let Some(id) = reached.pop_front() {
            for group in graph.needs(id)?.wanted(recommends) {
                for &other in group.options.iter().filter(|option| set.contains(option)).take(alternatives) {
                    if seen.insert(other) {
                        let verb = if group.kind == Kind::Recommends { "recommended by" } else { "needed by" };
                        reasons.entry(other).or_insert_with(|| format!("{verb} {}", graph.archive.display_name(id)));
                        reached.push_back(other);
                    }
                }
            }
        }
    }
    Ok(reasons)
}

fn rank(why: Why) -> u8 {
    match why {
        Why::Essential => 0,
        Why::Suite => 1,
        Why::Priority => 2,
        Why::Variant => 3,
        Why::Included => 4,
    }
}

fn selected(selection: &Selection, id: Id) -> &'static str {
    match selection.chosen.get(&id) {
        Some(Why::Included) => "included",
        Some(Why::Essential) => "essential",
        Some(Why::Priority) => "priority",
        Some(Why::Variant) | None => "variant",
        Some(Why::Suite) => "suite",
    }
}
