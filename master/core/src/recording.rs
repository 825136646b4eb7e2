//! What goes into the registry, and what waits until it is durable.

use std::sync::Arc;
use std::time::Duration;

use chapada_model::{AgentDescription, AgentId, FrameworkDescription, FrameworkId, Mono};

use crate::agents::Silence;
use crate::pending::Pending;
use crate::planted::Bug;
use crate::timers::Timer;
use crate::{
    Agent, AgentRecord, AgentState, Effect, Framework, FrameworkRecord, FrameworkState, RegistryChange,
    RegistryState, Standing, Ticket,
};

/// For so long a new leader announces the tasks of an agent that had been given up and came back to a former one. A framework that was
/// away for longer asks for everything when it is back.
const NEWS_FOR: Duration = Duration::from_secs(60 * 60);

impl crate::Master {
    /// Asks for a change to be made durable, with nothing waiting for it.
    pub(crate) fn record(&mut self, change: RegistryChange) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.registry.apply(change.clone());
        self.effects.push(Effect::Record { ticket, change });
        ticket
    }

    /// Asks for a change to be made durable, and says what waits for it.
    pub(crate) fn record_then(&mut self, change: RegistryChange, then: Pending) -> Ticket {
        let ticket = self.record(change);
        self.pending.insert(ticket, then);
        ticket
    }

    pub(crate) fn on_recorded(&mut self, ticket: Ticket) {
        match self.pending.take(ticket) {
            Some(Pending::Admit { agent, link, description, stated }) => {
                let is_waiting =
                    self.books.agents.get(&agent).is_some_and(|a| a.state == AgentState::Admitting { link });
                if is_waiting {
                    self.register(&agent, link, description, *stated);
                }
            }
            Some(Pending::Subscribe { framework, stream, is_new }) => {
                self.welcome(&framework, &stream, is_new)
            }
            Some(Pending::Remove { framework, agents, farewell }) => {
                self.on_removal_recorded(&framework, agents, farewell);
            }
            Some(Pending::GiveUp { agent, since }) => self.on_given_up(&agent, since),
            Some(Pending::Quotas(changes)) => self.on_quotas_recorded(changes),
            Some(Pending::Weights(weights)) => self.on_weights_recorded(weights),
            Some(Pending::Machines(changes)) => self.on_machines_recorded(changes),
            Some(Pending::Duty { agent, deactivated, drain }) => {
                self.on_duty_recorded(&agent, deactivated, drain);
            }
            Some(Pending::Plan(name, plan)) => self.on_plan_recorded(name, plan),
            Some(Pending::Gone { agent, since }) => self.on_gone_recorded(&agent, since),
            Some(Pending::Update { .. }) | None => {}
        }
    }

    /// Puts the registry's record of an agent.
    pub(crate) fn agent_record(
        &self,
        agent: &AgentId,
        description: Arc<AgentDescription>,
        standing: Standing,
    ) -> RegistryChange {
        let record = match self.registry.agents.get(agent) {
            Some(known) => {
                let is_back = standing == Standing::Admitted && known.standing != Standing::Admitted;
                let returned = if is_back { Some(self.now.wall) } else { known.returned };
                AgentRecord { description, standing, returned, ..known.clone() }
            }
            None => {
                let registered = self.now.wall;
                let (deactivated, drain, returned) = (false, None, None);
                AgentRecord { description, standing, registered, deactivated, drain, returned }
            }
        };
        RegistryChange::PutAgent(agent.clone(), record)
    }

    /// The registry's record of a framework as the books have it.
    pub(crate) fn framework_record(framework: &Framework) -> FrameworkRecord {
        FrameworkRecord {
            description: framework.description.clone(),
            registered: framework.registered,
            disconnected: framework.disconnected,
            removed: None,
        }
    }

    /// Fills the books of a new leader.
    pub(crate) fn recover_records(&mut self, registry: RegistryState) {
        for (id, record) in &registry.agents {
            self.recover_agent(id, record);
        }
        for (id, record) in &registry.frameworks {
            match &record.removed {
                Some(_) => {}
                None if self.has(Bug::FrameworkForgotten) => {}
                None => self.recover_framework(id, record),
            }
        }
        self.strangers_until =
            (!registry.agents.is_empty()).then(|| self.now.mono + self.settings.agent_reregister_timeout);
        self.registry = registry;
        self.recover_tombstones();
        self.books.drains =
            self.registry.drains.iter().map(|(name, plan)| (name.clone(), plan.clone())).collect();
        self.wait_for_agents();
        self.recover_weights();
        self.recover_quotas();
        self.recover_machines();
        self.hold_offers();
    }

    fn recover_agent(&mut self, id: &AgentId, record: &AgentRecord) {
        let state = match record.standing {
            Standing::Admitted => {
                let until = self.now.mono + self.settings.agent_reregister_timeout;
                self.timers.set(until, Timer::Agent(id.clone()));
                // Whoever was told that its tasks are unreachable may not have been there to hear of its return.
                let is_news = record.returned.is_some_and(|at| self.now.wall <= at + NEWS_FOR);
                let silence = if is_news { Silence::SinceGivenUp } else { Silence::SinceElection };
                self.silent.insert(id.clone(), silence);
                AgentState::Recovered { until }
            }
            Standing::Unreachable { since } => {
                self.unreachable.insert((since, id.clone()));
                AgentState::Unreachable { since }
            }
            Standing::Gone { since } => {
                self.gone.insert((since, id.clone()));
                AgentState::Gone { since }
            }
        };
        let agent = Agent {
            deactivated: record.deactivated,
            drain: record.drain.clone().filter(|_| !self.has(Bug::DrainForgotten)),
            ..Agent::empty(id.clone(), record.description.clone(), state, record.registered)
        };
        let is_gone = matches!(agent.state, AgentState::Gone { .. });
        self.books.agents.insert(id.clone(), Arc::new(agent));
        if !is_gone {
            self.untold.insert(id.clone());
            self.recover_drain_of(id);
        }
    }

    /// Until when a framework may come back to this leader. One that was subscribed when the old leader fell has done
    /// nothing wrong: even with a failover timeout of zero it gets as long as an agent may be silent.
    pub(crate) fn return_until(&self, description: &FrameworkDescription, was_subscribed: bool) -> Mono {
        let grace = if was_subscribed { self.settings.agent_timeout } else { Duration::ZERO };
        self.now.mono + description.failover_timeout.max(grace)
    }

    fn recover_framework(&mut self, id: &FrameworkId, record: &FrameworkRecord) {
        let was_subscribed = record.disconnected.is_none();
        let until = self.return_until(&record.description, was_subscribed);
        self.timers.set(until, Timer::Framework(id.clone()));
        let framework = Framework {
            id: id.clone(),
            description: record.description.clone(),
            state: FrameworkState::Disconnected { until },
            registered: record.registered,
            reregistered: None,
            disconnected: record.disconnected,
            recovered: true,
            suppressed: std::collections::BTreeSet::new(),
            constraints: Arc::default(),
        };
        self.books.frameworks.insert(id.clone(), Arc::new(framework));
    }
}
