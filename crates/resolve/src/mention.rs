//! Where an archive first mentions a name. apt decides by that between two providers where nothing else does.
//!
//! apt numbers packages in the order in which it meets their names, in a stanza's `Package` field or in a relation
//! (pkgCacheGenerator, apt-pkg/pkgcachegen.cc). Of two providers that are equal otherwise, it takes the one that it met
//! last (CompareProviders, apt-pkg/depcache.cc). So the order of stanzas counts here, and nowhere else. Every archive has
//! its own order: some sort an index by package, some by source.

use crate::fnv::fnv1a_64;
use crate::index::Index;
use rootstrap_debian::packages::Package;

/// The size of the table that [`Mentions::new`] looks into before it searches, because nearly all names that it meets are
/// of no interest.
const FILTER: u64 = 1 << 20;

/// The hashes of some names, each with its place in the order of first mentions. Two names with the same hash would share a
/// place, which could only break a tie the other way.
pub(crate) struct Mentions(Vec<(u64, u32)>);

impl Mentions {
    /// Searches all stanzas for `architecture` and all their relations for the names with these hashes.
    pub fn new(indexes: &[Index<'_>], architecture: &str, names: impl Iterator<Item = u64>) -> Self {
        let mut places: Vec<(u64, u32)> = names.map(|name| (name, u32::MAX)).collect();
        places.sort_unstable();
        places.dedup();
        let mut filter = vec![false; FILTER as usize];
        for &(name, _) in &places {
            filter[(name % FILTER) as usize] = true;
        }
        let mut count = 0;
        let mut met = |name: &str| {
            let name = fnv1a_64(name);
            if filter[(name % FILTER) as usize]
                && let Ok(found) = places.binary_search_by_key(&name, |entry| entry.0)
                && places[found].1 == u32::MAX
            {
                places[found].1 = count;
                count += 1;
            }
        };
        for index in indexes {
            let is_usable =
                |package: &Package<'_>| package.architecture == "all" || package.architecture == architecture;
            for package in index.packages.packages().filter(is_usable) {
                met(package.name);
                for field in fields(&package) {
                    field.split([',', '|']).filter_map(|entry| name(entry, architecture)).for_each(&mut met);
                }
            }
        }
        Self(places)
    }

    /// Returns the place of a name. Names that were not searched for, or not met, come last.
    pub fn place(&self, name: &str) -> u32 {
        let found = self.0.binary_search_by_key(&fnv1a_64(name), |entry| entry.0);
        found.ok().and_then(|at| self.0.get(at)).map_or(u32::MAX, |entry| entry.1)
    }
}

/// Returns the fields that mention names, in the order in which apt reads them.
fn fields<'a>(package: &Package<'a>) -> [&'a str; 9] {
    [
        package.pre_depends,
        package.depends,
        package.conflicts,
        package.breaks,
        package.recommends,
        package.suggests,
        package.replaces,
        package.enhances,
        package.provides,
    ]
}

/// Returns the name in an entry of a relation. `name:any` is another name to apt, so it gives none.
fn name<'a>(entry: &'a str, architecture: &str) -> Option<&'a str> {
    let entry = entry.trim_ascii_start();
    let end = entry.bytes().position(|b| b.is_ascii_whitespace() || b"([<".contains(&b)).unwrap_or(entry.len());
    let name = entry.get(..end)?;
    match name.split_once(':') {
        None => Some(name),
        Some((name, qualifier)) => (qualifier == architecture).then_some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rootstrap_debian::packages::Table;

    #[test]
    fn names_come_in_the_order_of_their_first_mention() {
        let text =
            "Package: b\nArchitecture: all\nDepends: x | late(>= 1), any:any, xx-y, v (>= over)\nSuggests: soft\n
Package: late\nArchitecture: all\nSuggests: arch:amd64\n
Package: a\nArchitecture: arm64\nDepends: over\n
Package: any\nArchitecture: amd64\n
Package: over\nArchitecture: amd64\nConflicts: y\nProvides: virtual\n";
        let second = "Package: a\nArchitecture: all\nDepends: soft, second\n";
        let tables = [Table::parse(text), Table::parse(second)];
        let index = |pocket| Index::plain(pocket, "amd64", &tables[pocket]);
        let names = ["second", "virtual", "over", "arch", "any", "soft", "late", "b", "nowhere"];
        let indexes = [index(0), index(1)];
        let mentions = Mentions::new(&indexes, "amd64", names.iter().map(|name| fnv1a_64(name)));
        let mut sorted = names;
        sorted.sort_by_key(|name| mentions.place(name));
        assert_eq!(sorted.join(" "), "b late soft arch any over virtual second nowhere");
        for unknown in ["nowhere", "not-asked-for"] {
            assert_eq!(mentions.place(unknown), u32::MAX);
        }
    }
}
