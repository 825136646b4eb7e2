//! When a draining agent is drained.

use chapada_model::AgentId;

use crate::{AgentRecord, AgentState, Drain, Master};

impl Master {
    /// Something has gone from the agent: it may be all that was left.
    pub(crate) fn note_emptier(&mut self, id: &AgentId) {
        if self.draining.contains_key(id) {
            self.drains_due.insert(id.clone());
        }
    }

    /// Ends the drainings of agents on which nothing is left.
    pub(crate) fn follow_drains(&mut self) {
        while let Some(id) = self.drains_due.pop_first() {
            let is_open = self.draining.get(&id).is_some_and(|draining| !draining.is_ending);
            if is_open && self.is_empty(&id) {
                self.end_drain(id);
            } else if self.is_killing(&id) {
                self.end_idle_executors(&id);
            }
        }
    }

    /// Whether the agent has said that it holds nothing, and every framework knows.
    fn is_empty(&self, id: &AgentId) -> bool {
        let agent = self.books.agents.get(id);
        agent.is_some_and(|agent| {
            matches!(agent.state, AgentState::Active { .. })
                && agent.strays.is_empty()
                && agent.executors.is_empty()
                && self.index.tasks_by_agent.iter(id).next().is_none()
                && self.index.operations_by_agent.iter(id).next().is_none()
        })
    }

    fn end_drain(&mut self, id: AgentId) {
        let Some(record) = self.registry.agents.get(&id).cloned() else { return };
        let Some(drain) = record.drain.clone().filter(|drain| !drain.is_drained) else { return };
        if let Some(draining) = self.draining.get_mut(&id) {
            draining.is_ending = true;
        }
        if drain.order.mark_gone {
            self.mark_gone(id);
        } else {
            let drain = Some(Drain { is_drained: true, ..drain });
            self.put_duty(id, AgentRecord { drain, ..record });
        }
    }
}
