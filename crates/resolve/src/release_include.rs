//! `package/release`: what such a package depends on comes from that release too, where nothing else meets the dependency (apt
//! `apt-pkg/depcache.cc:SetCandidateRelease`).

use crate::archive::{Archive, Asker};
use crate::error::Error;
use crate::group::is_group;
use crate::include::{available, parse_include};
use crate::index::Index;
use crate::policy::{OnlyVersion, is_of_release};
use crate::request::Request;
use rootstrap_debian::packages::Package;
use rootstrap_debian::preferences::ReleaseField;
use rootstrap_debian::relation::{Relation, parse_field};
use rootstrap_debian::version::Version;
use std::collections::BTreeMap;

/// Adds to `versions` those that the dependencies of includes with a release need. `archive` has the candidates without them. Returns
/// whether there are any.
///
/// # Errors
/// A relation of a package is malformed.
pub(crate) fn follow<'a>(
    archive: &Archive<'a>,
    indexes: &[Index<'a>],
    request: &'a Request,
    versions: &mut BTreeMap<&'a str, OnlyVersion<'a>>,
) -> Result<bool, Error> {
    let before = versions.len();
    for text in request.include.iter().filter(|text| !is_group(text)) {
        let include = parse_include(text, request)?;
        // Packages of further architectures depend on packages of their own.
        let (Some((_, release)), None) = (include.release, include.foreign) else { continue };
        let mut follower = Follower { archive, indexes, request, release: &release, versions: &mut *versions };
        let mut waiting: Vec<&'a str> = vec![include.name];
        while let Some(name) = waiting.pop() {
            follower.switch(name, &mut waiting)?;
        }
    }
    Ok(versions.len() > before)
}

struct Follower<'f, 'a> {
    archive: &'f Archive<'a>,
    indexes: &'f [Index<'a>],
    request: &'f Request,
    release: &'f [(ReleaseField, String)],
    versions: &'f mut BTreeMap<&'a str, OnlyVersion<'a>>,
}

impl<'a> Follower<'_, 'a> {
    /// Takes from the release what the version of a package needs, and adds the names of such packages to `waiting`.
    fn switch(&mut self, name: &'a str, waiting: &mut Vec<&'a str>) -> Result<(), Error> {
        let Some(package) = self.versions.get(name).and_then(|only| self.find(name, only)) else { return Ok(()) };
        let recommends = if self.request.recommends { package.recommends } else { "" };
        for (field, text) in
            [("Pre-Depends", package.pre_depends), ("Depends", package.depends), ("Recommends", recommends)]
        {
            let groups = parse_field(text).map_err(|error| Error::malformed(&package, field, error))?;
            for group in groups {
                if group.iter().any(|relation| self.is_met(relation, true)) {
                    continue;
                }
                for relation in &group {
                    let versions =
                        available(relation.name, &self.request.architecture, self.indexes, Some(self.release))?;
                    let newest = versions.last().filter(|version| relation.admits(Version::new(version)));
                    if let Some(version) = newest
                        && !self.versions.contains_key(relation.name)
                    {
                        let release = Some(self.release.to_vec());
                        self.versions.insert(relation.name, OnlyVersion { version, release, pocket: None });
                        waiting.push(relation.name);
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a candidate meets a relation; if `whole`, also whether candidates meet what that candidate depends on.
    fn is_met(&self, relation: &Relation<'_>, whole: bool) -> bool {
        if let Some(only) = self.versions.get(relation.name) {
            return relation.admits(Version::new(only.version));
        }
        let is_whole = |package: &Package<'_>| {
            let fields = [package.pre_depends, package.depends].map(|text| parse_field(text).unwrap_or_default());
            fields.iter().flatten().all(|group| group.iter().any(|relation| self.is_met(relation, false)))
        };
        let candidates = self.archive.matching(relation, Asker::Needs(0));
        candidates.into_iter().any(|id| !whole || is_whole(self.archive.package(id)))
    }

    fn find(&self, name: &str, only: &OnlyVersion<'_>) -> Option<Package<'a>> {
        let is_usable = |other: &str| other == "all" || other == self.request.architecture;
        let of_release = |index: &Index<'a>| {
            only.release.as_deref().is_none_or(|fields| is_of_release(fields, index).unwrap_or_default())
        };
        self.indexes.iter().filter(|index| of_release(index)).find_map(|index| {
            let position = (0..index.packages.len()).find(|&position| {
                let head = index.packages.head(position);
                head.name == name && head.version == only.version && is_usable(head.architecture)
            });
            position.map(|position| index.packages.package(position))
        })
    }
}
