//! The archive as one request sees it: one candidate per name, and who provides what.
//!
//! Everything borrows from the parsed indexes. Relations are parsed only for packages somebody asks about: a
//! bootstrap touches some hundreds of 60 000.

use crate::needs::Needs;
use crate::{Error, needs};
use rootstrap_debian::packages::Package;
use rootstrap_debian::relation::{Relation, parse_relation};
use rootstrap_debian::version::Version;
use std::cell::OnceCell;
use std::collections::BTreeMap;

/// One parsed `Packages` index and where it came from.
#[derive(Clone, Debug)]
pub struct Index<'a> {
    /// Which of the caller's pockets it belongs to; handed back in [`Planned`](crate::Planned).
    pub pocket: usize,
    /// The component, as in `main`.
    pub component: &'a str,
    /// Its stanzas.
    pub packages: Vec<Package<'a>>,
}

/// Position of a candidate in its [`Archive`]; ids sort as names do.
pub(crate) type Id = usize;

/// The version of a name that would be installed.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub package: &'a Package<'a>,
    pub index: &'a Index<'a>,
}

/// All candidates, sorted by name, and the names they provide. Sorted lists instead of hash maps: they are as fast for
/// some thousand questions, and no order of stanzas shows through them.
pub(crate) struct Archive<'a> {
    pub architecture: &'a str,
    candidates: Vec<Candidate<'a>>,
    /// Hashes of provided names: comparing 100 000 strings all over a 50 MB index would cost more than all the rest.
    provided: Vec<(u64, Id)>,
    needs: Vec<OnceCell<Box<Needs<'a>>>>,
}

impl<'a> Archive<'a> {
    /// Takes the newest version of every name over all indexes; of equal versions the first index's wins, as with
    /// apt's equal pins. `pins` holds names to a version.
    pub fn new(indexes: &'a [Index<'a>], architecture: &'a str, pins: &BTreeMap<&str, &str>) -> Self {
        let usable = |package: &Package<'_>| {
            (package.architecture == "all" || package.architecture == architecture)
                && pins.get(package.name).is_none_or(|pin| Version::new(pin) == package.version())
        };
        let mut found: Vec<(u128, usize, Candidate<'a>)> = Vec::new();
        for (number, index) in indexes.iter().enumerate() {
            let packages = index.packages.iter().filter(|package| usable(package));
            found.extend(packages.map(|package| (prefix(package.name), number, Candidate { package, index })));
        }
        // The last keys decide only where an index contradicts itself; they keep even that independent of order.
        found.sort_by(|(p, i, Candidate { package: a, .. }), (q, j, Candidate { package: b, .. })| {
            (p.cmp(q))
                .then_with(|| a.name.cmp(b.name))
                .then_with(|| b.version().cmp(&a.version()))
                .then_with(|| (i, a.version, a.filename, a.sha256).cmp(&(j, b.version, b.filename, b.sha256)))
        });
        found.dedup_by(|(p, _, a), (q, _, b)| p == q && a.package.name == b.package.name);
        let candidates: Vec<Candidate<'a>> = found.into_iter().map(|(_, _, candidate)| candidate).collect();
        let mut provided: Vec<(u64, Id)> = (candidates.iter().enumerate())
            .flat_map(|(id, candidate)| provided_names(candidate.package.provides).map(move |name| (hash(name), id)))
            .collect();
        provided.sort_unstable();
        provided.dedup();
        let needs = candidates.iter().map(|_| OnceCell::new()).collect();
        Self { architecture, candidates, provided, needs }
    }

    /// The candidate called `name`.
    pub fn id(&self, name: &str) -> Option<Id> {
        self.candidates.binary_search_by_key(&name, |candidate| candidate.package.name).ok()
    }

    /// Those that provide `name` in any version.
    fn providers(&self, name: &str) -> impl Iterator<Item = Id> {
        let hash = hash(name);
        let start = self.provided.partition_point(|&(provided, _)| provided < hash);
        let same = self.provided.get(start..).unwrap_or_default().iter().take_while(move |entry| entry.0 == hash);
        same.map(|&(_, id)| id).filter(move |&id| provided_names(self.package(id).provides).any(|other| other == name))
    }

    /// The stanza of a candidate. `id` comes from this archive.
    pub fn package(&self, id: Id) -> &'a Package<'a> {
        self.candidates[id].package
    }

    /// The candidate itself. `id` comes from this archive.
    pub fn candidate(&self, id: Id) -> Candidate<'a> {
        self.candidates[id]
    }

    /// Its name.
    pub fn name(&self, id: Id) -> &'a str {
        self.package(id).name
    }

    /// How many candidates there are; ids count from zero.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Every candidate's name, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.candidates.iter().map(|candidate| candidate.package.name)
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

    /// What meets `relation`, in apt's order of preference (CompareProviders in apt-pkg/depcache.cc): the package of
    /// that name, then providers, essential before others, higher priority before lower. apt breaks remaining ties by the
    /// order in which it met the names; here it is the name, which does not depend on the order of stanzas.
    pub fn matching(&self, relation: &Relation<'_>) -> Vec<Id> {
        if relation.qualifier.is_some_and(|q| q != "any" && q != "native" && q != self.architecture) {
            return Vec::new();
        }
        let real = self.id(relation.name).filter(|&id| relation.admits(self.package(id).version()));
        let mut found: Vec<Id> = (self.providers(relation.name))
            .filter(|&id| Some(id) != real && provides(self.package(id), relation))
            .collect();
        // Stable: those alike stay in the order of their names.
        found.sort_by_key(|&id| (!self.package(id).is_essential(), priority_rank(self.package(id).priority)));
        found.splice(0..0, real);
        found
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
fn hash(name: &str) -> u64 {
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
