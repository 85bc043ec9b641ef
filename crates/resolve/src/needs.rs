//! What packages need and conflict with, with every relation matched against the archive.

use crate::archive::{Archive, Asker, Id};
use crate::error::Error;
use crate::without::Without;
use rootstrap_debian::relation::{Relation, parse_field};
use std::cell::OnceCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// The fields that name packages to install.
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

/// A group of alternatives, of which any one is enough.
pub(crate) struct Group<'a> {
    pub kind: Kind,
    pub relations: Vec<Relation<'a>>,
    /// The candidates that meet it, those of the first alternative first. `walk` knows apt's order among providers.
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

/// An entry of `Conflicts` or `Breaks`, and the candidates that it rules out. The package itself is never among them: a
/// package that provides a name and conflicts with it is to be its only provider (policy §7.6.2).
pub(crate) struct Conflict<'a> {
    pub verb: &'static str,
    pub relation: Relation<'a>,
    pub candidates: Vec<Id>,
}

/// Everything that one candidate says about others, in the order in which apt reads it.
pub(crate) struct Needs<'a> {
    pub groups: Vec<Group<'a>>,
    pub conflicts: Vec<Conflict<'a>>,
    /// The first name of each dependency that is not among the groups because it [counts as met](crate::without).
    pub without: Vec<&'a str>,
}

impl<'a> Needs<'a> {
    /// Returns the groups that have to be met, and with `recommends` also those that should be.
    pub fn wanted(&self, recommends: bool) -> impl Iterator<Item = &Group<'a>> {
        self.groups.iter().filter(move |group| recommends || group.kind != Kind::Recommends)
    }

    /// Returns every candidate that this one rules out.
    pub fn ruled_out(&self) -> impl Iterator<Item = Id> {
        self.conflicts.iter().flat_map(|conflict| conflict.candidates.iter().copied())
    }
}

/// The graph of dependencies: the archive, and what each candidate needs.
pub(crate) struct Graph<'a> {
    pub archive: Archive<'a>,
    /// Which dependencies count as met, in a variant that does without some packages.
    without: Option<Without<'a>>,
    /// Set from outside to stop.
    cancel: &'a AtomicBool,
    /// Parsed on first use, by id.
    needs: Vec<OnceCell<Box<Needs<'a>>>>,
}

impl<'a> Graph<'a> {
    /// Returns the graph over an archive, without the dependencies that `without` covers.
    pub fn new(archive: Archive<'a>, without: Option<Without<'a>>, cancel: &'a AtomicBool) -> Self {
        let needs = (0..archive.len()).map(|_| OnceCell::new()).collect();
        Self { archive, without, cancel, needs }
    }

    /// Whether the caller asked to stop. An index can be made so that a search takes for ever.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// Returns what a candidate needs and conflicts with; parses it on first use. `id` must come from this archive.
    ///
    /// # Errors
    /// [`Error::Malformed`], which names the field, or [`Error::Cancelled`].
    pub fn needs(&self, id: Id) -> Result<&Needs<'a>, Error> {
        if self.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if let Some(known) = self.needs[id].get() {
            return Ok(known);
        }
        let parsed = parse(&self.archive, self.without.as_ref(), id)?;
        Ok(self.needs[id].get_or_init(|| Box::new(parsed)))
    }
}

/// Parses and matches the relation fields of `id`.
///
/// # Errors
/// [`Error::Malformed`] for the first field that is not a list of relations, `Provides` included.
fn parse<'a>(archive: &Archive<'a>, without: Option<&Without<'_>>, id: Id) -> Result<Needs<'a>, Error> {
    let package = archive.package(id);
    let relations =
        |field: &'static str, text: &'a str| parse_field(text).map_err(|error| Error::malformed(package, field, error));
    relations("Provides", package.provides)?;
    let mut needs = Needs { groups: Vec::new(), conflicts: Vec::new(), without: Vec::new() };
    for (kind, field, text) in [
        (Kind::PreDepends, "Pre-Depends", package.pre_depends),
        (Kind::Depends, "Depends", package.depends),
        (Kind::Recommends, "Recommends", package.recommends),
    ] {
        for alternatives in relations(field, text)? {
            if without.is_some_and(|without| without.covers(archive, id, &alternatives)) {
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
            let mut candidates = archive.matching(&relation, Asker::Conflicts);
            // The same package of another architecture is no hit either; its rules follow below.
            candidates.retain(|&other| archive.name(other) != package.name);
            needs.conflicts.push(Conflict { verb, relation, candidates });
        }
    }
    let shares = |other: Id| {
        let both = [package, archive.package(other)];
        both.iter().all(|side| side.multi_arch.eq_ignore_ascii_case("same")) && package.version == both[1].version
    };
    // A package can be installed for several architectures only if it is `Multi-Arch: same`, and only in one version (apt:
    // implicit Breaks).
    for other in archive.ids(package.name).filter(|&other| other != id && !shares(other)) {
        let qualifier = Some(archive.package(other).architecture);
        let relation = Relation { name: package.name, qualifier, version: None };
        needs.conflicts.push(Conflict { verb: "cannot be installed beside", relation, candidates: vec![other] });
    }
    Ok(needs)
}
