//! The archive as one request sees it: one candidate per name and architecture, and who provides what.
//!
//! Everything borrows from the parsed indexes. Relations are parsed only for packages somebody asks about: a
//! bootstrap touches some hundreds of 60 000.

use crate::mention::Mentions;
use crate::needs::Needs;
use crate::without::Without;
use crate::{Error, needs};
use rootstrap_debian::packages::{Head, Package, Table};
use rootstrap_debian::relation::{Relation, parse_relation};
use rootstrap_debian::version::Version;
use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// One parsed `Packages` index and where it came from.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a> {
    /// Which of the caller's pockets it belongs to; handed back in [`Planned`](crate::Planned).
    pub pocket: usize,
    /// The component, as in `main`.
    pub component: &'a str,
    /// Its packages.
    pub packages: &'a Table,
}

/// Position of a candidate in its [`Archive`]; ids sort as names do.
pub(crate) type Id = usize;

/// Position of an architecture among those of the root: 0 is the native one, which packages for `all` count among.
pub(crate) type Rank = usize;

/// The version of a name that would be installed.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    name: &'a str,
    pub index: &'a Index<'a>,
    /// Its position there.
    position: usize,
    rank: Rank,
}

impl<'a> Candidate<'a> {
    fn head(&self) -> Head<'a> {
        self.index.packages.head(self.position)
    }

    fn package(&self) -> Package<'a> {
        self.index.packages.package(self.position)
    }
}

/// Whose relation is looked at, which decides what one without an architecture means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A package of that architecture needs it.
    Needs(Rank),
    /// A package rejects it: of any architecture (dpkg, lib/dpkg/depcon.c).
    Rejects,
}

impl Asker {
    /// Whether a package of that architecture is another one's to whoever asks.
    fn is_stranger(self, rank: Rank) -> bool {
        matches!(self, Self::Needs(own) if own != rank)
    }
}

/// All candidates, sorted by name, and the names they provide. Sorted lists instead of hash maps: they are as fast for
/// some thousand questions, and no order of stanzas shows through them.
pub(crate) struct Archive<'a> {
    /// By rank.
    architectures: Vec<&'a str>,
    indexes: &'a [Index<'a>],
    candidates: Vec<Candidate<'a>>,
    /// Read on first use.
    packages: Vec<OnceCell<Box<Package<'a>>>>,
    /// Hashes of provided names: comparing 100 000 strings all over a 50 MB index would cost more than all the rest.
    provided: Vec<(u64, Id)>,
    needs: Vec<OnceCell<Box<Needs<'a>>>>,
    /// Which dependencies count as met, for the variant that does without some packages.
    without: Option<Without<'a>>,
    /// Looked up only where nothing else decides, which most base systems never come to.
    mentions: OnceCell<Mentions>,
}

impl<'a> Archive<'a> {
    /// Takes the newest version of every name over all indexes, for each of the `architectures`, the native one first;
    /// of equal versions the first index's wins, as with apt's equal pins. `pins` holds names to a version.
    pub fn new(indexes: &'a [Index<'a>], architectures: Vec<&'a str>, pins: &BTreeMap<&str, &str>) -> Self {
        let rank = |package: &Head<'_>| {
            let known = if package.architecture == "all" {
                Some(0)
            } else {
                architectures.iter().position(|architecture| *architecture == package.architecture)
            };
            known
                .filter(|_| pins.get(package.name).is_none_or(|pin| Version::new(pin) == Version::new(package.version)))
        };
        let mut found: Vec<(u128, usize, Candidate<'a>)> = Vec::new();
        for (number, index) in indexes.iter().enumerate() {
            found.extend((0..index.packages.len()).filter_map(|position| {
                let head = index.packages.head(position);
                let candidate = Candidate { name: head.name, index, position, rank: rank(&head)? };
                Some((prefix(head.name), number, candidate))
            }));
        }
        // The last keys decide only where an index contradicts itself; they keep even that independent of order.
        let newest = |a: &Candidate<'_>, i: usize, b: &Candidate<'_>, j: usize| {
            let (a, b) = (a.package(), b.package());
            b.version()
                .cmp(&a.version())
                .then_with(|| (i, a.version, a.filename, a.sha256).cmp(&(j, b.version, b.filename, b.sha256)))
        };
        found.sort_by(|(p, i, a), (q, j, b)| {
            (p.cmp(q))
                .then_with(|| a.name.cmp(b.name))
                .then_with(|| a.rank.cmp(&b.rank))
                .then_with(|| newest(a, *i, b, *j))
        });
        found.dedup_by(|(p, _, a), (q, _, b)| p == q && a.name == b.name && a.rank == b.rank);
        let candidates: Vec<Candidate<'a>> = found.into_iter().map(|(_, _, candidate)| candidate).collect();
        let mut provided: Vec<(u64, Id)> = (candidates.iter().enumerate())
            .flat_map(|(id, candidate)| provided_names(candidate.head().provides).map(move |name| (hash(name), id)))
            .collect();
        provided.sort_unstable();
        provided.dedup();
        let packages = candidates.iter().map(|_| OnceCell::new()).collect();
        let needs = candidates.iter().map(|_| OnceCell::new()).collect();
        let mentions = OnceCell::new();
        Self { architectures, indexes, candidates, packages, provided, needs, without: None, mentions }
    }

    /// The same archive, some of whose dependencies count as met.
    pub fn without(self, without: Without<'a>) -> Self {
        Self { without: Some(without), ..self }
    }

    /// Whether a dependency of `id` counts as met, whatever is installed.
    pub fn does_without(&self, id: Id, alternatives: &[Relation<'_>]) -> bool {
        self.without.as_ref().is_some_and(|without| without.covers(self, id, alternatives))
    }

    /// The candidates called `name`, the native one first.
    pub fn ids(&self, name: &str) -> std::ops::Range<Id> {
        let start = self.candidates.partition_point(|candidate| candidate.name < name);
        let same = self.candidates.get(start..).unwrap_or_default();
        start..start + same.iter().take_while(|candidate| candidate.name == name).count()
    }

    /// The candidate called `name`, the native one if there are several.
    pub fn id(&self, name: &str) -> Option<Id> {
        self.ids(name).next()
    }

    /// The candidate called `name` of an architecture.
    pub fn id_of(&self, name: &str, rank: Rank) -> Option<Id> {
        self.ids(name).find(|&id| self.rank(id) == rank)
    }

    /// The architecture a candidate is for.
    pub fn rank(&self, id: Id) -> Rank {
        self.candidates[id].rank
    }

    /// The rank of an architecture of the root.
    pub fn rank_of(&self, architecture: &str) -> Option<Rank> {
        self.architectures.iter().position(|known| *known == architecture)
    }

    /// How a candidate is called where others of its name may be meant.
    pub fn shown(&self, id: Id) -> String {
        let package = self.package(id);
        match self.rank(id) {
            0 => package.name.to_owned(),
            _ => format!("{}:{}", package.name, package.architecture),
        }
    }

    /// Those that provide `name` in any version.
    fn providers(&self, name: &str) -> impl Iterator<Item = Id> {
        let hash = hash(name);
        let start = self.provided.partition_point(|&(provided, _)| provided < hash);
        let same = self.provided.get(start..).unwrap_or_default().iter().take_while(move |entry| entry.0 == hash);
        same.map(|&(_, id)| id).filter(move |&id| provided_names(self.head(id).provides).any(|other| other == name))
    }

    /// The index entry of a candidate. `id` comes from this archive.
    pub fn package(&self, id: Id) -> &Package<'a> {
        self.packages[id].get_or_init(|| Box::new(self.candidates[id].package()))
    }

    /// Its first fields, which cost less than all of them. `id` comes from this archive.
    pub fn head(&self, id: Id) -> Head<'a> {
        self.candidates[id].head()
    }

    /// Where a candidate comes from. `id` comes from this archive.
    pub fn index(&self, id: Id) -> &'a Index<'a> {
        self.candidates[id].index
    }

    /// Its name.
    pub fn name(&self, id: Id) -> &'a str {
        self.candidates[id].name
    }

    /// How many candidates there are; ids count from zero.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Every candidate's name, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.candidates.iter().map(|candidate| candidate.name)
    }

    /// Names of the packages that provide `name` in any version, sorted.
    pub fn provider_names(&self, name: &str) -> Vec<String> {
        self.providers(name).map(|id| self.name(id).to_owned()).collect()
    }

    /// What a candidate needs and what it cannot stand, parsed on first use.
    ///
    /// # Errors
    /// [`Error::Malformed`] naming the field.
    pub fn needs(&self, id: Id) -> Result<&Needs<'a>, Error> {
        if let Some(known) = self.needs[id].get() {
            return Ok(known);
        }
        let parsed = needs::parse(self, id)?;
        Ok(self.needs[id].get_or_init(|| Box::new(parsed)))
    }

    /// What meets `relation` for `asker`: packages of that name, those of the asker's own architecture first, then
    /// providers in the order of their weights and names.
    pub fn matching(&self, relation: &Relation<'_>, asker: Asker) -> Vec<Id> {
        let admits = |&id: &Id| self.is_meant(relation, asker, id);
        let mut real: Vec<Id> =
            self.ids(relation.name).filter(|&id| relation.admits(self.package(id).version())).filter(admits).collect();
        real.sort_by_key(|&id| asker.is_stranger(self.rank(id)));
        let mut found: Vec<Id> = (self.providers(relation.name))
            .filter(|id| !real.contains(id) && provides(self.package(*id), relation))
            .filter(admits)
            .collect();
        // Stable: those alike stay in the order of their names.
        found.sort_by_key(|&id| self.weight(id));
        found.splice(0..0, real);
        found
    }

    /// Whether a candidate is of an architecture that `relation` can mean (dpkg, lib/dpkg/depcon.c; apt sees `all` as
    /// native).
    fn is_meant(&self, relation: &Relation<'_>, asker: Asker, id: Id) -> bool {
        let rank = self.rank(id);
        let multi_arch = self.package(id).multi_arch;
        match (relation.qualifier, asker) {
            (None, Asker::Rejects) => true,
            (None, Asker::Needs(own)) => rank == own || multi_arch.eq_ignore_ascii_case("foreign"),
            (Some("any"), Asker::Needs(own)) => rank == own || multi_arch.eq_ignore_ascii_case("allowed"),
            (Some("any"), Asker::Rejects) => true,
            (Some("native"), _) => rank == 0,
            (Some(architecture), _) => self.rank_of(architecture) == Some(rank),
        }
    }

    /// What meets `relation`, in apt's order of preference (CompareProviders in apt-pkg/depcache.cc): what is
    /// `protected`, then the package of that name, essential packages before others, higher priority before lower.
    /// Those alike are together in one list; [`Archive::by_mention`] knows their order. Dearer than
    /// [`Archive::matching`], so it is for where there is a choice to be made.
    pub fn preferred(&self, relation: &Relation<'_>, asker: Asker, protected: impl Fn(Id) -> bool) -> Vec<Vec<Id>> {
        let mut found = self.matching(relation, asker);
        let key = |id: Id| {
            let stranger = asker.is_stranger(self.rank(id));
            (!protected(id), self.name(id) != relation.name, stranger, self.weight(id))
        };
        found.sort_by_key(|&id| key(id));
        found.chunk_by(|&a, &b| key(a) == key(b)).map(<[Id]>::to_vec).collect()
    }

    /// Sorts candidates that are alike as apt would try them: the one the archive mentions last comes first. It takes
    /// reading all relations of the archive, so it is for where one of them is really to be chosen.
    pub fn by_mention(&self, alike: &mut [Id]) {
        if alike.len() > 1 {
            alike.sort_by_key(|&id| Reverse(self.place(id)));
        }
    }

    fn weight(&self, id: Id) -> (bool, u8) {
        (!self.package(id).is_essential(), priority_rank(self.package(id).priority))
    }

    /// Where the archive first mentions a package that is not alone in providing something.
    fn place(&self, id: Id) -> u32 {
        let mentions = self.mentions.get_or_init(|| {
            let shared = self.provided.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1).flatten();
            Mentions::new(self.indexes, self.architectures[0], shared.map(|&(_, id)| hash(self.name(id))))
        });
        mentions.place(self.name(id))
    }
}

/// The first 16 bytes, so that most comparisons need not go to the text. Orders as the text does.
fn prefix(name: &str) -> u128 {
    let mut bytes = [0; 16];
    for (byte, of_name) in bytes.iter_mut().zip(name.bytes()) {
        *byte = of_name;
    }
    u128::from_be_bytes(bytes)
}

/// FNV-1a, 64 bits. Names that share a hash are told apart by their text.
pub(crate) fn hash(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// apt's order of priorities; what is none counts as the last (apt-pkg/deb/deblistparser.cc).
fn priority_rank(priority: &str) -> u8 {
    match priority {
        "required" => 1,
        "important" => 2,
        "standard" => 3,
        "optional" => 4,
        _ => 5,
    }
}

/// The names in a `Provides` field, unchecked: whoever is chosen gets checked later.
fn provided_names(field: &str) -> impl Iterator<Item = &str> {
    field.split(',').filter_map(|entry| {
        let entry = entry.trim_ascii();
        let end = entry.bytes().position(|b| !(b.is_ascii_alphanumeric() || b"+-._".contains(&b)));
        entry.get(..end.unwrap_or(entry.len())).filter(|name| !name.is_empty())
    })
}

/// Whether `package` provides what `relation` asks for. A versioned demand is met by versioned Provides only
/// (policy §7.5).
fn provides(package: &Package<'_>, relation: &Relation<'_>) -> bool {
    package.provides.split(',').filter_map(|entry| parse_relation(entry).ok()).any(|provided| {
        provided.name == relation.name
            && match (relation.version, provided.version) {
                (None, _) => true,
                (Some(_), Some((_, version))) => relation.admits(version),
                (Some(_), None) => false,
            }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::walk::walk;
    use std::collections::BTreeSet;

    /// Reading all relations costs more than all the rest of a plan.
    #[test]
    fn mentions_are_looked_up_only_where_nothing_else_decides() {
        let text = "Package: asks\nArchitecture: all\nDepends: awk\n
Package: best\nArchitecture: all\nPriority: required\nProvides: awk\n
Package: one\nArchitecture: all\nProvides: awk\n
Package: two\nArchitecture: all\nProvides: awk\n";
        let table = Table::parse(text);
        let indexes = [Index { pocket: 0, component: "main", packages: &table }];
        let looked_up = |forbidden: &[&str], expect: &str| {
            let archive = Archive::new(&indexes, vec!["amd64"], &BTreeMap::new());
            let id = |name: &str| archive.id(name).unwrap();
            let forbidden: BTreeSet<Id> = forbidden.iter().map(|name| id(name)).collect();
            let set = walk(&archive, &[id("asks")], &[], &forbidden, false).unwrap();
            assert_eq!(set, BTreeSet::from([id("asks"), id(expect)]));
            archive.mentions.get().is_some()
        };
        assert!(!looked_up(&[], "best"));
        assert!(looked_up(&["best"], "two"));
    }
}
