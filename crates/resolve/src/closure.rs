//! From the selection to the full set of packages: apt's walk first, the solver where that does not hold.

use crate::index::{Archive, Id};
use crate::select::{Selection, Why};
use crate::{Error, explain, solve, walk};
use std::collections::BTreeSet;

/// The packages to install: the selection and all they depend on, without a conflict.
///
/// # Errors
/// [`Error::Unsatisfiable`] with the reasons, [`Error::Malformed`] for a package that would be in the set.
pub(crate) fn close(archive: &Archive<'_>, selection: &Selection, recommends: bool) -> Result<BTreeSet<Id>, Error> {
    let mut forbidden = selection.excluded.clone();
    forbidden.extend(&selection.avoided);
    if let Some(set) = attempt(archive, selection, &forbidden, recommends)? {
        return Ok(set);
    }
    // What is merely avoided may be the only way to what was asked for.
    if forbidden.len() > selection.excluded.len()
        && let Some(set) = attempt(archive, selection, &selection.excluded, recommends)?
    {
        return Ok(set);
    }
    Err(Error::Unsatisfiable { reasons: explain::explain(archive, selection) })
}

/// What of `set` the essential packages bring in by themselves. apt never removes those, so nobody marks them.
///
/// # Errors
/// [`Error::Malformed`] for a package on the way.
pub(crate) fn essential(
    archive: &Archive<'_>,
    selection: &Selection,
    set: &BTreeSet<Id>,
) -> Result<BTreeSet<Id>, Error> {
    let roots = roots(selection, true);
    let mut forbidden = selection.excluded.clone();
    forbidden.extend(&selection.avoided);
    let walked = walk::walk(archive, &roots, &[], &forbidden, false)?;
    Ok(walked.intersection(set).copied().collect())
}

/// The essential packages or the others. The suite's additions are there to steer what the essential ones pull in.
fn roots(selection: &Selection, first: bool) -> Vec<Id> {
    let is_first = |id: &Id| matches!(selection.chosen.get(id), Some(Why::Essential | Why::Suite));
    selection.order.iter().copied().filter(|id| is_first(id) == first).collect()
}

fn attempt(
    archive: &Archive<'_>,
    selection: &Selection,
    forbidden: &BTreeSet<Id>,
    recommends: bool,
) -> Result<Option<BTreeSet<Id>>, Error> {
    let (first, then) = (roots(selection, true), roots(selection, false));
    let walked = walk::walk(archive, &first, &then, forbidden, recommends)?;
    let all: Vec<Id> = selection.chosen.keys().copied().collect();
    if holds(archive, &all, &walked, forbidden)? {
        return Ok(Some(walked));
    }
    let Some(solved) = solve::solve(archive, &all, forbidden, recommends)? else { return Ok(None) };
    // The solver knows a way out, but not apt's taste. So walk again around whatever stands against its solution.
    let mut around = forbidden.clone();
    for &id in &solved {
        around.extend(archive.needs(id)?.rejected());
    }
    for &id in walked.difference(&solved) {
        if archive.needs(id)?.rejected().any(|enemy| solved.contains(&enemy)) {
            around.insert(id);
        }
    }
    let again = walk::walk(archive, &first, &then, &around, recommends)?;
    Ok(Some(if holds(archive, &all, &again, forbidden)? { again } else { solved }))
}

/// Whether `set` has all the `roots`, nothing `forbidden`, every hard dependency met and no two members that clash.
pub(crate) fn holds(
    archive: &Archive<'_>,
    roots: &[Id],
    set: &BTreeSet<Id>,
    forbidden: &BTreeSet<Id>,
) -> Result<bool, Error> {
    if !roots.iter().all(|root| set.contains(root)) || !forbidden.is_disjoint(set) {
        return Ok(false);
    }
    for &id in set {
        let needs = archive.needs(id)?;
        let met = needs.wanted(false).all(|group| group.options.iter().any(|option| set.contains(option)));
        if !met || needs.rejected().any(|enemy| set.contains(&enemy)) {
            return Ok(false);
        }
    }
    Ok(true)
}
