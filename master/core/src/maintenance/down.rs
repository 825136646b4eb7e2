//! Machines that are down: their agents are given up for good, and none may register.

use chapada_model::{AgentDescription, AgentId, FrameworkId, Reason, TaskState};

use super::machine_of;
use crate::{
    AgentCommand, AgentState, Effect, LinkId, Master, OperatorEvent, RefusedReason, RegistryChange,
    SchedulerEvent, Standing, TaskPhase,
};

/// How many agents that are gone for good are remembered (I8). One that is forgotten would be admitted, should it still exist.
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
        let (description, was_registered) = (agent.description.clone(), agent.is_registered());
        match agent.state {
            AgentState::Gone { .. } => return,
            AgentState::Active { link } | AgentState::Admitting { link } => {
                let is_new = agent.is_new;
                let reason = if is_new { RefusedReason::MachineDown } else { RefusedReason::Gone };
                let message = "Operator initiated 'Machine DOWN'".into();
                let command = AgentCommand::Refused { reason, message };
                self.effects.push(Effect::ToAgent { link, agent: Some(id.clone()), command });
                self.effects.push(Effect::CloseLink { link });
                if is_new {
                    return self.forget_new_agent(id);
                }
            }
            AgentState::Recovered { .. }
            | AgentState::Disconnected { .. }
            | AgentState::Leaving
            | AgentState::Unreachable { .. } => {}
        }
        self.forget_inverse_offers_of(id);
        self.unload(id);
        self.end_tasks_of(id, &description.hostname);
        self.end_operations_of(id);
        let since = self.now.wall;
        self.set_agent_state(id, AgentState::Gone { since });
        let change = self.agent_record(id, description, Standing::Gone { since });
        self.record(change);
        self.confirm_removals(id);
        if was_registered {
            let frameworks: Vec<FrameworkId> = self.books.frameworks.keys().cloned().collect();
            for framework in frameworks {
                let event = SchedulerEvent::Failure { agent: id.clone(), executor: None, status: None };
                self.tell_framework(&framework, event);
            }
            self.tell_operators(OperatorEvent::AgentRemoved(id.clone()));
        }
        self.forget_oldest_gone();
    }

    /// Source: Mesos says TASK_GONE to those who know it, and why with REASON_AGENT_REMOVED.
    fn end_tasks_of(&mut self, id: &AgentId, hostname: &str) {
        let message = format!("Agent {hostname} was removed: its machine is down for maintenance");
        for key in self.index.tasks_by_agent.of(id) {
            let is_over = self.books.tasks.get(&key).is_none_or(|task| task.phase == TaskPhase::Ended);
            match is_over {
                true => self.complete_task(&key),
                false => self.end_by_master(&key, TaskState::Gone, Reason::AgentRemoved, &message),
            }
        }
    }

    /// Nothing of a removed framework is left on an agent that ends all it has.
    fn confirm_removals(&mut self, id: &AgentId) {
        let removed: Vec<FrameworkId> = self.removed.iter().map(|(_, framework)| framework.clone()).collect();
        for framework in removed {
            self.confirm_removal(&framework, id);
        }
    }

    fn forget_oldest_gone(&mut self) {
        if self.gone.len() > MAX_GONE_AGENTS
            && let Some((_, oldest)) = self.gone.pop_first()
        {
            self.books.agents.remove(&oldest);
            self.record(RegistryChange::DeleteAgent(oldest));
        }
    }
}
