//! The phases a plan is installed in. Equality with debootstrap's result hangs on them: what a package's scripts find
//! depends on what was there before.
//!
//! debootstrap installs its `required` set first, then one group per `dpkg --predep-package` answer, then the rest in
//! one go (scripts/debian-common, second_stage_install). dpkg's answers follow from its package hash, so they can be
//! computed (src/main/enquiry.c, predeppackage; lib/dpkg/strhash.c; lib/dpkg/pkg-hash.c).

use crate::index::{Archive, Id};
use crate::needs::{Group, Kind};
use crate::{Error, Request, Variant};
use std::collections::BTreeSet;

/// Configured one by one before anything else, in this order (x_core_install in debootstrap). The C library's name
/// depends on the architecture.
const CORE: [&str; 10] =
    ["base-passwd", "base-files", "dpkg", "libc6", "libc6.1", "libc0.1", "libc0.3", "perl-base", "mawk", "debconf"];

/// A named step of the installation.
pub(crate) struct Step {
    pub name: String,
    pub ids: Vec<Id>,
}

/// Cuts `set` into phases. The first is always `required`, be it empty; the others have at least one package.
///
/// `custom` has the same phases as the others, cut from what it has. Where nothing is configured there are no groups.
///
/// # Errors
/// [`Error::Malformed`] for a member of the set.
pub(crate) fn phases(archive: &Archive<'_>, request: &Request, set: &BTreeSet<Id>) -> Result<Vec<Step>, Error> {
    let starts = set.iter().copied().filter(|&id| {
        let package = archive.package(id);
        package.is_essential()
            || (request.variant != Variant::Essential && package.priority == "required")
            || (!request.variant.is_bare() && request.add.iter().any(|name| name == package.name))
    });
    let required = closure(archive, set, starts, &BTreeSet::new())?;
    let mut steps = vec![Step { name: "required".to_owned(), ids: core_first(archive, &required) }];
    let mut done = required;
    if request.variant.runs_scripts() {
        let order = hash_order(archive, set, request.hash_bins);
        while let Some(wanted) = next_predep(archive, set, &order, &done)? {
            let group = closure(archive, set, std::iter::once(wanted), &done)?;
            let name = format!("predep-{}", steps.len());
            steps.push(Step { name, ids: group.iter().copied().collect() });
            done.extend(group);
        }
    }
    let rest: Vec<Id> = set.difference(&done).copied().collect();
    if !rest.is_empty() {
        steps.push(Step { name: "base".to_owned(), ids: rest });
    }
    Ok(steps)
}

/// `starts` and what of the set they depend on, less what is `done`. As debootstrap's resolve_deps, this follows the
/// first alternative by its name. Where that leaves a dependency unmet (the first alternative was not chosen, or is
/// virtual), the chosen option is taken along: nothing could be configured otherwise.
fn closure(
    archive: &Archive<'_>,
    set: &BTreeSet<Id>,
    starts: impl Iterator<Item = Id>,
    done: &BTreeSet<Id>,
) -> Result<BTreeSet<Id>, Error> {
    let mut found = BTreeSet::new();
    let mut todo: Vec<Id> = starts.collect();
    loop {
        while let Some(id) = todo.pop() {
            // Not stopping at what is done: debootstrap subtracts it at the end.
            if found.insert(id) {
                for group in archive.needs(id)?.wanted(false) {
                    let first = group.relations.first().and_then(|relation| {
                        let own = archive.id_of(relation.name, archive.rank(id));
                        own.or_else(|| archive.id(relation.name))
                    });
                    todo.extend(first.filter(|first| set.contains(first)));
                }
            }
        }
        for &id in &found {
            for group in archive.needs(id)?.wanted(false) {
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

fn core_first(archive: &Archive<'_>, set: &BTreeSet<Id>) -> Vec<Id> {
    let core: Vec<Id> = CORE.iter().filter_map(|name| archive.id(name)).filter(|id| set.contains(id)).collect();
    let rest = set.iter().copied().filter(|id| !core.contains(id));
    core.iter().copied().chain(rest).collect()
}

/// The set in the order in which dpkg walks its hash: by bin, then (dpkg: by first mention) by name.
fn hash_order(archive: &Archive<'_>, set: &BTreeSet<Id>, bins: u32) -> Vec<Id> {
    let mut order: Vec<Id> = set.iter().copied().collect();
    order.sort_by_key(|&id| fnv(archive.name(id)) % bins.max(1));
    order
}

/// FNV-1a, 32 bits.
fn fnv(name: &str) -> u32 {
    name.bytes().fold(2_166_136_261, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619))
}

/// What `dpkg --predep-package` would answer with `done` installed: from the first package with an unmet
/// pre-dependency down to one that has none itself.
fn next_predep(
    archive: &Archive<'_>,
    set: &BTreeSet<Id>,
    order: &[Id],
    done: &BTreeSet<Id>,
) -> Result<Option<Id>, Error> {
    for &start in order.iter().filter(|id| !done.contains(id)) {
        let mut seen = BTreeSet::from([start]);
        let mut unmet = unmet_predep(archive, start, done)?;
        let mut answer = None;
        while let Some(group) = unmet {
            let next = group.options.iter().copied().find(|id| set.contains(id) && !seen.contains(id));
            // Only a cycle of pre-dependencies has no next; dpkg calls that an error, we install what we have.
            let Some(next) = next else { break };
            seen.insert(next);
            answer = Some(next);
            unmet = unmet_predep(archive, next, done)?;
        }
        if let Some(answer) = answer.filter(|id| !done.contains(id)) {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

fn unmet_predep<'s, 'a>(archive: &'s Archive<'a>, id: Id, done: &BTreeSet<Id>) -> Result<Option<&'s Group<'a>>, Error> {
    let mut groups = archive.needs(id)?.groups.iter().filter(|group| group.kind == Kind::PreDepends);
    Ok(groups.find(|group| !group.options.iter().any(|option| done.contains(option))))
}
