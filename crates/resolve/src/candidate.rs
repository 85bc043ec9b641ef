//! Which of the versions of a package would be installed, and why.

use crate::index::Index;
use crate::policy::{Entry, Policy, candidate};
use rootstrap_debian::packages::{Head, Package};
use rootstrap_debian::preferences::NEVER;
use std::fmt;

/// The position of an architecture among those of the root. 0 is the native one; packages for `all` belong to it too.
pub(crate) type Rank = usize;

/// The version of a package that would be installed.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub name: &'a str,
    pub index: &'a Index<'a>,
    /// Its position in that index.
    pub position: usize,
    pub rank: Rank,
    pub choice: Choice,
}

/// Why a version is the candidate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// There is no other.
    Only,
    /// Of all versions, whose archives have the same priority, it is the newest.
    Newest,
    /// It is asked for: by version, by release or by its file.
    Named,
    /// It has the highest priority.
    Priority(i16),
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => f.write_str("only version"),
            Self::Newest => f.write_str("newest version"),
            Self::Named => f.write_str("asked for"),
            Self::Priority(priority) => write!(f, "priority {priority}"),
        }
    }
}

impl<'a> Candidate<'a> {
    pub fn head(&self) -> Head<'a> {
        self.index.packages.head(self.position)
    }

    pub fn package(&self) -> Package<'a> {
        self.index.packages.package(self.position)
    }

    /// Whether both are one version. Two files of one version are two versions, as in apt.
    fn is_same_version(&self, other: &Self) -> bool {
        let (one, other) = (self.package(), other.package());
        (one.version, one.sha256, one.sha512) == (other.version, other.sha256, other.sha512)
    }
}

/// An entry of an index: the beginning of its name, the number of the index, and what would be installed.
pub(crate) type Found<'a> = (u128, usize, Candidate<'a>);

/// Returns the candidate among the entries of one name and architecture, the newest version first; `None` if none may be taken.
/// `of_indexes` has the priorities of the indexes.
pub(crate) fn best<'a>(entries: &[Found<'a>], policy: &Policy<'_>, of_indexes: &[i16]) -> Option<Candidate<'a>> {
    let of_entry = |(_, number, _): &Found<'a>| of_indexes.get(*number).copied().unwrap_or_default();
    let newest = entries.first()?;
    let (is_fixed, of_first) = (policy.fixes(newest.2.name), of_entry(newest));
    // Nearly all packages have versions of one priority.
    if !policy.names_packages() && entries.iter().all(|entry| of_entry(entry) == of_first) {
        let is_one = entries.last().is_some_and(|last| last.2.head().version == newest.2.head().version);
        let choice = match (is_fixed, is_one) {
            (true, _) => Choice::Named,
            (_, true) => Choice::Only,
            _ => Choice::Newest,
        };
        return (is_fixed || of_first > 0).then_some(Candidate { choice, ..newest.2 });
    }
    // What an archive may never give, no preference for a package brings back.
    let allowed: Vec<Found<'a>> =
        entries.iter().filter(|entry| is_fixed || of_entry(entry) != NEVER).copied().collect();
    let entries = allowed.as_slice();
    let is_same = |(_, _, a): &Found<'a>, (_, _, b): &Found<'a>| a.is_same_version(b);
    let versions: Vec<&[Found<'a>]> = entries.chunk_by(is_same).collect();
    let priorities: Vec<i16> = (versions.iter())
        .map(|version| {
            let entry = |(_, _, found): &Found<'a>| Entry { index: found.index, package: found.package() };
            let entries = || version.iter().map(entry).collect::<Vec<_>>();
            let named = policy.names_packages().then(|| policy.of_package(&entries())).flatten();
            named.or_else(|| version.iter().map(of_entry).max()).unwrap_or_default()
        })
        .collect();
    let number = if is_fixed { 0 } else { candidate(priorities.iter().copied())? };
    let version = versions.get(number)?;
    let own = priorities.get(number).copied().unwrap_or_default();
    let choice = match () {
        () if is_fixed => Choice::Named,
        () if versions.len() == 1 => Choice::Only,
        () if priorities.iter().all(|other| *other == own) => Choice::Newest,
        () => Choice::Priority(own),
    };
    // The first of those whose archive is preferred.
    let highest = version.iter().map(of_entry).max();
    let found = version.iter().find(|found| Some(of_entry(found)) == highest)?;
    Some(Candidate { choice, ..found.2 })
}
