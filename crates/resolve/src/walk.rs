//! Follows dependencies as apt does, so that a plan has the packages that apt would install.
//!
//! apt marks the packages it was asked for, then walks through the dependencies of each, depth first. If a marked package
//! meets a group, the group is done; otherwise the first option is marked and followed. apt never goes back beyond the
//! present group (apt-pkg/depcache.cc, MarkInstall and its parts, apt 2.6). Two rules matter when packages conflict.
//! First, a package is *protected* if it was asked for, or if it is the only way to meet a dependency of a protected
//! package; a protected package rules out for good what conflicts with it. Second, if an unprotected package fails, it is
//! discarded and the next option is tried.
//!
//! The result is a proposal. The caller checks it, and uses the solver if it is not valid.

use crate::archive::{Asker, Id};
use crate::error::Error;
use crate::needs::{Graph, Group, Kind};
use std::collections::BTreeSet;

/// The depth at which apt gives up. It bounds the stack, which is a vector here.
const DEEPEST: usize = 3000;

#[derive(Clone, Copy, Default)]
struct State {
    marked: bool,
    protected: bool,
    discarded: bool,
    /// Its dependencies are being walked. It counts as protected meanwhile.
    open: bool,
}

/// A package whose dependencies are being marked.
struct Frame {
    id: Id,
    /// Whether it was protected before the walk reached it.
    protected: bool,
    /// The number of the present group.
    group: usize,
    /// The options of the present group, the best first, and the number of the next one to try.
    options: Vec<Id>,
    option: usize,
    /// The options after those, in lists of packages that are equal to apt and not sorted yet.
    others: std::vec::IntoIter<Vec<Id>>,
    failed: bool,
    /// The package above it on the stack only passes protection on; the group is met even if that fails.
    propagating: bool,
}

struct Walk<'w, 'a> {
    graph: &'w Graph<'a>,
    recommends: bool,
    states: Vec<State>,
    stack: Vec<Frame>,
}

/// Marks `first` and its dependencies, then `then` and its dependencies, as mmdebstrap has apt do with the essential set
/// and the rest. Returns the marked packages. No `forbidden` package is marked.
///
/// # Errors
/// [`Error::Malformed`] for a package that is to be marked.
pub(crate) fn walk(
    graph: &Graph<'_>,
    first: &[Id],
    then: &[Id],
    forbidden: &BTreeSet<Id>,
    recommends: bool,
) -> Result<BTreeSet<Id>, Error> {
    let states = vec![State::default(); graph.archive.len()];
    let mut walk = Walk { graph, recommends, states, stack: Vec::new() };
    for &id in forbidden {
        walk.states[id].discarded = true;
    }
    for roots in [first, then] {
        for &id in roots {
            walk.states[id].marked = true;
            walk.states[id].protected = true;
        }
        for &id in roots {
            walk.run(id)?;
        }
    }
    let roots: Vec<Id> = first.iter().chain(then).copied().collect();
    walk.still_needed(&roots)
}

impl Walk<'_, '_> {
    fn run(&mut self, root: Id) -> Result<(), Error> {
        let mut returned = self.enter(root)?;
        while let Some(frame) = self.stack.last_mut() {
            let id = frame.id;
            match returned.take() {
                Some(_) if std::mem::take(&mut frame.propagating) => frame.group += 1,
                Some(true) => (frame.group, frame.option) = (frame.group + 1, 0),
                Some(false) => frame.option += 1,
                None => {}
            }
            let (number, option, protected) = (frame.group, frame.option, frame.protected);
            let Some(group) = self.graph.needs(id)?.wanted(self.recommends).nth(number) else {
                returned = Some(self.leave());
                continue;
            };
            returned = if group.options.iter().any(|&option| self.states[option].marked) {
                self.protect_only_way(group, protected)?
            } else {
                self.try_option(group, option, protected)?
            };
        }
        Ok(())
    }

    /// Begins to mark `id`. Returns whether it could be marked, or `None` if its dependencies have to be walked first.
    fn enter(&mut self, id: Id) -> Result<Option<bool>, Error> {
        let State { marked, protected, discarded, open } = self.states[id];
        if discarded || self.stack.len() > DEEPEST {
            return Ok(Some(false));
        }
        if open || (marked && !protected) {
            return Ok(Some(true));
        }
        let mut failed = false;
        for other in self.graph.needs(id)?.ruled_out() {
            let state = &mut self.states[other];
            if state.marked && (state.protected || state.open) {
                if !protected {
                    return Ok(Some(false));
                }
                failed = true;
            } else {
                state.marked = false;
                state.discarded |= protected;
            }
        }
        let state = &mut self.states[id];
        (state.marked, state.open) = (true, true);
        self.stack.push(Frame {
            id,
            protected,
            group: 0,
            options: Vec::new(),
            option: 0,
            others: Vec::new().into_iter(),
            failed,
            propagating: false,
        });
        Ok(None)
    }

    /// Takes the package off the top of the stack. Returns whether marking it succeeded.
    fn leave(&mut self) -> bool {
        let Some(frame) = self.stack.pop() else { return true };
        self.states[frame.id].open = false;
        !frame.failed
    }

    /// Called for a group that is met already. If the package that needs the group is protected and the group has only
    /// one possible option, this protects that option too.
    fn protect_only_way(&mut self, group: &Group<'_>, protected: bool) -> Result<Option<bool>, Error> {
        let only = if protected && group.kind != Kind::Recommends { self.only_option(group) } else { None };
        let entered = match only {
            Some(option) if !self.states[option].protected && !self.states[option].open => {
                self.states[option].protected = true;
                self.enter(option)?
            }
            _ => Some(true),
        };
        if entered.is_none()
            // The option is on top of the stack now; the group belongs to the package below it.
            && let Some(below) = self.stack.len().checked_sub(2)
        {
            self.stack[below].propagating = true;
        }
        Ok(entered.map(|_| true))
    }

    fn only_option(&self, group: &Group<'_>) -> Option<Id> {
        let mut possible = group.options.iter().copied().filter(|&option| !self.states[option].discarded);
        possible.next().filter(|_| possible.next().is_none())
    }

    /// Marks the `number`th option of a group, or gives the group up.
    fn try_option(&mut self, group: &Group<'_>, number: usize, protected: bool) -> Result<Option<bool>, Error> {
        let critical = group.kind != Kind::Recommends;
        if number == 0 {
            let Some(id) = self.stack.last().map(|frame| frame.id) else { return Ok(Some(false)) };
            let others = self.by_preference(id, group).into_iter();
            let Some(frame) = self.stack.last_mut() else { return Ok(Some(false)) };
            (frame.options, frame.others) = (Vec::new(), others);
        }
        if let Some(option) = self.option(number) {
            if protected && critical && self.only_option(group) == Some(option) {
                self.states[option].protected = true;
            }
            return self.enter(option);
        }
        let Some(frame) = self.stack.last_mut() else { return Ok(Some(false)) };
        if critical && !frame.protected {
            let id = frame.id;
            self.stack.pop();
            self.states[id] = State { discarded: true, ..State::default() };
            return Ok(Some(false));
        }
        frame.failed |= critical;
        (frame.group, frame.option) = (frame.group + 1, 0);
        Ok(None)
    }

    /// Returns the `number`th option of the present group. Packages that are equal to apt are sorted only when the first
    /// of them is needed, which is rare.
    fn option(&mut self, number: usize) -> Option<Id> {
        let frame = self.stack.last_mut()?;
        while frame.options.len() <= number {
            let mut equal = frame.others.next()?;
            self.graph.archive.sort_by_mention(&mut equal);
            equal.retain(|option| !frame.options.contains(option));
            frame.options.append(&mut equal);
        }
        frame.options.get(number).copied()
    }

    /// Returns the options of a group in the order in which apt would try them, those that are equal to apt in one list.
    fn by_preference(&self, id: Id, group: &Group<'_>) -> Vec<Vec<Id>> {
        if group.options.len() < 2 {
            return vec![group.options.clone()];
        }
        let asker = Asker::Needs(self.graph.archive.rank(id));
        let preferred = |relation| self.graph.archive.preferred(relation, asker, |id| self.states[id].protected);
        group.relations.iter().flat_map(preferred).collect()
    }

    /// Returns the packages that are marked and reachable from `roots`. Failed attempts leave dependencies marked that
    /// nothing needs.
    fn still_needed(&self, roots: &[Id]) -> Result<BTreeSet<Id>, Error> {
        let mut needed = BTreeSet::new();
        let mut todo = roots.to_vec();
        while let Some(id) = todo.pop() {
            if self.states[id].marked && needed.insert(id) {
                let groups = self.graph.needs(id)?.wanted(self.recommends);
                todo.extend(groups.flat_map(|group| group.options.iter().copied()));
            }
        }
        Ok(needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Archive;
    use crate::index::Index;
    use crate::policy::Policy;
    use rootstrap_debian::packages::Table;
    use std::sync::atomic::AtomicBool;

    static GO_ON: AtomicBool = AtomicBool::new(false);

    /// Reading all relations costs more than the rest of a plan together.
    #[test]
    fn mentions_are_read_only_where_nothing_else_decides() {
        let text = "Package: asks\nArchitecture: all\nDepends: awk\n
Package: best\nArchitecture: all\nPriority: required\nProvides: awk\n
Package: one\nArchitecture: all\nProvides: awk\n
Package: two\nArchitecture: all\nProvides: awk\n";
        let table = Table::parse(text);
        let indexes = [Index::plain(0, "amd64", &table)];
        let reads_mentions = |forbidden: &[&str], expect: &str| {
            let graph = Graph::new(Archive::new(&indexes, vec!["amd64"], &Policy::default()), None, &GO_ON);
            let id = |name: &str| graph.archive.id(name).unwrap();
            let forbidden: BTreeSet<Id> = forbidden.iter().map(|name| id(name)).collect();
            let set = walk(&graph, &[id("asks")], &[], &forbidden, false).unwrap();
            assert_eq!(set, BTreeSet::from([id("asks"), id(expect)]));
            graph.archive.has_read_mentions()
        };
        assert!(!reads_mentions(&[], "best"));
        assert!(reads_mentions(&["best"], "two"));
    }
}
