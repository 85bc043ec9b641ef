//! The closure as apt computes it, so that a plan has the packages that apt would have installed.
//!
//! apt marks what was asked for, then goes through each package's dependencies depth first: a group that something
//! already marked meets is left alone, else the first option is marked and followed. There is no going back beyond
//! the group at hand (apt-pkg/depcache.cc, MarkInstall and its parts, apt 2.6). Two rules matter when packages
//! conflict: what was asked for, and whatever is the only way to meet such a package's dependency, is *protected*; a
//! protected package rules its enemies out for good, an unprotected one that fails is discarded and the next option
//! tried.
//!
//! The outcome is a proposal. The caller checks it and turns to the solver if it does not hold.

use crate::Error;
use crate::index::{Archive, Asker, Id};
use crate::needs::{Group, Kind};
use std::collections::BTreeSet;

/// apt gives up at this depth too; it bounds the stack, which is a vector here.
const DEEPEST: usize = 3000;

#[derive(Clone, Copy, Default)]
struct State {
    marked: bool,
    protected: bool,
    discarded: bool,
    /// Being walked, which protects for as long as it lasts.
    open: bool,
}

/// A package in the middle of having its dependencies marked.
struct Frame {
    id: Id,
    /// Protected before the walk came to it.
    protected: bool,
    group: usize,
    /// What may meet the group under way, most wanted first, and which of it is next.
    options: Vec<Id>,
    option: usize,
    /// What comes after those, in lists of packages that are alike.
    others: std::vec::IntoIter<Vec<Id>>,
    failed: bool,
    /// The child under way only passes protection on: whatever becomes of it, the group is met.
    propagating: bool,
}

struct Walk<'w, 'a> {
    archive: &'w Archive<'a>,
    recommends: bool,
    states: Vec<State>,
    stack: Vec<Frame>,
}

/// Marks `first` with all that follows from it, then `then` on top of that, as mmdebstrap has apt do with the
/// essential set and the rest. Nothing of `forbidden` is marked.
///
/// # Errors
/// [`Error::Malformed`] for a package that is to be marked.
pub(crate) fn walk(
    archive: &Archive<'_>,
    first: &[Id],
    then: &[Id],
    forbidden: &BTreeSet<Id>,
    recommends: bool,
) -> Result<BTreeSet<Id>, Error> {
    let states = vec![State::default(); archive.len()];
    let mut walk = Walk { archive, recommends, states, stack: Vec::new() };
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
            let Some(group) = self.archive.needs(id)?.wanted(self.recommends).nth(number) else {
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

    /// Begins marking `id`; an answer if there is nothing more to do.
    fn enter(&mut self, id: Id) -> Result<Option<bool>, Error> {
        let State { marked, protected, discarded, open } = self.states[id];
        if discarded || self.stack.len() > DEEPEST {
            return Ok(Some(false));
        }
        if open || (marked && !protected) {
            return Ok(Some(true));
        }
        let mut failed = false;
        for enemy in self.archive.needs(id)?.rejected() {
            let state = &mut self.states[enemy];
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

    /// Ends the package on top of the stack: did it work out?
    fn leave(&mut self) -> bool {
        let Some(frame) = self.stack.pop() else { return true };
        self.states[frame.id].open = false;
        !frame.failed
    }

    /// A group that is met, of a protected package: its only possible option becomes protected too.
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
            // The child is on top now; the group belongs to the one below it.
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

    /// Marks the `number`th possible option of a group, or gives the group up.
    fn try_option(&mut self, group: &Group<'_>, number: usize, protected: bool) -> Result<Option<bool>, Error> {
        let critical = group.kind != Kind::Recommends;
        if number == 0 {
            let Some(id) = self.stack.last().map(|frame| frame.id) else { return Ok(Some(false)) };
            let others = self.by_taste(id, group).into_iter();
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

    /// The `number`th option of the group under way. Packages that are alike are sorted when the first of them is due, for
    /// mostly none is.
    fn option(&mut self, number: usize) -> Option<Id> {
        let frame = self.stack.last_mut()?;
        while frame.options.len() <= number {
            let mut alike = frame.others.next()?;
            self.archive.by_mention(&mut alike);
            alike.retain(|option| !frame.options.contains(option));
            frame.options.append(&mut alike);
        }
        frame.options.get(number).copied()
    }

    /// The options of a group as apt would try them, those that are alike in one list.
    fn by_taste(&self, id: Id, group: &Group<'_>) -> Vec<Vec<Id>> {
        if group.options.len() < 2 {
            return vec![group.options.clone()];
        }
        let asker = Asker::Needs(self.archive.rank(id));
        let preferred = |relation| self.archive.preferred(relation, asker, |id| self.states[id].protected);
        group.relations.iter().flat_map(preferred).collect()
    }

    /// What is marked and still reachable: failed attempts leave their dependencies behind.
    fn still_needed(&self, roots: &[Id]) -> Result<BTreeSet<Id>, Error> {
        let mut needed = BTreeSet::new();
        let mut todo = roots.to_vec();
        while let Some(id) = todo.pop() {
            if self.states[id].marked && needed.insert(id) {
                let groups = self.archive.needs(id)?.wanted(self.recommends);
                todo.extend(groups.flat_map(|group| group.options.iter().copied()));
            }
        }
        Ok(needed)
    }
}
