//! The dependencies that count as met in the variant `distroless`, because its tree runs no scripts.
//!
//! The whole rule: essential packages (`Essential: yes`) and packages that only serve to install and set up others
//! ([`TOOLS`]) are not installed unless they are included by name, and a dependency that one of them would meet counts as
//! met. The packages of data that are installed in every such tree ([`DATA`]) have no dependencies, because only their
//! scripts need other packages.
//!
//! There is one exception, for interpreters of which a part is essential: a package gets the essential packages that it
//! needs of its own source (perl does not work without perl-base).

use crate::archive::{Archive, Asker, Id};
use crate::error::Error;
use crate::include::parse_include;
use crate::request::Request;
use rootstrap_debian::relation::Relation;
use std::collections::BTreeSet;

/// The packages of data that nearly every program wants: the system's identity, the certificates to trust, the names of
/// services, and the time zones.
pub(crate) const DATA: [&str; 4] = ["base-files", "ca-certificates", "netbase", "tzdata"];

/// Real and virtual packages that only serve to install and set up others, or to boot, and are not essential in every
/// suite.
const TOOLS: [&str; 23] = [
    "adduser",
    "apt",
    "awk",
    "ca-certificates-java",
    "cdebconf",
    "debconf",
    "debconf-2.0",
    "dpkg",
    "init-system-helpers",
    "install-info",
    "java-common",
    "login",
    "lsb-base",
    "mawk",
    "passwd",
    "sensible-utils",
    "systemd",
    "systemd-standalone-sysusers",
    "systemd-standalone-tmpfiles",
    "systemd-sysusers",
    "systemd-tmpfiles",
    "ucf",
    "update-inetd",
];

/// The rule, applied to one request.
pub(crate) struct Without<'r> {
    /// The names of the included packages.
    included: BTreeSet<&'r str>,
}

impl<'r> Without<'r> {
    /// Returns the rule for a request.
    ///
    /// # Errors
    /// [`Error::BadSelection`] for an include that is no package name.
    pub fn of(request: &'r Request) -> Result<Self, Error> {
        let includes = request.include.iter().map(|text| parse_include(text, request));
        let includes = includes.collect::<Result<Vec<_>, _>>()?;
        let wanted = includes.iter().filter(|include| !include.is_excluded).map(|include| include.name);
        Ok(Self { included: wanted.collect() })
    }

    /// Whether the dependency of `id` on one of `alternatives` counts as met.
    pub fn covers(&self, archive: &Archive<'_>, id: Id, alternatives: &[Relation<'_>]) -> bool {
        DATA.contains(&archive.name(id))
            || alternatives.iter().any(|relation| {
                // A package counts by its name in any version, and by what it provides.
                self.is_left_out(archive, id, relation.name, archive.id(relation.name))
                    || (archive.matching(relation, Asker::Needs(archive.rank(id))).into_iter())
                        .any(|option| self.is_left_out(archive, id, archive.name(option), Some(option)))
            })
    }

    fn is_left_out(&self, archive: &Archive<'_>, asker: Id, name: &str, option: Option<Id>) -> bool {
        let is_kin = |option| source(archive, option) == source(archive, asker);
        let is_essential = option.is_some_and(|option| archive.package(option).is_essential() && !is_kin(option));
        (is_essential || TOOLS.contains(&name)) && !self.included.contains(name)
    }
}

/// Returns the name of a candidate's source package, without the version that the field may have.
fn source<'a>(archive: &Archive<'a>, id: Id) -> &'a str {
    let package = archive.package(id);
    package.source.split_ascii_whitespace().next().unwrap_or(package.name)
}
