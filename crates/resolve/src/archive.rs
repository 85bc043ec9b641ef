//! The archive as one request sees it: one candidate per name and architecture, and the names that each provides.
//!
//! Everything borrows from the parsed indexes. Relations are parsed only for packages that somebody asks about, because a
//! bootstrap touches some hundreds of 60 000 packages.

pub(crate) use crate::candidate::Rank;
use crate::candidate::{Candidate, Choice, Found, best};
use crate::fnv::fnv1a_64;
use crate::index::Index;
use crate::mention::Mentions;
use crate::policy::Policy;
use rootstrap_debian::packages::{Head, Package};
use rootstrap_debian::relation::{Relation, parse_relation};
use std::cell::OnceCell;
use std::cmp::Reverse;

/// The position of a candidate in its [`Archive`]. Ids sort as names do.
pub(crate) type Id = usize;

/// Who a relation belongs to. That decides what a relation without an architecture means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A package of that architecture depends on it.
    Needs(Rank),
    /// A package conflicts with it, whatever its architecture (dpkg, lib/dpkg/depcon.c).
    Conflicts,
}

impl Asker {
    /// Whether a package of that architecture is of another architecture than the asker.
    fn is_other(self, rank: Rank) -> bool {
        matches!(self, Self::Needs(own) if own != rank)
    }
}

/// All candidates, sorted by name, and the names that they provide. The lists are sorted instead of hash maps: they are as
/// fast for some thousand look-ups, and the order of stanzas does not show in them.
pub(crate) struct Archive<'a> {
    /// The names of the architectures, by rank.
    architectures: Vec<&'a str>,
    indexes: &'a [Index<'a>],
    candidates: Vec<Candidate<'a>>,
    /// Read on first use, by id.
    packages: Vec<OnceCell<Box<Package<'a>>>>,
    /// The hashes of provided names, with who provides them. Comparing 100 000 strings all over a 50 MB index would cost
    /// more than all the rest.
    provided: Vec<(u64, Id)>,
    /// Read only where nothing else decides, which most base systems never need.
    mentions: OnceCell<Mentions>,
}

impl<'a> Archive<'a> {
    /// Takes the candidate of every name from all indexes, for each of the `architectures`, of which the first is the native one. Of equal
    /// versions it takes that of the first index, as apt does with equal pins.
    pub fn new(indexes: &'a [Index<'a>], architectures: Vec<&'a str>, policy: &Policy<'_>) -> Self {
        let rank = |index: &Index<'_>, package: &Head<'_>| {
            let known = rank_in(&architectures, index, package.architecture);
            known.filter(|_| policy.admits(index, package.name, package.version))
        };
        let mut found: Vec<Found<'a>> = Vec::new();
        for (number, index) in indexes.iter().enumerate() {
            found.extend((0..index.packages.len()).filter_map(|position| {
                let head = index.packages.head(position);
                let rank = rank(index, &head)?;
                let candidate = Candidate { name: head.name, index, position, rank, choice: Choice::Only };
                Some((prefix(head.name), number, candidate))
            }));
        }
        // The last keys decide only where an index contradicts itself. With them, even that is independent of the order of
        // stanzas.
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
        let of_indexes: Vec<i16> = indexes.iter().map(|index| policy.of_index(index)).collect();
        let same = |(p, _, a): &Found<'_>, (q, _, b): &Found<'_>| p == q && a.name == b.name && a.rank == b.rank;
        let candidates: Vec<Candidate<'a>> =
            found.chunk_by(same).filter_map(|entries| best(entries, policy, &of_indexes)).collect();
        let mut provided: Vec<(u64, Id)> = (candidates.iter().enumerate())
            .flat_map(|(id, candidate)| provided_names(candidate.head().provides).map(move |name| (fnv1a_64(name), id)))
            .collect();
        provided.sort_unstable();
        provided.dedup();
        let packages = candidates.iter().map(|_| OnceCell::new()).collect();
        Self { architectures, indexes, candidates, packages, provided, mentions: OnceCell::new() }
    }

    /// Returns the candidates of that name, the native one first.
    pub fn ids(&self, name: &str) -> std::ops::Range<Id> {
        let start = self.candidates.partition_point(|candidate| candidate.name < name);
        let same = self.candidates.get(start..).unwrap_or_default();
        start..start + same.iter().take_while(|candidate| candidate.name == name).count()
    }

    /// Returns the candidate of that name; the native one if there are several.
    pub fn id(&self, name: &str) -> Option<Id> {
        self.ids(name).next()
    }

    /// Returns the candidate of that name and architecture.
    pub fn id_of(&self, name: &str, rank: Rank) -> Option<Id> {
        self.ids(name).find(|&id| self.rank(id) == rank)
    }

    /// Returns the architecture that a candidate is for.
    pub fn rank(&self, id: Id) -> Rank {
        self.candidates[id].rank
    }

    /// Returns the rank of an architecture, if the root has it.
    pub fn rank_of(&self, architecture: &str) -> Option<Rank> {
        self.architectures.iter().position(|known| *known == architecture)
    }

    /// Returns the rank of a package of that architecture in an index; `None` if it does not count there.
    pub fn rank_in(&self, index: &Index<'_>, architecture: &str) -> Option<Rank> {
        rank_in(&self.architectures, index, architecture)
    }

    /// Returns the indexes that it is made of.
    pub fn indexes(&self) -> &'a [Index<'a>] {
        self.indexes
    }

    /// Returns a candidate's name for messages: with its architecture, if that is not the native one.
    pub fn display_name(&self, id: Id) -> String {
        let package = self.package(id);
        match self.rank(id) {
            0 => package.name.to_owned(),
            _ => format!("{}:{}", package.name, package.architecture),
        }
    }

    /// Returns the candidates that provide `name` in any version.
    fn providers(&self, name: &str) -> impl Iterator<Item = Id> {
        let hash = fnv1a_64(name);
        let start = self.provided.partition_point(|&(provided, _)| provided < hash);
        let same = self.provided.get(start..).unwrap_or_default().iter().take_while(move |entry| entry.0 == hash);
        same.map(|&(_, id)| id).filter(move |&id| provided_names(self.head(id).provides).any(|other| other == name))
    }

    /// Returns the index entry of a candidate. `id` must come from this archive.
    pub fn package(&self, id: Id) -> &Package<'a> {
        self.packages[id].get_or_init(|| Box::new(self.candidates[id].package()))
    }

    /// Returns the first fields of a candidate's index entry, which cost less than all fields. `id` must come from this
    /// archive.
    pub fn head(&self, id: Id) -> Head<'a> {
        self.candidates[id].head()
    }

    /// Returns the index that a candidate comes from. `id` must come from this archive.
    pub fn index(&self, id: Id) -> &'a Index<'a> {
        self.candidates[id].index
    }

    /// Returns why this version is the candidate. `id` must come from this archive.
    pub fn choice(&self, id: Id) -> Choice {
        self.candidates[id].choice
    }

    /// Returns a candidate's name. `id` must come from this archive.
    pub fn name(&self, id: Id) -> &'a str {
        self.candidates[id].name
    }

    /// Returns the number of candidates; ids count from zero.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Returns every candidate's name, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.candidates.iter().map(|candidate| candidate.name)
    }

    /// Returns the names of the packages that provide `name` in any version, sorted.
    pub fn provider_names(&self, name: &str) -> Vec<String> {
        self.providers(name).map(|id| self.name(id).to_owned()).collect()
    }

    /// Returns the candidates that meet `relation` for `asker`: packages of that name, those of the asker's architecture
    /// first, then providers in the order of their weights and names.
    pub fn matching(&self, relation: &Relation<'_>, asker: Asker) -> Vec<Id> {
        let admits = |&id: &Id| self.is_meant(relation, asker, id);
        let mut real: Vec<Id> =
            self.ids(relation.name).filter(|&id| relation.admits(self.package(id).version())).filter(admits).collect();
        real.sort_by_key(|&id| asker.is_other(self.rank(id)));
        let mut found: Vec<Id> = (self.providers(relation.name))
            .filter(|id| !real.contains(id) && provides(self.package(*id), relation))
            .filter(admits)
            .collect();
        // A stable sort, so that providers of equal weight stay in the order of their names.
        found.sort_by_key(|&id| self.weight(id));
        found.splice(0..0, real);
        found
    }

    /// Whether `relation` can mean a candidate of that architecture (dpkg, lib/dpkg/depcon.c; apt treats `all` as native).
    fn is_meant(&self, relation: &Relation<'_>, asker: Asker, id: Id) -> bool {
        let rank = self.rank(id);
        let multi_arch = self.package(id).multi_arch;
        match (relation.qualifier, asker) {
            (None, Asker::Conflicts) => true,
            (None, Asker::Needs(own)) => rank == own || multi_arch.eq_ignore_ascii_case("foreign"),
            (Some("any"), Asker::Needs(own)) => rank == own || multi_arch.eq_ignore_ascii_case("allowed"),
            (Some("any"), Asker::Conflicts) => true,
            (Some("native"), _) => rank == 0,
            (Some(architecture), _) => self.rank_of(architecture) == Some(rank),
        }
    }

    /// Returns the candidates that meet `relation` in apt's order of preference (CompareProviders in apt-pkg/depcache.cc):
    /// `protected` ones, then the package of that name, essential packages before others, higher priority before lower.
    /// Candidates that are equal in all of that are together in one list; [`Archive::sort_by_mention`] sorts such a list.
    /// This costs more than [`Archive::matching`], so call it only where there is a choice.
    pub fn preferred(&self, relation: &Relation<'_>, asker: Asker, protected: impl Fn(Id) -> bool) -> Vec<Vec<Id>> {
        let mut found = self.matching(relation, asker);
        let key = |id: Id| {
            let is_other = asker.is_other(self.rank(id));
            (!protected(id), self.name(id) != relation.name, is_other, self.weight(id))
        };
        found.sort_by_key(|&id| key(id));
        found.chunk_by(|&a, &b| key(a) == key(b)).map(<[Id]>::to_vec).collect()
    }

    /// Sorts candidates that are equal to apt as apt would try them: the one that the archive mentions last comes first.
    /// This reads all relations of the archive, so call it only where one of them is really chosen.
    pub fn sort_by_mention(&self, equal: &mut [Id]) {
        if equal.len() > 1 {
            equal.sort_by_key(|&id| Reverse(self.place(id)));
        }
    }

    /// Sorts candidates in the order in which apt meets their names. This reads all relations of the archive.
    pub fn sort_as_met(&self, ids: &mut [Id]) {
        let names = ids.iter().map(|&id| fnv1a_64(self.name(id)));
        let mentions = Mentions::new(self.indexes, self.architectures[0], names);
        ids.sort_by_key(|&id| mentions.place(self.name(id)));
    }

    /// Returns a key that sorts providers: essential packages first, then by priority.
    fn weight(&self, id: Id) -> (bool, u8) {
        (!self.package(id).is_essential(), priority_rank(self.package(id).priority))
    }

    /// Returns where the archive first mentions a package that provides a name together with others.
    fn place(&self, id: Id) -> u32 {
        let mentions = self.mentions.get_or_init(|| {
            let shared = self.provided.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1).flatten();
            Mentions::new(self.indexes, self.architectures[0], shared.map(|&(_, id)| fnv1a_64(self.name(id))))
        });
        mentions.place(self.name(id))
    }

    /// Whether the relations of the whole archive were read, to decide between equal providers.
    #[cfg(test)]
    pub fn has_read_mentions(&self) -> bool {
        self.mentions.get().is_some()
    }
}

/// Returns the rank of a package of that architecture in an index; `None` if it does not count there.
fn rank_in(architectures: &[&str], index: &Index<'_>, architecture: &str) -> Option<Rank> {
    match architecture {
        "all" => Some(0),
        own if own == index.architecture => architectures.iter().position(|known| *known == own),
        // apt does not take a package from an index that is for another architecture.
        _ => None,
    }
}

/// Returns the first 16 bytes, which sort as the text does. Most comparisons then need not read the text.
fn prefix(name: &str) -> u128 {
    let mut bytes = [0; 16];
    for (byte, of_name) in bytes.iter_mut().zip(name.bytes()) {
        *byte = of_name;
    }
    u128::from_be_bytes(bytes)
}

/// Returns apt's rank of a priority; an unknown one counts as the last (apt-pkg/deb/deblistparser.cc).
fn priority_rank(priority: &str) -> u8 {
    match priority {
        "required" => 1,
        "important" => 2,
        "standard" => 3,
        "optional" => 4,
        _ => 5,
    }
}

/// Returns the names in a `Provides` field, unchecked. The field of a chosen package is checked later.
fn provided_names(field: &str) -> impl Iterator<Item = &str> {
    field.split(',').filter_map(|entry| {
        let entry = entry.trim_ascii();
        let end = entry.bytes().position(|b| !(b.is_ascii_alphanumeric() || b"+-._".contains(&b)));
        entry.get(..end.unwrap_or(entry.len())).filter(|name| !name.is_empty())
    })
}

/// Whether `package` provides what `relation` asks for. Only a versioned Provides meets a versioned relation (policy §7.5).
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
