//! What differs between the packages of two roots.

use crate::model::{Package, Platform};
use std::collections::BTreeMap;

/// What happened to a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only the new root has it.
    Added,
    /// Only the old root has it.
    Removed,
    /// The new root has a later version.
    Upgraded,
    /// The new root has an earlier version.
    Downgraded,
    /// Both have the same version with other content.
    Rebuilt,
}

impl Change {
    /// Returns the word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Upgraded => "upgraded",
            Self::Downgraded => "downgraded",
            Self::Rebuilt => "rebuilt",
        }
    }
}

/// A package that differs, as each root has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedPackage<'a> {
    /// Its name, with its architecture if that is a further one of the root.
    pub label: String,
    /// What happened to it.
    pub change: Change,
    /// What the old root has.
    pub old: Option<&'a Package>,
    /// What the new root has.
    pub new: Option<&'a Package>,
}

/// Returns the packages that differ between two roots of one architecture, sorted by name. Why a package is there makes no difference.
#[must_use]
pub fn changes<'a>(old: &'a Platform, new: &'a Platform) -> Vec<ChangedPackage<'a>> {
    let mut both: BTreeMap<String, (Option<&Package>, Option<&Package>)> = BTreeMap::new();
    for package in &old.packages {
        both.entry(old.label(package)).or_default().0 = Some(package);
    }
    for package in &new.packages {
        both.entry(new.label(package)).or_default().1 = Some(package);
    }
    let changed = both.into_iter().filter_map(|(label, (old, new))| {
        let change = change(old, new)?;
        Some(ChangedPackage { label, change, old, new })
    });
    changed.collect()
}

fn change(old: Option<&Package>, new: Option<&Package>) -> Option<Change> {
    use rootstrap_debian::version::Version;
    use std::cmp::Ordering;
    match (old, new) {
        (None, None) => None,
        (None, Some(_)) => Some(Change::Added),
        (Some(_), None) => Some(Change::Removed),
        (Some(old), Some(new)) => match Version::new(&old.version).cmp(&Version::new(&new.version)) {
            Ordering::Less => Some(Change::Upgraded),
            Ordering::Greater => Some(Change::Downgraded),
            Ordering::Equal if old.sha256 != new.sha256 || old.architecture != new.architecture => {
                Some(Change::Rebuilt)
            }
            Ordering::Equal => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{package, platform};

    #[test]
    fn every_kind_of_change_is_found() {
        let with = |packages: &[(&str, &str, u8)]| {
            platform(packages.iter().map(|&(name, version, byte)| package(name, version, byte)).collect())
        };
        let old = with(&[("a", "1", 1), ("b", "1", 1), ("c", "2", 1), ("d", "1", 1), ("e", "1", 1)]);
        let new = with(&[("b", "1:0", 1), ("c", "1", 1), ("d", "1", 2), ("e", "1", 1), ("f", "1", 1)]);
        let found: Vec<(String, Change)> = changes(&old, &new).into_iter().map(|it| (it.label, it.change)).collect();
        let expected = [
            ("a", Change::Removed),
            ("b", Change::Upgraded),
            ("c", Change::Downgraded),
            ("d", Change::Rebuilt),
            ("f", Change::Added),
        ];
        assert_eq!(found, expected.map(|(label, change)| (label.to_owned(), change)));
    }
}
