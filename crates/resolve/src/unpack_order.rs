//! The order in which the packages of a later phase are unpacked: apt's. What a package depends on is unpacked before it, so that its
//! preinst finds whole programs (mariadb-server's calls addgroup, which needs all of perl).
//!
//! debootstrap unpacks by name, and again what failed. apt goes depth first through a list that begins with the packages that score
//! highest (apt-pkg/orderlist.cc, OrderUnpack, VisitNode, Score). In a fresh root nothing is there that a package could break, so the
//! dependencies alone count. A dependency on a package whose own dependencies are being followed closes a loop; it is left out. So where
//! a loop is cut follows from where it is entered.

use crate::archive::{Archive, Id};
use crate::error::Error;
use crate::needs::{Graph, Kind};
use std::collections::{BTreeSet, HashSet};

/// How often apt goes through the list again for pre-dependencies, each time in the order that the last time gave (passes B to D).
/// A loop that was entered at the wrong place for them is mended so.
const PASSES_FOR_PRE_DEPENDENCIES: usize = 3;

/// Returns `ids` in the order in which they are unpacked.
///
/// # Errors
/// [`Error::Malformed`] for one of them, [`Error::Cancelled`].
pub(crate) fn unpack_order(graph: &Graph<'_>, ids: &BTreeSet<Id>) -> Result<Vec<Id>, Error> {
    let archive = &graph.archive;
    let mut order: Vec<Id> = ids.iter().copied().collect();
    order.sort_by_key(|&id| (std::cmp::Reverse(score(archive, id)), id));
    order = depth_first(graph, ids, &order, |_| true)?;
    for _ in 0..PASSES_FOR_PRE_DEPENDENCIES {
        order = depth_first(graph, ids, &order, |kind| kind == Kind::PreDepends)?;
    }
    Ok(order)
}

/// Returns how early apt begins with a package. Essential packages never come so late.
fn score(archive: &Archive<'_>, id: Id) -> u32 {
    let package = archive.package(id);
    let of_pre_dependencies = if package.pre_depends.is_empty() { 0 } else { 50 };
    let of_priority = match package.priority {
        "required" => 5,
        "important" => 4,
        "standard" => 3,
        "optional" => 1,
        _ => 0,
    };
    of_pre_dependencies + of_priority
}

/// Returns `order` with everything that a package needs before it. Of the packages of `order` itself only dependencies of a `followed`
/// kind are followed, and of those that they lead to, all.
fn depth_first(
    graph: &Graph<'_>,
    ids: &BTreeSet<Id>,
    order: &[Id],
    followed: impl Fn(Kind) -> bool,
) -> Result<Vec<Id>, Error> {
    let mut done = Vec::with_capacity(ids.len());
    let mut seen = HashSet::with_capacity(ids.len());
    for &start in order {
        if !seen.insert(start) {
            continue;
        }
        // Each package on the way down, with those that it needs and that were not looked at yet, the next one last. A list and not a
        // function that calls itself: an index can have a chain that is longer than the stack.
        let mut way = vec![(start, needed(graph, ids, start, &followed)?)];
        while let Some((id, rest)) = way.last_mut() {
            match rest.pop() {
                Some(next) if seen.insert(next) => {
                    let further = needed(graph, ids, next, |_| true)?;
                    way.push((next, further));
                }
                Some(_) => (),
                None => {
                    done.push(*id);
                    way.pop();
                }
            }
        }
    }
    Ok(done)
}

/// Returns the packages of `ids` that may meet what `id` needs, the first to be unpacked last.
fn needed(graph: &Graph<'_>, ids: &BTreeSet<Id>, id: Id, followed: impl Fn(Kind) -> bool) -> Result<Vec<Id>, Error> {
    let groups = graph.needs(id)?.wanted(false).filter(|group| followed(group.kind));
    let mut found: Vec<Id> = groups.flat_map(|group| &group.options).copied().filter(|id| ids.contains(id)).collect();
    found.reverse();
    Ok(found)
}
