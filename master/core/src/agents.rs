//! How an agent comes, leaves and is given up.

use std::net::IpAddr;
use std::sync::Arc;

use chapada_model::{AgentDescription, AgentId, FrameworkId, Mono, Wall};

use crate::holdings::Stated;
use crate::pending::Pending;
use crate::timers::Timer;
use crate::{
    Agent, AgentCommand, AgentState, Effect, Held, LinkId, Master, OperatorEvent, RefusedReason,
    RegistryChange, SchedulerEvent, Standing,
};

/// Why the books do not know what an agent holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It is in the registry, and has not been registered by this master.
    SinceElection,
    /// It was given up, and is on its way back.
    SinceGivenUp,
}

impl Master {
    pub(crate) fn on_agent_connected(
        &mut self,
        link: LinkId,
        from: IpAddr,
        description: AgentDescription,
        held: Held,
    ) {
        let id = match &description.id {
            Some(id) => id.clone(),
            None => match self.new_agent_id() {
                Some(id) => id,
                None => return,
            },
        };
        if self.is_down(&description) {
            return self.refuse_down(link, description.id);
        }
        if let Err((reason, message)) = self.check_id(&id, &description, from) {
            return self.refuse_agent(link, description.id, reason, message);
        }
        if self.is_going(&id) {
            return self.put_off(&id, link);
        }
        let stated = match self.check_held(&description, &held) {
            Ok(of_tasks) => Stated { held, of_tasks },
            Err(message) => {
                return self.refuse_agent(link, description.id, RefusedReason::Invalid, message);
            }
        };
        let said_id = description.id.clone();
        let description = Arc::new(AgentDescription { id: Some(id.clone()), ..description });
        let record = self.registry.agents.get(&id);
        let is_recorded = record
            .is_some_and(|record| record.standing == Standing::Admitted && record.description == description);
        if !is_recorded && let Err(message) = self.check_agent_fits(&id, &description) {
            return self.refuse_agent(link, said_id, RefusedReason::Invalid, message);
        }
        self.drop_former_link(&id);
        if !self.books.agents.contains_key(&id) {
            let state = AgentState::Admitting { link };
            let agent =
                Agent { is_new: true, ..Agent::empty(id.clone(), description.clone(), state, self.now.wall) };
            self.books.agents.insert(id.clone(), Arc::new(agent));
        }
        self.set_agent_state(&id, AgentState::Admitting { link });
        if let Some(agent) = self.agent_mut(&id) {
            agent.from = Some(from);
        }
        if is_recorded && !self.pending.has_standing_of(&id) {
            return self.register(&id, link, description, stated);
        }
        self.wait_in_line(&id);
        let change = self.agent_record(&id, description.clone(), Standing::Admitted);
        self.record_then(change, Pending::Admit { agent: id, link, description, stated: Box::new(stated) });
    }

    /// An agent that will be gone asks to be taken: nothing is said of it before that is durable, and it will ask again.
    fn put_off(&mut self, id: &AgentId, link: LinkId) {
        let state = self.books.agents.get(id).map(|agent| agent.state.clone());
        self.drop_former_link(id);
        if let Some(AgentState::Active { .. } | AgentState::Admitting { .. }) = state {
            let until = self.now.mono + self.settings.agent_timeout;
            self.set_agent_state(id, AgentState::Disconnected { until });
        }
        self.effects.push(Effect::CloseLink { link });
    }

    /// Whether whoever comes with this id, from this address, may be the agent of that id.
    fn check_id(
        &self,
        id: &AgentId,
        description: &AgentDescription,
        from: IpAddr,
    ) -> Result<(), (RefusedReason, String)> {
        let Some(agent) = self.books.agents.get(id) else { return Ok(()) };
        if let AgentState::Gone { .. } = agent.state {
            return Err((RefusedReason::Gone, format!("agent {id} was given up by an operator")));
        }
        // Source: Mesos refuses it too. Whoever is silent may be cut off and run its tasks.
        if agent.description.hostname != description.hostname {
            let known = &agent.description.hostname;
            let message = format!(
                "agent {id} is {known}: start this one with a work directory of its own, or, if it is the same machine, with \
                 --hostname={known}"
            );
            return Err((RefusedReason::IdInUse, message));
        }
        if let Some(there) = agent.linked_from().filter(|there| *there != from) {
            let message = format!(
                "agent {id} is connected from {there}, and this connection comes from {from}: start this one with a work directory \
                 of its own; if it is the same agent at another address, it is taken once its former link has ended or has been \
                 silent for too long"
            );
            return Err((RefusedReason::IdInUse, message));
        }
        Ok(())
    }

    pub(crate) fn refuse_agent(
        &mut self,
        link: LinkId,
        agent: Option<AgentId>,
        reason: RefusedReason,
        message: String,
    ) {
        let command = AgentCommand::Refused { reason, message: message.into() };
        self.effects.push(Effect::ToAgent { link, agent, command });
        self.effects.push(Effect::CloseLink { link });
    }

    /// Ends the link that an agent has, if it has one, because another takes its place.
    fn drop_former_link(&mut self, id: &AgentId) {
        let Some(agent) = self.books.agents.get(id) else { return };
        match agent.state {
            AgentState::Active { link } => {
                self.effects.push(Effect::CloseLink { link });
                self.rescind_offers_of(id);
                self.allocator.set_agent_active(id, false);
            }
            AgentState::Admitting { link } => self.effects.push(Effect::CloseLink { link }),
            // Its being given up is on its way into the registry: it counts, and the agent returns from there.
            AgentState::Leaving => self.give_up(id, self.now.wall),
            AgentState::Recovered { .. }
            | AgentState::Disconnected { .. }
            | AgentState::Unreachable { .. }
            | AgentState::Gone { .. } => {}
        }
    }

    pub(crate) fn on_link_closed(&mut self, link: LinkId, id: &AgentId, last_heard: Mono) {
        let Some(agent) = self.books.agents.get(id) else { return };
        match agent.state {
            AgentState::Active { link: open } if open == link => {
                self.rescind_offers_of(id);
                self.allocator.set_agent_active(id, false);
            }
            AgentState::Admitting { link: open } if open == link && agent.is_new => {
                return self.forget_new_agent(id);
            }
            AgentState::Admitting { link: open } if open == link => {}
            AgentState::Active { .. }
            | AgentState::Admitting { .. }
            | AgentState::Recovered { .. }
            | AgentState::Disconnected { .. }
            | AgentState::Leaving
            | AgentState::Unreachable { .. }
            | AgentState::Gone { .. } => return,
        }
        // What happened while this leader was suspended came late, and the agent could not come back.
        let heard = last_heard.min(self.now.mono).max(self.resumed);
        let until = heard + self.settings.agent_timeout;
        self.set_agent_state(id, AgentState::Disconnected { until });
    }

    /// An agent went before it heard its id: it will come back without one, so this one is nobody's.
    pub(crate) fn forget_new_agent(&mut self, id: &AgentId) {
        self.books.agents.remove(id);
        self.note_standing(id);
        self.forget_drain(id);
        self.record(RegistryChange::DeleteAgent(id.clone()));
    }

    fn rescind_offers_of(&mut self, id: &AgentId) {
        for offer in self.index.offers_by_agent.of(id) {
            self.rescind(&offer);
        }
        self.rescind_inverse_offers_of(id);
    }

    /// The agent did not come back in time.
    pub(crate) fn on_agent_timeout(&mut self, id: &AgentId) {
        let Some(agent) = self.books.agents.get(id) else { return };
        if let AgentState::Disconnected { until } | AgentState::Recovered { until } = agent.state
            && self.may_give_up(until, id)
        {
            self.leave_behind(id);
        }
    }

    /// Gives an agent up, once the registry says so.
    pub(crate) fn leave_behind(&mut self, id: &AgentId) {
        let Some(agent) = self.books.agents.get(id) else { return };
        let (since, description) = (self.now.wall, agent.description.clone());
        self.set_agent_state(id, AgentState::Leaving);
        if self.is_going(id) {
            return;
        }
        let change = self.agent_record(id, description, Standing::Unreachable { since });
        self.record_then(change, Pending::GiveUp { agent: id.clone(), since });
    }

    pub(crate) fn on_given_up(&mut self, id: &AgentId, since: Wall) {
        if self.books.agents.get(id).is_some_and(|agent| agent.state == AgentState::Leaving) {
            self.give_up(id, since);
            self.forget_oldest_unreachable();
        }
    }

    /// The agent is unreachable: its tasks are, its resources no longer count.
    fn give_up(&mut self, id: &AgentId, since: Wall) {
        self.unload(id);
        self.lose_tasks_of(id, since);
        self.lose_operations_of(id);
        self.set_agent_state(id, AgentState::Unreachable { since });
        self.books.counters.agents_unreachable += 1;
        self.plans_due = true;
        let connected: Vec<FrameworkId> = self.books.frameworks.keys().cloned().collect();
        for framework in connected {
            let event = SchedulerEvent::Failure { agent: id.clone(), executor: None, status: None };
            self.tell_framework(&framework, event);
        }
        self.tell_operators(OperatorEvent::AgentRemoved(id.clone()));
    }

    fn forget_oldest_unreachable(&mut self) {
        if self.unreachable.len() > self.settings.most_unreachable()
            && let Some((_, oldest)) = self.unreachable.first().cloned()
        {
            self.forget_unreachable(oldest);
        }
    }

    /// Changes an agent's state, and with it the timer and the sets it stands in.
    pub(crate) fn set_agent_state(&mut self, id: &AgentId, state: AgentState) {
        let Some(agent) = self.agent_mut(id) else { return };
        let before = std::mem::replace(&mut agent.state, state.clone());
        match before {
            AgentState::Recovered { until } | AgentState::Disconnected { until } => {
                self.timers.clear(until, Timer::Agent(id.clone()));
                self.removals.forget(until, id);
            }
            AgentState::Unreachable { since } => {
                self.unreachable.remove(&(since, id.clone()));
                self.silent.insert(id.clone(), Silence::SinceGivenUp);
            }
            AgentState::Admitting { .. }
            | AgentState::Active { .. }
            | AgentState::Leaving
            | AgentState::Gone { .. } => {}
        }
        match state {
            AgentState::Disconnected { until } => self.timers.set(until, Timer::Agent(id.clone())),
            AgentState::Unreachable { since } => {
                self.unreachable.insert((since, id.clone()));
                self.silent.remove(id);
            }
            AgentState::Active { .. } => drop(self.silent.remove(id)),
            AgentState::Gone { since } => {
                self.gone.insert((since, id.clone()));
                self.silent.remove(id);
                self.untold.remove(id);
            }
            AgentState::Recovered { .. } | AgentState::Admitting { .. } | AgentState::Leaving => {}
        }
        self.note_standing(id);
    }

    /// Sends a command over an agent's link; nothing when it has none.
    pub(crate) fn tell_agent(&mut self, id: &AgentId, command: AgentCommand) -> bool {
        let Some(link) = self.books.agents.get(id).and_then(|agent| agent.link()) else { return false };
        self.effects.push(Effect::ToAgent { link, agent: Some(id.clone()), command });
        true
    }

    fn new_agent_id(&mut self) -> Option<AgentId> {
        let id = format!("{}-S{}", self.settings.master_id, self.next_agent);
        self.next_agent += 1;
        AgentId::new(id).ok()
    }
}
