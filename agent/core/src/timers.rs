//! Deadlines, earliest first. A deadline that no longer applies is found stale when it is due.

use std::collections::BTreeSet;

use chapada_model::{ExecutorKey, Mono, TaskKey};

use crate::checks::Purpose;

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// SIGKILL, once the grace period is over.
    Force(TaskKey),
    /// Repeat the unacknowledged updates.
    Repeat(TaskKey),
    /// Ask the task how it is.
    Probe(TaskKey, Purpose),
    /// End a task that has run for too long.
    Completion(TaskKey),
    /// What the executor's phase says.
    Executor(ExecutorKey),
    /// Repeat the unacknowledged outcomes of operations.
    Operations,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Mono, Timer)>,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Mono, timer: Timer) {
        self.due.insert((at, timer));
    }

    pub(crate) fn clear(&mut self, at: Mono, timer: Timer) {
        self.due.remove(&(at, timer));
    }

    pub(crate) fn next(&self) -> Option<Mono> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes the earliest timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Mono) -> Option<Timer> {
        let (at, _) = self.due.first()?;
        if *at > now {
            return None;
        }
        self.due.pop_first().map(|(_, timer)| timer)
    }
}
