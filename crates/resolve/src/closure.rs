//! Completes the selection to the full set of packages: by apt's walk, or by the solver if the walk's result is not valid.

use crate::archive::Id;
use crate::error::Error;
use crate::needs::Graph;
use crate::select::{Selection, Why};
use crate::{explain, solve, walk};
use std::collections::BTreeSet;

/// Returns the packages to install: the selection and all that it depends on, without a conflict.
///
/// # Errors
/// [`Error::Unsatisfiable`] with the reasons, [`Error::Malformed`] for a package that would be in the set.
pub(crate) fn close(graph: &Graph<'_>, selection: &Selection, recommends: bool) -> Result<BTreeSet<Id>, Error> {
    let mut forbidden = selection.excluded.clone();
    forbidden.extend(&selection.avoided);
    if let Some(set) = attempt(graph, selection, &forbidden, recommends)? {
        return Ok(set);
    }
    // A package to avoid may be the only way to install the selection.
    if forbidden.len() > selection.excluded.len()
        && let Some(set) = attempt(graph, selection, &selection.excluded, recommends)?
    {
        return Ok(set);
    }
    Err(Error::Unsatisfiable { reasons: explain::explain(graph, selection) })
}

/// Returns the packages of `set` that the essential packages alone depend on. apt never removes those, so they are not marked
/// as automatically installed.
///
/// # Errors
/// [`Error::Malformed`] for a package that the walk reaches.
pub(crate) fn essential(graph: &Graph<'_>, selection: &Selection, set: &BTreeSet<Id>) -> Result<BTreeSet<Id>, Error> {
    let roots = roots(selection, true);
    let mut forbidden = selection.excluded.clone();
    forbidden.extend(&selection.avoided);
    let walked = walk::walk(graph, &roots, &[], &forbidden, false)?;
    Ok(walked.intersection(set).copied().collect())
}

/// Returns the essential packages (`first`) or the others. The suite's additions belong to the essential ones, because they
/// decide which dependencies of those are installed.
fn roots(selection: &Selection, first: bool) -> Vec<Id> {
    let is_first = |id: &Id| matches!(selection.chosen.get(id), Some(Why::Essential | Why::Suite));
    selection.order.iter().copied().filter(|id| is_first(id) == first).collect()
}

/// Returns a valid set without the `forbidden` packages; `None` if there is none.
fn attempt(
    graph: &Graph<'_>,
    selection: &Selection,
    forbidden: &BTreeSet<Id>,
    recommends: bool,
) -> Result<Option<BTreeSet<Id>>, Error> {
    let (first, then) = (roots(selection, true), roots(selection, false));
    let walked = walk::walk(graph, &first, &then, forbidden, recommends)?;
    let all: Vec<Id> = selection.chosen.keys().copied().collect();
    if is_valid(graph, &all, &walked, forbidden)? {
        return Ok(Some(walked));
    }
    let Some(solved) = solve::solve(graph, &all, forbidden, recommends)? else { return Ok(None) };
    // The solver's set is valid, but not what apt would choose. So walk again, and avoid every package that conflicts with
    // that set.
    let mut avoided = forbidden.clone();
    for &id in &solved {
        avoided.extend(graph.needs(id)?.ruled_out());
    }
    for &id in walked.difference(&solved) {
        if graph.needs(id)?.ruled_out().any(|other| solved.contains(&other)) {
            avoided.insert(id);
        }
    }
    let again = walk::walk(graph, &first, &then, &avoided, recommends)?;
    Ok(Some(if is_valid(graph, &all, &again, forbidden)? { again } else { solved }))
}

/// Whether `set` is valid: it has all the `roots` and nothing `forbidden`, every dependency is met, and no two of its
/// packages conflict.
fn is_valid(graph: &Graph<'_>, roots: &[Id], set: &BTreeSet<Id>, forbidden: &BTreeSet<Id>) -> Result<bool, Error> {
    if !roots.iter().all(|root| set.contains(root)) || !forbidden.is_disjoint(set) {
        return Ok(false);
    }
    for &id in set {
        let needs = graph.needs(id)?;
        let met = needs.wanted(false).all(|group| group.options.iter().any(|option| set.contains(option)));
        if !met || needs.ruled_out().any(|other| set.contains(&other)) {
            return Ok(false);
        }
    }
    Ok(true)
}
