//! What the roots that one process builds at the same time share: the processors and the memory of the machine.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often a root that waits for its turn looks whether the run was stopped.
const POLL: Duration = Duration::from_millis(50);

/// The part of the available memory, in tenths, that roots may fill.
const TENTHS: u64 = 8;

/// The processors and the memory that the roots of one process share. It decides when and where a root is built, and never what is in it.
#[derive(Debug)]
pub struct Budget {
    processors: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// How many roots are being built.
    roots: usize,
    /// How many will be built at the same time.
    expected: usize,
    /// The bytes that were available while no root had any.
    memory: u64,
    /// The sum of what the roots were granted, in bytes.
    granted: u64,
}

/// The part of a budget that one root has. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    granted: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Budget {
    /// Returns the budget of a machine with so many processors. One root at a time is expected.
    #[must_use]
    pub fn new(processors: usize) -> Self {
        let state = State { roots: 0, expected: 1, memory: 0, granted: 0 };
        Self { processors: processors.max(1), state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Says that up to `roots` roots will be built at the same time, so that memory is divided among so many. The largest number counts.
    pub fn expect(&self, roots: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.expected = state.expected.max(roots.min(self.processors));
    }

    /// Returns how many threads a root may keep busy that begins with them now: twice its part of the processors, because others end while
    /// it works.
    pub(crate) fn threads(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (2 * self.processors).div_ceil(state.roots.max(1)).min(self.processors)
    }

    /// Waits until fewer roots are being built than there are processors. Returns `None` once `cancel` is set.
    pub(crate) fn share(self: &Arc<Self>, cancel: &AtomicBool) -> Option<Share> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.roots >= self.processors {
            if cancel.load(Ordering::Relaxed) {
                return None;
            }
            state = self.changed.wait_timeout(state, POLL).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.roots += 1;
        Some(Share { budget: self.clone(), granted: AtomicU64::new(0) })
    }
}

impl Share {
    /// Asks for memory for a root that needs so many bytes, where `available` bytes are available. Returns how many bytes the root may
    /// fill: an equal part, or more if it needs more and nobody has it yet. Returns `None` if less than half a part is left, or too little
    /// for the root. A root that `must` be in memory gets an equal part then.
    pub fn memory(&self, needed: u64, available: u64, must: bool) -> Option<u64> {
        let mut state = self.budget.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.granted == 0 {
            state.memory = available;
        }
        // The others may not have filled what they were granted, so this is the most that there can be.
        let memory = state.memory.min(available.saturating_add(state.granted));
        let all = memory / 10 * TENTHS;
        let part = all / state.expected.max(1) as u64;
        // Scripts write more than what a root is known to need.
        let limit = part.max(needed.saturating_mul(2)).min(all.saturating_sub(state.granted));
        let limit = match limit >= part / 2 && needed < limit / TENTHS * 5 {
            true => limit,
            false if must => part,
            false => return None,
        };
        state.granted = state.granted.saturating_add(limit);
        self.granted.fetch_add(limit, Ordering::Relaxed);
        Some(limit)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.budget.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.roots = state.roots.saturating_sub(1);
        state.granted = state.granted.saturating_sub(self.granted.load(Ordering::Relaxed));
        drop(state);
        self.budget.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(budget: &Arc<Budget>) -> Share {
        budget.share(&AtomicBool::new(false)).unwrap()
    }

    #[test]
    fn roots_share_the_processors() {
        let budget = Arc::new(Budget::new(4));
        let first = share(&budget);
        assert_eq!(budget.threads(), 4);
        let second = share(&budget);
        assert_eq!(budget.threads(), 4);
        let third = share(&budget);
        assert_eq!(budget.threads(), 3);
        let fourth = share(&budget);
        assert_eq!(budget.threads(), 2);
        drop((first, second, third, fourth));
        assert_eq!(budget.threads(), 4);
    }

    #[test]
    fn no_more_roots_are_built_than_there_are_processors() {
        let budget = Arc::new(Budget::new(1));
        let first = share(&budget);
        assert!(budget.share(&AtomicBool::new(true)).is_none());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| share(&budget));
            drop(first);
            drop(waiting.join().unwrap());
        });
    }

    #[test]
    fn roots_share_the_memory() {
        let budget = Arc::new(Budget::new(4));
        let (first, second, third) = (share(&budget), share(&budget), share(&budget));
        assert_eq!(first.memory(400, 1000, false), Some(800), "a root that is alone has all of it");
        assert_eq!(second.memory(1, 1000, false), None, "the first one may fill the rest, and has not yet");
        drop(first);
        budget.expect(2);
        let first = share(&budget);
        assert_eq!(first.memory(100, 1000, false), Some(400), "an equal part");
        assert_eq!(second.memory(100, 900, false), Some(400), "also when the first has filled a part of it");
        assert_eq!(third.memory(1, 900, false), None);
        assert_eq!(third.memory(1, 900, true), Some(400), "it was asked for");
        let third = {
            drop(third);
            share(&budget)
        };
        drop((first, second));
        assert_eq!(third.memory(300, 1000, false), Some(600), "more than an equal part for a root that needs it");
        assert_eq!(share(&budget).memory(50, 1000, false), Some(200), "and the next one has what it leaves");
        budget.expect(4);
        drop(third);
        let (first, second) = (share(&budget), share(&budget));
        assert_eq!(first.memory(370, 1000, false), Some(740));
        assert_eq!(second.memory(1, 1000, false), None, "a root does not get a small rest");
        assert_eq!(share(&Arc::new(Budget::new(1))).memory(600, 1000, false), None, "more than half of all");
    }
}
