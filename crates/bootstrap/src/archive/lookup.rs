//! What the indexes of an open archive say of packages, apart from plans.

use crate::archive::open::Archive;
use rootstrap_debian::packages::Package;
use rootstrap_debian::version::Version;
use rootstrap_fetch::VerifiedPocket;
use rootstrap_suites::Pocket;
use std::collections::HashMap;

impl Archive {
    /// Returns the packages of all pockets whose names are wanted, each with the number of its pocket.
    pub fn packages(&self, is_wanted: &dyn Fn(&str) -> bool) -> Vec<(usize, Package<'_>)> {
        let mut found = Vec::new();
        for (number, pocket) in self.pockets.iter().enumerate() {
            for packages in pocket.indexes().iter().map(rootstrap_fetch::Index::packages) {
                let positions = (0..packages.len()).filter(|position| is_wanted(packages.head(*position).name));
                found.extend(positions.map(|position| (number, packages.package(position))));
            }
        }
        found
    }

    /// Returns the newest versions of all packages in the security pocket, by name and architecture.
    pub fn security_fixes(&self) -> HashMap<(&str, &str), Version<'_>> {
        let mut fixes: HashMap<(&str, &str), Version<'_>> = HashMap::new();
        let pockets = self.pockets.iter().filter(|pocket| pocket.name() == Pocket::Security.name());
        for packages in pockets.flat_map(VerifiedPocket::indexes).map(rootstrap_fetch::Index::packages) {
            for head in (0..packages.len()).map(|position| packages.head(position)) {
                let version = Version::new(head.version);
                let known = fixes.entry((head.name, head.architecture)).or_insert(version);
                *known = version.max(*known);
            }
        }
        fixes
    }

    /// Frees the memory of all indexes. No package can be found any more.
    pub fn forget_indexes(&mut self) {
        self.pockets.clear();
    }
}
