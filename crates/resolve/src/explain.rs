//! Explains why there is no plan: follows from the selection the packages that are needed for certain, until one of them
//! cannot be installed.
//!
//! This is unit propagation over the packages that can be reached. It is separate from the solver, so that the steps come
//! in an order that a reader can follow, and in the same words every time.

use crate::archive::{Asker, Id};
use crate::needs::{Graph, Group, Kind};
use crate::select::{Selection, Why};
use crate::solve;
use rootstrap_debian::relation::Relation;
use std::collections::{BTreeMap, BTreeSet};

/// How deep the reasons are followed why an option cannot be installed.
const DEEPEST: usize = 4;

/// Why a candidate cannot be installed.
enum Impossible {
    Excluded,
    Unreadable,
    /// It conflicts with a needed package: the sentence that says so, and that package.
    Conflict(String, Id),
    /// Its dependency group of that number cannot be met.
    Unmet(usize),
}

struct Search<'s, 'a> {
    graph: &'s Graph<'a>,
    selection: &'s Selection,
    /// The packages that are needed for certain, in the order in which they were found.
    needed: Vec<Id>,
    /// Which package needs it, and by which of its groups; `None` for a selected package.
    needed_by: BTreeMap<Id, Option<(Id, usize)>>,
    impossible: BTreeMap<Id, Impossible>,
}

/// Returns the steps that show why `selection` cannot be installed, one line each. The solver has found before that it
/// cannot.
pub(crate) fn explain(graph: &Graph<'_>, selection: &Selection) -> Vec<String> {
    let mut roots: Vec<(Why, Id)> = selection.chosen.iter().map(|(&id, &why)| (why, id)).collect();
    roots.sort_unstable();
    let mut search = Search {
        graph,
        selection,
        needed: roots.iter().map(|&(_, id)| id).collect(),
        needed_by: roots.iter().map(|&(_, id)| (id, None)).collect(),
        impossible: selection.excluded.iter().map(|&id| (id, Impossible::Excluded)).collect(),
    };
    loop {
        if let Some(lines) = search.follow_needs() {
            return lines;
        }
        if !search.mark_impossible() {
            return search.smallest_contradiction();
        }
    }
}

impl Search<'_, '_> {
    /// Follows the groups that only one option is left for. Returns the contradiction if it finds one.
    fn follow_needs(&mut self) -> Option<Vec<String>> {
        let mut position = 0;
        while let Some(&id) = self.needed.get(position) {
            position += 1;
            if self.impossible.contains_key(&id) {
                return Some(self.both_needed(id));
            }
            let Ok(needs) = self.graph.needs(id) else {
                self.impossible.insert(id, Impossible::Unreadable);
                continue;
            };
            for conflict in &needs.conflicts {
                for &other in &conflict.candidates {
                    let text =
                        format!("{} {} {}", self.graph.archive.display_name(id), conflict.verb, conflict.relation);
                    self.impossible.entry(other).or_insert(Impossible::Conflict(text, id));
                    if self.needed_by.contains_key(&other) {
                        return Some(self.both_needed(other));
                    }
                }
            }
            for (number, group) in needs.groups.iter().enumerate().filter(|(_, g)| g.kind != Kind::Recommends) {
                let mut possible = group.options.iter().filter(|option| !self.impossible.contains_key(option));
                match (possible.next(), possible.next()) {
                    (None, _) => {
                        let mut lines = self.chain(id);
                        self.unmet(id, group, 0, &mut lines);
                        return Some(lines);
                    }
                    (Some(&only), None) if !self.needed_by.contains_key(&only) => {
                        self.needed_by.insert(only, Some((id, number)));
                        self.needed.push(only);
                    }
                    _ => {}
                }
            }
        }
        None
    }

    /// Marks the packages that cannot be installed beside the needed ones. Returns whether there were new ones.
    fn mark_impossible(&mut self) -> bool {
        let mut reached: BTreeSet<Id> = BTreeSet::new();
        let mut todo = self.needed.clone();
        let mut has_new = false;
        while let Some(id) = todo.pop() {
            if self.impossible.contains_key(&id) || !reached.insert(id) {
                continue;
            }
            let Some(reason) = self.why_impossible(id) else {
                if let Ok(needs) = self.graph.needs(id) {
                    todo.extend(needs.wanted(false).flat_map(|group| group.options.iter().copied()));
                }
                continue;
            };
            self.impossible.insert(id, reason);
            has_new = true;
        }
        has_new
    }

    /// Returns why a package cannot be installed beside the needed ones, if that is known by now.
    fn why_impossible(&self, id: Id) -> Option<Impossible> {
        let Ok(needs) = self.graph.needs(id) else { return Some(Impossible::Unreadable) };
        for conflict in &needs.conflicts {
            if let Some(&other) = conflict.candidates.iter().find(|other| self.needed_by.contains_key(other)) {
                return Some(Impossible::Conflict(
                    format!("{} {} {}", self.graph.archive.display_name(id), conflict.verb, conflict.relation),
                    other,
                ));
            }
        }
        let is_unmet = |group: &Group<'_>| {
            group.kind != Kind::Recommends && group.options.iter().all(|o| self.impossible.contains_key(o))
        };
        needs.groups.iter().position(is_unmet).map(Impossible::Unmet)
    }

    /// Returns the steps for a package that is needed and cannot be installed.
    fn both_needed(&self, id: Id) -> Vec<String> {
        let name = self.graph.archive.display_name(id);
        let mut lines = Vec::new();
        if let Some(Impossible::Conflict(text, other)) = self.impossible.get(&id) {
            lines.push(format!("{text}, and both are needed: {name} and {}", self.graph.archive.display_name(*other)));
            lines.extend(self.chain(id));
            self.add_reason(id, &mut lines);
            lines.extend(self.chain(*other));
            self.add_reason(*other, &mut lines);
        } else {
            lines.extend(self.chain(id));
            self.add_reason(id, &mut lines);
            self.add_impossible(id, 0, &mut lines);
        }
        lines
    }

    /// Adds why a selected package was selected. For other packages the chain has shown it.
    fn add_reason(&self, id: Id, lines: &mut Vec<String>) {
        if let Some(why) = self.selection.chosen.get(&id) {
            lines.push(format!("{} is {}", self.graph.archive.display_name(id), reason(*why)));
        }
    }

    /// Returns the steps from a selected package to the one that needs `id`; none if `id` is selected itself.
    fn chain(&self, id: Id) -> Vec<String> {
        let mut lines = Vec::new();
        let mut at = id;
        while let Some(&Some((parent, number))) = self.needed_by.get(&at) {
            if let Ok(needs) = self.graph.needs(parent)
                && let Some(group) = needs.groups.get(number)
            {
                lines.push(self.step(parent, group));
            }
            at = parent;
        }
        lines.reverse();
        lines
    }

    /// Returns a step such as "foo (included) depends on bar (>= 2)".
    fn step(&self, id: Id, group: &Group<'_>) -> String {
        let why = self.selection.chosen.get(&id).map_or_else(String::new, |why| format!(" ({})", reason(*why)));
        format!("{}{why} {} {group}", self.graph.archive.display_name(id), group.kind)
    }

    /// Adds the step for a group that cannot be met, and for each alternative why.
    fn unmet(&self, id: Id, group: &Group<'_>, depth: usize, lines: &mut Vec<String>) {
        lines.push(self.step(id, group));
        for relation in &group.relations {
            if let Some(line) = self.absent(id, relation) {
                lines.push(line);
            }
        }
        for &option in &group.options {
            self.add_impossible(option, depth, lines);
        }
    }

    /// Returns why no package of the archive meets a relation; `None` if one does.
    fn absent(&self, asker: Id, relation: &Relation<'_>) -> Option<String> {
        if !self.graph.archive.matching(relation, Asker::Needs(self.graph.archive.rank(asker))).is_empty() {
            return None;
        }
        let name = relation.name;
        let providers = self.graph.archive.provider_names(name);
        Some(match self.graph.archive.id(name) {
            Some(id) if relation.version.is_some() => {
                format!("{name} {} is what the archive offers", self.graph.archive.package(id).version)
            }
            Some(_) => format!("{relation} is of another architecture"),
            None if providers.is_empty() => format!("{name} is not in the archive"),
            None => format!("{name} is provided by {}, but not in that version", providers.join(", ")),
        })
    }

    /// Adds why `id` cannot be installed.
    fn add_impossible(&self, id: Id, depth: usize, lines: &mut Vec<String>) {
        let name = self.graph.archive.display_name(id);
        match self.impossible.get(&id) {
            Some(Impossible::Excluded) => lines.push(format!("{name} is excluded")),
            Some(Impossible::Unreadable) => lines.push(format!("the index entry of {name} cannot be read")),
            Some(Impossible::Conflict(text, other)) => {
                lines.push(format!("{text}, and {} is needed", self.graph.archive.display_name(*other)));
                if depth == 0 {
                    lines.extend(self.chain(*other));
                    self.add_reason(*other, lines);
                }
            }
            Some(Impossible::Unmet(number)) if depth < DEEPEST => {
                if let Ok(needs) = self.graph.needs(id)
                    && let Some(group) = needs.groups.get(*number)
                {
                    self.unmet(id, group, depth + 1, lines);
                }
            }
            Some(Impossible::Unmet(_)) => lines.push(format!("{name} cannot be installed either")),
            None => {}
        }
    }

    /// Returns the lines for a contradiction that no single chain shows: a smallest set of selected packages that cannot be
    /// installed together.
    fn smallest_contradiction(&self) -> Vec<String> {
        let mut together: Vec<Id> = self.selection.chosen.keys().copied().collect();
        for id in together.clone().into_iter().rev() {
            let without: Vec<Id> = together.iter().copied().filter(|&other| other != id).collect();
            if matches!(solve::solve(self.graph, &without, &self.selection.excluded, false), Ok(None)) {
                together = without;
            }
        }
        let mut lines = vec!["no choice among their alternatives satisfies all of these at once:".to_owned()];
        for id in together {
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
