//! Includes that stand for several packages: tasks and patterns of apt.

use crate::archive::{Archive, Id, Rank};
use crate::error::Error;
use crate::pattern::{Object, Version};
use crate::pattern_parser;
use rootstrap_debian::packages::Package;
use std::collections::BTreeMap;

/// Whether an include is a pattern and not a name, as apt tells them apart.
fn is_pattern(text: &str) -> bool {
    text.starts_with(['?', '~', '!', '('])
}

/// Returns the task that an include stands for (apt-get(8)).
fn task(text: &str) -> Option<&str> {
    text.strip_suffix('^').filter(|_| !is_pattern(text))
}

/// Whether an include stands for all packages of a task, or that a pattern is true of.
pub(crate) fn is_group(text: &str) -> bool {
    is_pattern(text) || task(text).is_some()
}

/// Returns the packages of a task, or those that a pattern is true of, in the order in which apt met them. apt names them in this order,
/// so a dependency of one may be met by another that comes later (apt `apt-pkg/cacheset.cc`).
///
/// # Errors
/// [`Error::BadSelection`] for a task without packages, or text that is no pattern.
pub(crate) fn group(archive: &Archive<'_>, text: &str) -> Result<Vec<Id>, Error> {
    let mut found = match task(text) {
        Some(task) => of_task(archive, task),
        None => matching(archive, text)?,
    };
    if found.is_empty() && task(text).is_some() {
        let why = "no package of the archive belongs to this task".to_owned();
        return Err(Error::BadSelection { what: text.to_owned(), why });
    }
    archive.sort_as_met(&mut found);
    Ok(found)
}

fn of_task(archive: &Archive<'_>, task: &str) -> Vec<Id> {
    let is_meant = |id: &Id| archive.package(*id).task.split([',', ' ']).any(|word| word == task);
    (0..archive.len()).filter(is_meant).collect()
}

/// Returns the candidates of which a pattern is true, sorted.
///
/// # Errors
/// [`Error::BadSelection`] if it is no pattern, or asks for what is unknown before anything is installed.
fn matching(archive: &Archive<'_>, text: &str) -> Result<Vec<Id>, Error> {
    let bad = |why: String| Error::BadSelection { what: text.to_owned(), why };
    let pattern = pattern_parser::parse(text).map_err(bad)?;
    let mut packages: BTreeMap<(&str, Rank), Vec<Version<'_>>> = BTreeMap::new();
    for index in archive.indexes() {
        for package in index.packages.packages() {
            let Some(rank) = archive.rank_in(index, package.architecture) else { continue };
            let versions = packages.entry((package.name, rank)).or_default();
            let digests = |package: &Package<'_>| format!("{} {}", package.sha256, package.sha512);
            let is_same = |known: &&mut Version<'_>| {
                known
                    .first()
                    .is_some_and(|(_, known)| known.version == package.version && digests(known) == digests(&package))
            };
            match versions.iter_mut().find(is_same) {
                Some(known) => known.push((index, package)),
                None => versions.push(vec![(index, package)]),
            }
        }
    }
    let is_meant = |id: &Id| {
        let rank = archive.rank(*id);
        let versions = packages.get(&(archive.name(*id), rank)).map(Vec::as_slice).unwrap_or_default();
        pattern.fits(Object { versions, only: None })
    };
    Ok((0..archive.len()).filter(is_meant).collect())
}
