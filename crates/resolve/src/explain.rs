//! Why there is no plan, in words: what is forced follows from what was asked for, until it meets what cannot be.
//!
//! This is unit propagation over the packages that can be reached, kept apart from the solver so that the chain comes
//! out in the order a reader follows and in the same words every time.

use crate::index::{Archive, Asker, Id};
use crate::needs::Group;
use crate::select::{Selection, Why};
use crate::solve;
use rootstrap_debian::relation::Relation;
use std::collections::{BTreeMap, BTreeSet};

/// How far an option's own troubles are followed.
const DEEPEST: usize = 4;

/// Why a candidate is out of the question.
enum Dead {
    Excluded,
    Unreadable,
    /// The sentence, and the needed package it clashes with.
    Clash(String, Id),
    /// Its own group of that number cannot be met.
    Hopeless(usize),
}

struct Search<'s, 'a> {
    archive: &'s Archive<'a>,
    selection: &'s Selection,
    /// Needed packages in the order they were found.
    forced: Vec<Id>,
    /// By whom, and by which of its groups; `None` for the selected.
    because: BTreeMap<Id, Option<(Id, usize)>>,
    dead: BTreeMap<Id, Dead>,
}

/// The steps that show that `selection` cannot be met, each a line. Only called when it cannot.
pub(crate) fn explain(archive: &Archive<'_>, selection: &Selection) -> Vec<String> {
    let mut roots: Vec<(Why, Id)> = selection.chosen.iter().map(|(&id, &why)| (why, id)).collect();
    roots.sort_unstable();
    let mut search = Search {
        archive,
        selection,
        forced: roots.iter().map(|&(_, id)| id).collect(),
        because: roots.iter().map(|&(_, id)| (id, None)).collect(),
        dead: selection.excluded.iter().map(|&id| (id, Dead::Excluded)).collect(),
    };
    loop {
        if let Some(lines) = search.force() {
            return lines;
        }
        if !search.bury() {
            return search.core();
        }
    }
}

impl Search<'_, '_> {
    /// Follows groups with one way left; the contradiction if there is one.
    fn force(&mut self) -> Option<Vec<String>> {
        let mut position = 0;
        while let Some(&id) = self.forced.get(position) {
            position += 1;
            if self.dead.contains_key(&id) {
                return Some(self.both_needed(id));
            }
            let Ok(needs) = self.archive.needs(id) else {
                self.dead.insert(id, Dead::Unreadable);
                continue;
            };
            for clash in &needs.clashes {
                for &hit in &clash.hits {
                    let text = format!("{} {} {}", self.archive.shown(id), clash.verb, clash.relation);
                    self.dead.entry(hit).or_insert(Dead::Clash(text, id));
                    if self.because.contains_key(&hit) {
                        return Some(self.both_needed(hit));
                    }
                }
            }
            for (number, group) in
                needs.groups.iter().enumerate().filter(|(_, g)| g.kind != crate::needs::Kind::Recommends)
            {
                let mut ways = group.options.iter().filter(|option| !self.dead.contains_key(option));
                match (ways.next(), ways.next()) {
                    (None, _) => {
                        let mut lines = self.chain(id);
                        self.unmet(id, group, 0, &mut lines);
                        return Some(lines);
                    }
                    (Some(&only), None) if !self.because.contains_key(&only) => {
                        self.because.insert(only, Some((id, number)));
                        self.forced.push(only);
                    }
                    _ => {}
                }
            }
        }
        None
    }

    /// Marks what the needed packages leave no room for. Whether that was news.
    fn bury(&mut self) -> bool {
        let mut reached: BTreeSet<Id> = BTreeSet::new();
        let mut todo = self.forced.clone();
        let mut news = false;
        while let Some(id) = todo.pop() {
            if self.dead.contains_key(&id) || !reached.insert(id) {
                continue;
            }
            let Some(reason) = self.cause_of_death(id) else {
                if let Ok(needs) = self.archive.needs(id) {
                    todo.extend(needs.wanted(false).flat_map(|group| group.options.iter().copied()));
                }
                continue;
            };
            self.dead.insert(id, reason);
            news = true;
        }
        news
    }

    fn cause_of_death(&self, id: Id) -> Option<Dead> {
        let Ok(needs) = self.archive.needs(id) else { return Some(Dead::Unreadable) };
        for clash in &needs.clashes {
            if let Some(&hit) = clash.hits.iter().find(|hit| self.because.contains_key(hit)) {
                return Some(Dead::Clash(format!("{} {} {}", self.archive.shown(id), clash.verb, clash.relation), hit));
            }
        }
        let hopeless = |group: &Group<'_>| {
            group.kind != crate::needs::Kind::Recommends && group.options.iter().all(|o| self.dead.contains_key(o))
        };
        needs.groups.iter().position(hopeless).map(Dead::Hopeless)
    }

    /// A package that is needed and cannot be.
    fn both_needed(&self, id: Id) -> Vec<String> {
        let name = self.archive.shown(id);
        let mut lines = Vec::new();
        if let Some(Dead::Clash(text, other)) = self.dead.get(&id) {
            lines.push(format!("{text}, and both are needed: {name} and {}", self.archive.shown(*other)));
            lines.extend(self.chain(id));
            self.add_reason(id, &mut lines);
            lines.extend(self.chain(*other));
            self.add_reason(*other, &mut lines);
        } else {
            lines.extend(self.chain(id));
            self.add_reason(id, &mut lines);
            self.fate(id, 0, &mut lines);
        }
        lines
    }

    /// Says of a selected package why it is there; of others the chain has said it.
    fn add_reason(&self, id: Id, lines: &mut Vec<String>) {
        if let Some(why) = self.selection.chosen.get(&id) {
            lines.push(format!("{} is {}", self.archive.shown(id), reason(*why)));
        }
    }

    /// The steps from a selected package to the one that needs `id`; none if `id` is selected itself.
    fn chain(&self, id: Id) -> Vec<String> {
        let mut lines = Vec::new();
        let mut at = id;
        while let Some(&Some((parent, number))) = self.because.get(&at) {
            if let Ok(needs) = self.archive.needs(parent)
                && let Some(group) = needs.groups.get(number)
            {
                lines.push(self.step(parent, group));
            }
            at = parent;
        }
        lines.reverse();
        lines
    }

    /// "foo (included) depends on bar (>= 2)".
    fn step(&self, id: Id, group: &Group<'_>) -> String {
        let why = self.selection.chosen.get(&id).map_or_else(String::new, |why| format!(" ({})", reason(*why)));
        format!("{}{why} {} {group}", self.archive.shown(id), group.kind)
    }

    /// A group nothing can meet: the step, and of each alternative what is the matter with it.
    fn unmet(&self, id: Id, group: &Group<'_>, depth: usize, lines: &mut Vec<String>) {
        lines.push(self.step(id, group));
        for relation in &group.relations {
            if let Some(line) = self.absent(id, relation) {
                lines.push(line);
            }
        }
        for &option in &group.options {
            self.fate(option, depth, lines);
        }
    }

    /// What a relation finds in the archive, if that is nothing.
    fn absent(&self, asker: Id, relation: &Relation<'_>) -> Option<String> {
        if !self.archive.matching(relation, Asker::Needs(self.archive.rank(asker))).is_empty() {
            return None;
        }
        let name = relation.name;
        let providers = self.archive.provider_names(name);
        Some(match self.archive.id(name) {
            Some(id) if relation.version.is_some() => {
                format!("{name} {} is the newest in the archive", self.archive.package(id).version)
            }
            Some(_) => format!("{relation} is of another architecture"),
            None if providers.is_empty() => format!("{name} is not in the archive"),
            None => format!("{name} is provided by {}, but in no such version", providers.join(", ")),
        })
    }

    /// Why `id` cannot be there.
    fn fate(&self, id: Id, depth: usize, lines: &mut Vec<String>) {
        let name = self.archive.shown(id);
        match self.dead.get(&id) {
            Some(Dead::Excluded) => lines.push(format!("{name} is excluded")),
            Some(Dead::Unreadable) => lines.push(format!("the index entry of {name} cannot be read")),
            Some(Dead::Clash(text, other)) => {
                lines.push(format!("{text}, and {} is needed", self.archive.shown(*other)));
                if depth == 0 {
                    lines.extend(self.chain(*other));
                    self.add_reason(*other, lines);
                }
            }
            Some(Dead::Hopeless(number)) if depth < DEEPEST => {
                if let Ok(needs) = self.archive.needs(id)
                    && let Some(group) = needs.groups.get(*number)
                {
                    self.unmet(id, group, depth + 1, lines);
                }
            }
            Some(Dead::Hopeless(_)) => lines.push(format!("{name} cannot be installed either")),
            None => {}
        }
    }

    /// No single chain shows it: the fewest selected packages that do not go together.
    fn core(&self) -> Vec<String> {
        let mut core: Vec<Id> = self.selection.chosen.keys().copied().collect();
        for id in core.clone().into_iter().rev() {
            let without: Vec<Id> = core.iter().copied().filter(|&other| other != id).collect();
            if matches!(solve::solve(self.archive, &without, &self.selection.excluded, false), Ok(None)) {
                core = without;
            }
        }
        let mut lines = vec!["no choice among their alternatives satisfies all of these at once:".to_owned()];
        for id in core {
            self.add_reason(id, &mut lines);
        }
        lines
    }
}

fn reason(why: Why) -> &'static str {
    match why {
        Why::Included => "included",
        Why::Essential => "essential",
        Why::Priority => "of a selected priority",
        Why::Variant => "part of the variant",
        Why::Suite => "added for the suite",
    }
}
