//! What waits for time. Each thing that waits has at most one entry, so there are never more entries than things.

use std::collections::BTreeSet;

use chapada_model::{AgentId, FrameworkId, Mono, OfferId};

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// An offer was not answered.
    Offer(OfferId),
    /// An agent did not come back.
    Agent(AgentId),
    /// A framework did not come back.
    Framework(FrameworkId),
    /// The framework may be asked again to leave the agent.
    InverseOffer(AgentId, FrameworkId),
    /// Frameworks had their time to leave the agent, which is draining.
    Drain(AgentId),
}

/// Timers in the order they are due.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Mono, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Mono, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(crate) fn clear(&mut self, at: Mono, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(crate) fn pop_due(&mut self, now: Mono) -> Option<Timer> {
        self.0.first().filter(|(at, _)| *at <= now)?;
        self.0.pop_first().map(|(_, timer)| timer)
    }

    pub(crate) fn next(&self) -> Option<Mono> {
        self.0.first().map(|(at, _)| *at)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
