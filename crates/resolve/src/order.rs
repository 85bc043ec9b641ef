//! The phases in which a plan is installed. They make the result equal to debootstrap's, because the scripts of a package
//! see the packages that were installed before it.
//!
//! debootstrap installs its `required` set first, then one group for each answer of `dpkg --predep-package`, then the rest
//! at once (scripts/debian-common, second_stage_install). dpkg's answers follow from its hash table of packages, so they
//! can be computed (src/main/enquiry.c, predeppackage; lib/dpkg/strhash.c; lib/dpkg/pkg-hash.c).
//!
//! Within a phase after the first, packages are in apt's order of unpacking ([`unpack_order`]).

use crate::archive::{Archive, Id};
use crate::error::Error;
use crate::fnv::fnv1a_32;
use crate::needs::{Graph, Group, Kind};
use crate::request::{Request, Variant};
use crate::unpack_order::unpack_order;
use std::collections::BTreeSet;

/// The packages that are configured one by one before all others, in this order (x_core_install in debootstrap). The name
/// of the C library depends on the architecture.
const CORE: [&str; 10] =
    ["base-passwd", "base-files", "dpkg", "libc6", "libc6.1", "libc0.1", "libc0.3", "perl-base", "mawk", "debconf"];

/// A named step of the installation.
pub(crate) struct Step {
    pub name: String,
    /// In the order in which they are unpacked.
    pub ids: Vec<Id>,
}

/// Cuts `set` into phases. The first is always `required`, even if it is empty; the others have at least one package.
///
/// `custom` has the same phases as the other variants, cut from the packages it has. Variants that configure nothing have
/// no pre-dependency groups.
///
/// # Errors
/// [`Error::Malformed`] for a member of the set.
pub(crate) fn phases(graph: &Graph<'_>, request: &Request, set: &BTreeSet<Id>) -> Result<Vec<Step>, Error> {
    let archive = &graph.archive;
    let starts = set.iter().copied().filter(|&id| {
        let package = archive.package(id);
        package.is_essential()
            || (request.variant != Variant::Essential && package.priority == "required")
            || (!request.variant.is_bare() && request.add.iter().any(|name| name == package.name))
    });
    let required = closure(graph, set, starts, &BTreeSet::new())?;
    let mut steps = vec![Step { name: "required".to_owned(), ids: core_first(archive, &required) }];
    let mut done = required;
    if request.variant.runs_scripts() {
        let order = hash_order(archive, set, request.hash_bins);
        while let Some(wanted) = next_predep(graph, set, &order, &done)? {
            let group = closure(graph, set, std::iter::once(wanted), &done)?;
            let name = format!("predep-{}", steps.len());
            steps.push(Step { name, ids: unpack_order(graph, &group)? });
            done.extend(group);
        }
    }
    let rest: BTreeSet<Id> = set.difference(&done).copied().collect();
    if !rest.is_empty() {
        steps.push(Step { name: "base".to_owned(), ids: unpack_order(graph, &rest)? });
    }
    Ok(steps)
}

/// Returns `starts` and the packages of the set that they depend on, without those that are `done`. Like debootstrap's
/// resolve_deps, this follows the first alternative by its name. If that leaves a dependency unmet, because the first
/// alternative was not chosen or is virtual, this adds the chosen one, because nothing could be configured without it.
fn closure(
    graph: &Graph<'_>,
    set: &BTreeSet<Id>,
    starts: impl Iterator<Item = Id>,
    done: &BTreeSet<Id>,
) -> Result<BTreeSet<Id>, Error> {
    let archive = &graph.archive;
    let mut found = BTreeSet::new();
    let mut todo: Vec<Id> = starts.collect();
    loop {
        while let Some(id) = todo.pop() {
            // Follow packages that are done too: debootstrap subtracts them only at the end.
            if found.insert(id) {
                for group in graph.needs(id)?.wanted(false) {
                    let first = group.relations.first().and_then(|relation| {
                        let own = archive.id_of(relation.name, archive.rank(id));
                        own.or_else(|| archive.id(relation.name))
                    });
                    todo.extend(first.filter(|first| set.contains(first)));
                }
            }
        }
        for &id in &found {
            for group in graph.needs(id)?.wanted(false) {
                let met = |option: &&Id| found.contains(option) || done.contains(option);
                if !group.options.iter().any(|option| met(&option)) {
                    todo.extend(group.options.iter().find(|option| set.contains(option)));
                }
            }
        }
        if todo.is_empty() {
            return Ok(found.difference(done).copied().collect());
        }
    }
}

/// Returns the ids of a set, those of [`CORE`] first.
fn core_first(archive: &Archive<'_>, set: &BTreeSet<Id>) -> Vec<Id> {
    let core: Vec<Id> = CORE.iter().filter_map(|name| archive.id(name)).filter(|id| set.contains(id)).collect();
    let rest = set.iter().copied().filter(|id| !core.contains(id));
    core.iter().copied().chain(rest).collect()
}

/// Returns the set in the order in which dpkg walks its hash table: by bin, and within a bin by name (dpkg: by first
/// mention).
fn hash_order(archive: &Archive<'_>, set: &BTreeSet<Id>, bins: u32) -> Vec<Id> {
    let mut order: Vec<Id> = set.iter().copied().collect();
    order.sort_by_key(|&id| fnv1a_32(archive.name(id)) % bins.max(1));
    order
}

/// Returns what `dpkg --predep-package` would answer with `done` installed. It starts at the first package with an unmet
/// pre-dependency, and follows those down to a package that has none.
fn next_predep(graph: &Graph<'_>, set: &BTreeSet<Id>, order: &[Id], done: &BTreeSet<Id>) -> Result<Option<Id>, Error> {
    for &start in order.iter().filter(|id| !done.contains(id)) {
        let mut seen = BTreeSet::from([start]);
        let mut unmet = unmet_predep(graph, start, done)?;
        let mut answer = None;
        while let Some(group) = unmet {
            let next = group.options.iter().copied().find(|id| set.contains(id) && !seen.contains(id));
            // Only a cycle of pre-dependencies ends here. dpkg reports an error then; this returns the package found so far.
            let Some(next) = next else { break };
            seen.insert(next);
            answer = Some(next);
            unmet = unmet_predep(graph, next, done)?;
        }
        if let Some(answer) = answer.filter(|id| !done.contains(id)) {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

/// Returns the first pre-dependency of a package that no `done` package meets.
fn unmet_predep<'s, 'a>(graph: &'s Graph<'a>, id: Id, done: &BTreeSet<Id>) -> Result<Option<&'s Group<'a>>, Error> {
    let mut groups = graph.needs(id)?.groups.iter().filter(|group| group.kind == Kind::PreDepends);
    Ok(groups.find(|group| !group.options.iter().any(|option| done.contains(option))))
}
