//! What was asked and answered in a run, for a checker that knows nothing of the cores: writes of the registry and what leaders
//! read, tasks that began and ended, kills, updates, and whose word agents obeyed.

mod check;
mod registry;
#[cfg(test)]
mod tests;

pub(crate) use registry::differing;

use chapada_master_core::{RegistryChange, RegistryState, Ticket};
use chapada_model::{FrameworkId, Mono, TaskId, TaskKey, TaskState, UpdateUuid};

use crate::sim::Sim;

/// Clusters of more agents are not written down: what each leader reads would be too much.
const MOST_AGENTS: usize = 20;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// A leader begins with this, which it read.
    Read { epoch: u64, state: Box<RegistryState> },
    /// A leader asks for a change to be made durable.
    Asked { epoch: u64, ticket: Ticket, change: Box<RegistryChange> },
    /// It is told that it is.
    Answered { epoch: u64, ticket: Ticket },
    /// A task begins on a machine; `thing` is what its framework means by it, of which there may be one at a time.
    Began { agent: usize, task: TaskKey, thing: Option<String> },
    /// It runs no more.
    Ended { agent: usize, task: TaskKey },
    /// A leader takes a kill.
    Kill { epoch: u64, task: TaskKey },
    /// An agent writes an update down.
    Said { agent: usize, task: TaskKey, uuid: UpdateUuid, state: TaskState },
    /// It never was: the agent's process ended before it was durable.
    Unsaid { uuid: UpdateUuid },
    /// A framework hears of a task, from its agent when the update has a name, else the leader's own word.
    Heard { framework: FrameworkId, task: TaskId, uuid: Option<UpdateUuid>, state: TaskState },
    /// Nothing more is expected of this framework.
    Gone { framework: FrameworkId },
    /// An operator has put this in place of what the registry held.
    Restored { state: Box<RegistryState> },
    /// An agent does something at the word of the leader of this epoch.
    Obeyed { agent: usize, epoch: u64 },
}

/// All of it, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) entries: Vec<(Mono, Entry)>,
}

impl Sim {
    /// Writes something down, unless the cluster is too large for that.
    pub(crate) fn enter(&mut self, entry: impl FnOnce() -> Entry) {
        if self.agents.len() <= MOST_AGENTS {
            self.journal.entries.push((self.now, entry()));
        }
    }

    /// What does not hold in all that was written down so far, each as one sentence.
    pub fn check_history(&self) -> Vec<String> {
        let deaf = self.frameworks.iter().filter(|framework| {
            !framework.subscribed
                || framework.refused.is_some()
                || framework.manner == crate::Manner::SlowReader
        });
        let absent = deaf.filter_map(|framework| framework.id.clone()).collect();
        self.journal.check(self.now, absent)
    }

    /// How much was written down.
    pub fn history_length(&self) -> usize {
        self.journal.entries.len()
    }
}
