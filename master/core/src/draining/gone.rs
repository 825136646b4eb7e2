//! Agents that are given up for good: because an operator says so, or because their machine is down.

use chapada_model::{AgentId, FrameworkId, Reason, TaskState, Wall};

use crate::pending::Pending;
use crate::{
    AgentCommand, AgentState, Effect, Master, OperatorEvent, RefusedReason, RegistryChange, SchedulerEvent,
    Standing, TaskPhase, Ticket,
};

/// What everyone is told when an agent is given up for good.
pub(crate) struct Farewell {
    /// To an agent that was never registered.
    pub(crate) to_new: RefusedReason,
    /// To the agent.
    pub(crate) message: &'static str,
    /// What becomes of its tasks, for frameworks that know the state.
    pub(crate) state: TaskState,
    /// Why.
    pub(crate) reason: Reason,
    /// Why, after the agent's name.
    pub(crate) why: &'static str,
    /// Of its operations.
    pub(crate) operations: &'static str,
}

impl Farewell {
    /// Source: Mesos says TASK_GONE to those who know it, and why with REASON_AGENT_REMOVED.
    pub(crate) const DOWN: Self = Self {
        to_new: RefusedReason::MachineDown,
        message: "Operator initiated 'Machine DOWN'",
        state: TaskState::Gone,
        reason: Reason::AgentRemoved,
        why: "its machine is down for maintenance",
        operations: "The agent's machine is down for maintenance",
    };
    /// Source: MARK_AGENT_GONE of Mesos.
    pub(crate) const BY_OPERATOR: Self = Self {
        to_new: RefusedReason::Gone,
        message: "Agent has been marked gone",
        state: TaskState::GoneByOperator,
        reason: Reason::AgentRemovedByOperator,
        why: "an operator gave it up for good",
        operations: "The agent was given up for good by an operator",
    };
}

impl Master {
    /// Has the agent given up for good once the registry says so.
    pub(crate) fn mark_gone(&mut self, agent: AgentId) -> Ticket {
        let since = self.now.wall;
        let description = self.registry.agents.get(&agent).map(|record| record.description.clone());
        let description =
            description.or_else(|| self.books.agents.get(&agent).map(|a| a.description.clone()));
        let change = match description {
            Some(description) => self.agent_record(&agent, description, Standing::Gone { since }),
            None => RegistryChange::DeleteAgent(agent.clone()),
        };
        self.record_then(change, Pending::Gone { agent, since })
    }

    /// Whether the agent will be gone: the registry is on its way to say so.
    pub(crate) fn is_going(&self, id: &AgentId) -> bool {
        let standing = self.registry.agents.get(id).map(|record| record.standing);
        matches!(standing, Some(Standing::Gone { .. }))
    }

    pub(crate) fn on_gone_recorded(&mut self, id: &AgentId, since: Wall) {
        self.part_with(id, &Farewell::BY_OPERATOR, since);
        self.plans_due = true;
        self.forget_oldest_gone();
    }

    /// Gives an agent up for good: it ends all it runs, and comes back as a new one, if at all. False when that was done before, or
    /// nobody knows it any more.
    pub(crate) fn part_with(&mut self, id: &AgentId, farewell: &Farewell, since: Wall) -> bool {
        let Some(agent) = self.books.agents.get(id) else { return false };
        let (hostname, was_registered) = (agent.description.hostname.clone(), agent.is_registered());
        match agent.state {
            AgentState::Gone { .. } => return false,
            AgentState::Active { link } | AgentState::Admitting { link } => {
                let reason = if agent.is_new { farewell.to_new } else { RefusedReason::Gone };
                let command = AgentCommand::Refused { reason, message: farewell.message.into() };
                self.effects.push(Effect::ToAgent { link, agent: Some(id.clone()), command });
                self.effects.push(Effect::CloseLink { link });
            }
            AgentState::Recovered { .. }
            | AgentState::Disconnected { .. }
            | AgentState::Leaving
            | AgentState::Unreachable { .. } => {}
        }
        self.forget_drain(id);
        self.forget_inverse_offers_of(id);
        self.unload(id);
        let message = format!("Agent {hostname} was removed: {}", farewell.why);
        for key in self.index.tasks_by_agent.of(id) {
            let is_over = self.books.tasks.get(&key).is_none_or(|task| task.phase == TaskPhase::Ended);
            match is_over {
                true => self.complete_ended(&key, farewell.reason, &message),
                false => self.end_by_master(&key, farewell.state, farewell.reason, &message),
            }
        }
        self.end_operations_of(id, farewell.operations);
        self.set_agent_state(id, AgentState::Gone { since });
        self.confirm_removals(id);
        if was_registered {
            let frameworks: Vec<FrameworkId> = self.books.frameworks.keys().cloned().collect();
            for framework in frameworks {
                let event = SchedulerEvent::Failure { agent: id.clone(), executor: None, status: None };
                self.tell_framework(&framework, event);
            }
            self.tell_operators(OperatorEvent::AgentRemoved(id.clone()));
        }
        true
    }

    /// Nothing of a removed framework is left on an agent that ends all it has.
    fn confirm_removals(&mut self, id: &AgentId) {
        for framework in self.tombstones.of_agent(id) {
            self.confirm_removal(&framework, id);
        }
    }

    pub(crate) fn forget_oldest_gone(&mut self) {
        if self.gone.len() > self.settings.most_gone()
            && let Some((_, oldest)) = self.gone.pop_first()
        {
            self.books.agents.remove(&oldest);
            self.note_standing(&oldest);
            self.record(RegistryChange::DeleteAgent(oldest));
        }
    }
}
