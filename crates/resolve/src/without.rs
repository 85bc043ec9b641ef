//! What a tree without scripts does without: the dependencies that count as met in the variant `distroless`.
//!
//! Two sentences are the whole rule. What every whole system has (`Essential: yes`) and what only serves to install and
//! to set up others ([`TOOLS`]) stays out unless it is included by name, and a dependency that one of these would meet
//! counts as met. The packages of data that come along ([`DATA`]) need nothing: only their scripts do.
//!
//! One exception, for interpreters of which a part is essential: a package gets what it needs of its own source (perl is
//! nothing without perl-base).

use crate::index::{Archive, Asker, Id};
use crate::select::parse_include;
use crate::{Error, Request};
use rootstrap_debian::relation::Relation;
use std::collections::BTreeSet;

/// What runs of itself nearly always want: who the system is, names of services, whom to trust, what time it is.
pub(crate) const DATA: [&str; 4] = ["base-files", "ca-certificates", "netbase", "tzdata"];

/// Real and virtual packages that only serve to install and to set up others, or to boot, without being essential in
/// every suite.
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

/// The rule as it is for one request.
pub(crate) struct Without<'r> {
    /// What the user wants by name.
    included: BTreeSet<&'r str>,
}

impl<'r> Without<'r> {
    /// # Errors
    /// [`Error::BadSelection`] for an include that is none.
    pub fn of(request: &'r Request) -> Result<Self, Error> {
        let names = request.include.iter().map(|text| parse_include(text, request).map(|include| include.name));
        Ok(Self { included: names.collect::<Result<_, _>>()? })
    }

    /// Whether the dependency of `id` on one of `alternatives` counts as met.
    pub fn covers(&self, archive: &Archive<'_>, id: Id, alternatives: &[Relation<'_>]) -> bool {
        DATA.contains(&archive.name(id))
            || alternatives.iter().any(|relation| {
                // By its name in whatever version, or by what it provides.
                self.is_out(archive, id, relation.name, archive.id(relation.name))
                    || (archive.matching(relation, Asker::Needs(archive.rank(id))).into_iter())
                        .any(|option| self.is_out(archive, id, archive.name(option), Some(option)))
            })
    }

    fn is_out(&self, archive: &Archive<'_>, asker: Id, name: &str, option: Option<Id>) -> bool {
        let is_kin = |option| source(archive, option) == source(archive, asker);
        let is_essential = option.is_some_and(|option| archive.package(option).is_essential() && !is_kin(option));
        (is_essential || TOOLS.contains(&name)) && !self.included.contains(name)
    }
}

/// The source package, without the version that the field may have.
fn source<'a>(archive: &Archive<'a>, id: Id) -> &'a str {
    let package = archive.package(id);
    package.source.split_ascii_whitespace().next().unwrap_or(package.name)
}
