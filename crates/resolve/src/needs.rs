//! What one package demands and rejects, with every relation already matched against the archive.

use crate::Error;
use crate::index::{Archive, Asker, Id};
use rootstrap_debian::relation::{Relation, parse_field};
use std::fmt;

/// The fields that ask for other packages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    PreDepends,
    Depends,
    Recommends,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PreDepends => "pre-depends on",
            Self::Depends => "depends on",
            Self::Recommends => "recommends",
        })
    }
}

/// One group of alternatives: any one will do.
pub(crate) struct Group<'a> {
    pub kind: Kind,
    pub relations: Vec<Relation<'a>>,
    /// Candidates that meet it, those of the first alternative first; `walk` knows apt's order among providers.
    pub options: Vec<Id>,
}

impl fmt::Display for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, relation) in self.relations.iter().enumerate() {
            write!(f, "{}{relation}", if position == 0 { "" } else { " | " })?;
        }
        Ok(())
    }
}

/// One entry of `Conflicts` or `Breaks` and the candidates it rules out, the package itself never among them
/// (policy §7.6.2: this is how only one provider of a virtual package is allowed).
pub(crate) struct Clash<'a> {
    pub verb: &'static str,
    pub relation: Relation<'a>,
    pub hits: Vec<Id>,
}

/// Everything one candidate has to say about others, in the order apt reads it.
pub(crate) struct Needs<'a> {
    pub groups: Vec<Group<'a>>,
    pub clashes: Vec<Clash<'a>>,
    /// What each hard dependency begins with that is not among the groups, for it [counts as met](crate::without).
    pub without: Vec<&'a str>,
}

impl<'a> Needs<'a> {
    /// The groups that have to be met, or also those that should be.
    pub fn wanted(&self, recommends: bool) -> impl Iterator<Item = &Group<'a>> {
        self.groups.iter().filter(move |group| recommends || group.kind != Kind::Recommends)
    }

    /// Every candidate this one rules out.
    pub fn rejected(&self) -> impl Iterator<Item = Id> {
        self.clashes.iter().flat_map(|clash| clash.hits.iter().copied())
    }
}

/// Parses and matches the relation fields of `id`.
///
/// # Errors
/// [`Error::Malformed`] for the first field that is not a list of relations, `Provides` included.
pub(crate) fn parse<'a>(archive: &Archive<'a>, id: Id) -> Result<Needs<'a>, Error> {
    let package = archive.package(id);
    let relations =
        |field: &'static str, text: &'a str| parse_field(text).map_err(|error| Error::malformed(package, field, error));
    relations("Provides", package.provides)?;
    let mut needs = Needs { groups: Vec::new(), clashes: Vec::new(), without: Vec::new() };
    for (kind, field, text) in [
        (Kind::PreDepends, "Pre-Depends", package.pre_depends),
        (Kind::Depends, "Depends", package.depends),
        (Kind::Recommends, "Recommends", package.recommends),
    ] {
        for alternatives in relations(field, text)? {
            if archive.does_without(id, &alternatives) {
                let first = alternatives.first().filter(|_| kind != Kind::Recommends);
                needs.without.extend(first.map(|relation| relation.name));
                continue;
            }
            let mut options: Vec<Id> = Vec::new();
            for option in
                alternatives.iter().flat_map(|relation| archive.matching(relation, Asker::Needs(archive.rank(id))))
            {
                if !options.contains(&option) {
                    options.push(option);
                }
            }
            needs.groups.push(Group { kind, relations: alternatives, options });
        }
    }
    for (verb, field, text) in
        [("conflicts with", "Conflicts", package.conflicts), ("breaks", "Breaks", package.breaks)]
    {
        for relation in relations(field, text)?.into_iter().flatten() {
            let mut hits = archive.matching(&relation, Asker::Rejects);
            // Nor the same package of another architecture: what they may not be beside follows below.
            hits.retain(|&hit| archive.name(hit) != package.name);
            needs.clashes.push(Clash { verb, relation, hits });
        }
    }
    let shares = |other: Id| {
        let both = [package, archive.package(other)];
        both.iter().all(|side| side.multi_arch.eq_ignore_ascii_case("same")) && package.version == both[1].version
    };
    // One name for several architectures only if it is meant so, and in one version (apt: implicit Breaks).
    for other in archive.ids(package.name).filter(|&other| other != id && !shares(other)) {
        let qualifier = Some(archive.package(other).architecture);
        let relation = Relation { name: package.name, qualifier, version: None };
        needs.clashes.push(Clash { verb: "cannot be installed beside", relation, hits: vec![other] });
    }
    Ok(needs)
}
