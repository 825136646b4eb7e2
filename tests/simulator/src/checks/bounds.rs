//! I8: nothing grows without a limit. The audit holds a master's books to their bounds after every event; here are the other cores,
//! what runs on the machines, and what is around them.

use std::fmt;

use chapada_agent_core::{MAX_OPERATIONS, MAX_TASKS};
use chapada_sdk_core::MAX_UNREACHABLE;

use crate::nodes::{Held, LONG_LOG, MasterNode};
use crate::sim::Sim;

/// So much waits to happen for each node at most: its messages, its wakings, what it has asked a disk or a kernel for.
const HAPPENINGS: usize = 800;

/// So many changes the real master's writer takes before the loop waits for it, and with the loop everyone: `RECORD_QUEUE` of
/// `master/server`, beside the 128 under way. There is no such queue here, and no run may come to need it.
const WRITER_HOLDS: usize = 4_096 + 128;

/// So many records beside its tasks', frameworks' and operations' an agent's fresh log has: boot, id, epoch, what was made.
const OWN_RECORDS: usize = 8;

/// So many records of a task are written in one burst.
const BURST_RECORDS: usize = 4;

/// So many records a task has in a fresh log at most: its launch, its updates that are not acknowledged, its end.
const TASK_RECORDS: usize = 32;

impl Sim {
    /// What has grown beyond its bound; nothing when all is well.
    pub fn grown(&self) -> Vec<String> {
        let mut grown = Vec::new();
        let mut bound = |what: fmt::Arguments<'_>, size: usize, most: usize| {
            if size > most {
                grown.push(format!("I8: {what}: {size}, and the bound is {most}"));
            }
        };
        for (index, agent) in self.agents.iter().enumerate() {
            let Some(core) = &agent.core else { continue };
            let (view, fresh) = (core.view(), core.record_count());
            bound(format_args!("tasks of a{index}"), view.tasks.len(), MAX_TASKS);
            let frameworks = view.tasks.len() + view.executors.len();
            bound(format_args!("frameworks of a{index} without a task"), view.frameworks.len(), frameworks);
            bound(
                format_args!("containers of a{index} without a task"),
                agent.kernel.containers.len(),
                // The traces of one that has ended stay until that is on disk.
                view.tasks.len() + view.executors.len() + agent.disk.written.len(),
            );
            let held = view.tasks.len() + view.executors.len();
            let records = OWN_RECORDS + MAX_OPERATIONS + held * TASK_RECORDS;
            bound(format_args!("records of a{index}"), fresh, records);
            // It is written afresh once nothing waits for a sync, and in a burst each task has something to say.
            let burst = TASK_RECORDS + view.tasks.len() * BURST_RECORDS;
            bound(format_args!("log of a{index}"), agent.disk.durable.len(), LONG_LOG.max(fresh) + burst);
        }
        for (index, framework) in self.frameworks.iter().enumerate() {
            let Some(keeper) = framework.actor.keeper() else { continue };
            bound(format_args!("intents of f{index}"), keeper.intents().iter().count(), keeper.wanted());
            bound(format_args!("stored intents of f{index}"), framework.store.intents.len(), keeper.wanted());
            bound(
                format_args!("unanswered tasks of f{index}"),
                keeper.unanswered(),
                keeper.wanted() + MAX_UNREACHABLE,
            );
        }
        if let Some(leader) = self.leader().filter(|leader| self.masters[*leader].core.is_some()) {
            let node = &self.masters[leader];
            let (connections, waits) = node.sizes();
            bound(format_args!("connections of the leader"), connections, self.network.wires.len());
            bound(format_args!("changes that wait for the registry"), waits, self.written(node));
            bound(format_args!("changes that wait for the registry in all"), waits, WRITER_HOLDS);
        }
        let nodes = self.agents.len() + self.frameworks.len() + self.masters.len();
        bound(format_args!("happenings"), self.queue.len(), HAPPENINGS * nodes);
        grown
    }

    /// As many changes as the writer of a leader can have in hand: on their way to the registry or back, of unknown outcome until its
    /// connection is there again, or answered while the leader takes nothing. What waits and is not among them waits for ever.
    fn written(&self, leader: &MasterNode) -> usize {
        let unheard = leader.held.iter().flatten().filter(|held| matches!(held, Held::Recorded(_)));
        self.queue.len() + leader.unknown.len() + unheard.count()
    }
}
