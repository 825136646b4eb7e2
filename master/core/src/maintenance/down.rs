//! Machines that are down: their agents are given up for good, and none may register.

use chapada_model::{AgentDescription, AgentId};

use super::machine_of;
use crate::draining::Farewell;
use crate::{AgentState, LinkId, Master, RefusedReason, Standing};

/// So many agents that are gone for good are remembered at least until old records are looked for. One that is forgotten would be admitted, should it still exist.
pub const MAX_GONE_AGENTS: usize = 10_000;

impl Master {
    pub(crate) fn is_down(&self, agent: &AgentDescription) -> bool {
        machine_of(&self.books.machines, agent).is_some_and(|(_, machine)| machine.is_down)
    }

    /// An agent of a machine that is down wants to register. If it had an id it ends all it runs; else it has nothing to end.
    pub(crate) fn refuse_down(&mut self, link: LinkId, id: Option<AgentId>) {
        let message = "its machine is down for maintenance: it may register after STOP_MAINTENANCE";
        let reason = match &id {
            Some(id) => {
                self.take_down(id);
                RefusedReason::Gone
            }
            None => RefusedReason::MachineDown,
        };
        self.refuse_agent(link, id, reason, message.to_owned());
    }

    /// Gives an agent up for good because its machine is down: it ends all it runs, and comes back as a new one, later. That
    /// the machine is down is durable; should this leader fall before the agent's record is, the next finds the agent so again.
    pub(crate) fn take_down(&mut self, id: &AgentId) {
        let Some(agent) = self.books.agents.get(id) else { return };
        let (description, is_new) = (agent.description.clone(), agent.is_new);
        let since = self.now.wall;
        if let (AgentState::Admitting { link }, true) = (&agent.state, is_new) {
            let (link, farewell) = (*link, Farewell::DOWN);
            self.refuse_agent(link, Some(id.clone()), farewell.to_new, farewell.message.to_owned());
            return self.forget_new_agent(id);
        }
        if self.part_with(id, &Farewell::DOWN, since) {
            let change = self.agent_record(id, description, Standing::Gone { since });
            self.record(change);
            self.forget_oldest_gone();
        }
    }
}
