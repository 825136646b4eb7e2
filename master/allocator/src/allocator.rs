//! The allocator's books, kept up by events; [`Allocator::plan`](crate::Allocator::plan) reads them.

use std::collections::BTreeSet;

use chapada_model::{AgentId, FrameworkId, Milli, Mono, Quantities, Resources, Role};

use crate::agent::Agent;
use crate::filter::Filters;
use crate::framework::Framework;
use crate::slots::Slots;
use crate::{AgentSlot, Drf, FrameworkSlot, Policy, RoleSlot};

/// Knows who wants offers, what is free and what was refused.
#[derive(Debug)]
pub struct Allocator {
    pub(crate) policy: Box<dyn Policy>,
    pub(crate) agents: Slots<AgentId, AgentSlot, Agent>,
    pub(crate) frameworks: Slots<FrameworkId, FrameworkSlot, Framework>,
    /// Roles with the number of frameworks that name them, and of those that are charged in them.
    pub(crate) roles: Slots<Role, RoleSlot, u32>,
    pub(crate) filters: Filters,
    pub(crate) minimum: Vec<Quantities>,
    pub(crate) dirty: BTreeSet<AgentSlot>,
    total: Quantities,
}

impl Allocator {
    /// An empty one with weighted dominant-resource fairness. `minimum` is the least worth offering: any one of these.
    pub fn new(minimum: Vec<Quantities>) -> Self {
        Self::with_policy(minimum, Box::new(Drf::default()))
    }

    /// An empty one with another policy.
    pub fn with_policy(minimum: Vec<Quantities>, policy: Box<dyn Policy>) -> Self {
        Self {
            policy,
            agents: Slots::new(),
            frameworks: Slots::new(),
            roles: Slots::new(),
            filters: Filters::default(),
            minimum,
            dirty: BTreeSet::new(),
            total: Quantities::default(),
        }
    }

    /// An agent is registered and connected, for the first time or again. Its refusals are forgotten.
    pub fn add_agent(&mut self, id: &AgentId, total: &Resources, free: Resources) {
        if let Some(slot) = self.agents.slot(id) {
            self.forget_agent(slot);
        }
        let slot = self.agents.ensure(id, || Agent::new(total, free));
        self.count_total(slot, true);
        self.mark(slot);
    }

    /// An agent is gone, with all it has.
    pub fn remove_agent(&mut self, id: &AgentId) {
        if let Some(slot) = self.agents.slot(id) {
            self.forget_agent(slot);
        }
    }

    /// An agent is connected or not. Its resources count either way.
    pub fn set_agent_active(&mut self, id: &AgentId, active: bool) {
        let Some(slot) = self.agents.slot(id) else { return };
        if let Some(agent) = self.agents.get_mut(slot) {
            agent.active = active;
        }
        if active {
            self.mark(slot);
        }
    }

    /// So much of the agent is free now. `freed` says whether any of it is new, so that it is worth a look.
    pub fn set_free(&mut self, id: &AgentId, free: Resources, freed: bool) {
        let Some(slot) = self.agents.slot(id) else { return };
        if let Some(agent) = self.agents.get_mut(slot) {
            agent.set_free(free);
        }
        if freed {
            self.mark(slot);
        }
    }

    /// What is free at an agent, for the audit.
    pub fn free(&self, id: &AgentId) -> Option<&Resources> {
        self.agents.slot(id).and_then(|slot| self.agents.get(slot)).map(|agent| &agent.free)
    }

    /// The role has this weight, in thousandths.
    pub fn set_weight(&mut self, role: &Role, weight: Milli) {
        self.policy.set_weight(role, weight);
    }

    /// The part of the cluster that a role holds in its scarcest resource, from 0 to 1.
    pub fn share(&self, role: &Role) -> f64 {
        self.roles.slot(role).map_or(0.0, |slot| self.policy.share(slot))
    }

    /// Whether something has changed that a plan should look at.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// When a refusal ends next, so that a plan should be made.
    pub fn next_expiry(&self) -> Option<Mono> {
        self.filters.next_expiry()
    }

    /// How many refusals are remembered: at most one for each agent, framework and role.
    pub fn filters(&self) -> usize {
        self.filters.len()
    }

    /// How many frameworks are known, gone ones included that still hold something.
    pub fn frameworks(&self) -> usize {
        self.frameworks.len()
    }

    /// How many roles are named by a framework or charged.
    pub fn roles(&self) -> usize {
        self.roles.len()
    }

    /// How many agents are known.
    pub fn agents(&self) -> usize {
        self.agents.len()
    }

    /// The amounts that all known agents have together.
    pub fn total(&self) -> &Quantities {
        &self.total
    }

    fn forget_agent(&mut self, slot: AgentSlot) {
        self.count_total(slot, false);
        self.filters.clear_agent(slot);
        self.dirty.remove(&slot);
        self.agents.remove(slot);
    }

    fn count_total(&mut self, slot: AgentSlot, plus: bool) {
        let Some(agent) = self.agents.get(slot) else { return };
        for (name, amount) in agent.total.iter() {
            let before = self.total.get(name);
            let after = match plus {
                true => Milli(before.0.saturating_add(amount.0)),
                false => before.checked_sub(amount).unwrap_or_default(),
            };
            self.total.0.insert(name.clone(), after);
        }
        self.policy.set_total(&self.total);
    }

    pub(crate) fn mark(&mut self, slot: AgentSlot) {
        if let Some(agent) = self.agents.get_mut(slot).filter(|agent| agent.active) {
            agent.dirty = true;
            self.dirty.insert(slot);
        }
    }

    pub(crate) fn mark_all(&mut self) {
        let slots: Vec<AgentSlot> = self.agents.slots().collect();
        for slot in slots {
            self.mark(slot);
        }
    }
}
