//! What will happen, in the order in which it will.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use chapada_master_core::Ticket;
use chapada_model::Mono;

/// Stands for an agent or a framework of the cluster.
pub(crate) type Index = u32;

/// Something that will happen.
pub(crate) enum Happening {
    /// Bytes arrive at the master.
    MasterHears(Arrival),
    /// The master's core takes what has arrived, or does what has become due.
    MasterTurn,
    /// The registry has written a change.
    Recorded(Ticket),
    /// An agent starts, or learns that another master leads.
    AgentStarts(Index),
    /// A message of the link arrives at an agent.
    AgentHears(Index, Vec<u8>),
    /// An agent shows that it lives.
    AgentBeats(Index),
    /// The master looks whether an agent has been silent for too long.
    LinkChecked(Index),
    /// The first instruction of a task runs.
    TaskRuns(Index, u32),
    /// A task ends.
    TaskEnds(Index, u32),
    /// An update is on the agent's disk.
    Written(Index, u32),
    /// A framework starts.
    FrameworkStarts(Index),
    /// A record of its stream arrives at a framework.
    FrameworkHears(Index, bytes::Bytes),
    /// A framework has something to do.
    FrameworkWakes(Index),
}

/// Bytes for the master.
pub(crate) enum Arrival {
    /// The first messages of a link: hello, and pages of what is held.
    Link(Index, Vec<Vec<u8>>),
    /// A message of a link.
    Agent(Index, Vec<u8>),
    /// A call.
    Framework(Index, Vec<u8>),
    /// The registry has answered.
    Recorded(Ticket),
    /// Nothing came over a link for too long.
    Silence(Index),
}

struct Entry {
    at: (Mono, u64),
    happening: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

/// Happenings by time, those of one moment in the order in which they were put in.
#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    last: u64,
}

impl Queue {
    pub(crate) fn put(&mut self, at: Mono, happening: Happening) {
        self.last += 1;
        self.heap.push(Reverse(Entry { at: (at, self.last), happening }));
    }

    pub(crate) fn next_at(&self) -> Option<Mono> {
        self.heap.peek().map(|Reverse(entry)| entry.at.0)
    }

    /// Forgets what is on its way to, within and from a master that has fallen.
    pub(crate) fn forget_master(&mut self) {
        self.heap.retain(|Reverse(entry)| {
            !matches!(
                entry.happening,
                Happening::MasterHears(_)
                    | Happening::MasterTurn
                    | Happening::Recorded(_)
                    | Happening::LinkChecked(_)
                    | Happening::AgentHears(..)
                    | Happening::FrameworkHears(..)
            )
        });
    }

    pub(crate) fn take(&mut self) -> Option<(Mono, Happening)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at.0, entry.happening))
    }
}
