//! The allocator's books, kept up by events; [`Allocator::plan`](crate::Allocator::plan) reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chapada_model::{AgentId, FrameworkId, Milli, Mono, Quantities, Resources, Role, Text};

use crate::agent::Agent;
use crate::amounts::Names;
use crate::bits::Bits;
use crate::filter::Filters;
use crate::framework::{ClientRecord, Framework};
use crate::quota::Quotas;
use crate::role::RoleRecord;
use crate::sharing::Sharing;
use crate::slots::Slots;
use crate::{AgentInput, AgentSlot, Amounts, ClientSlot, Drf, FrameworkSlot, Policy, RoleSlot};

/// Knows who wants offers, what is free and what was refused.
#[derive(Debug)]
pub struct Allocator {
    pub(crate) policy: Box<dyn Policy>,
    pub(crate) names: Names,
    pub(crate) agents: Slots<AgentId, AgentSlot, Agent>,
    pub(crate) frameworks: Slots<FrameworkId, FrameworkSlot, Framework>,
    /// Roles that a framework names or is charged in.
    pub(crate) roles: Slots<Role, RoleSlot, RoleRecord>,
    pub(crate) clients: Slots<(FrameworkSlot, RoleSlot), ClientSlot, ClientRecord>,
    /// The clients that want offers.
    pub(crate) wanting: Bits,
    /// The clients that come after all others.
    pub(crate) late: Bits,
    /// The clients that want offers since, or in another way since, the last plan.
    pub(crate) newcomers: BTreeSet<ClientSlot>,
    pub(crate) filters: Filters,
    pub(crate) quotas: Quotas,
    pub(crate) sharing: Sharing,
    /// What is reserved for each role, in use or not.
    pub(crate) reserved: BTreeMap<Role, Amounts>,
    pub(crate) minimum: Vec<Amounts>,
    /// The region of the master; agents elsewhere are for those who know of regions.
    pub(crate) region: Option<Text>,
    /// Whether agents with GPUs are only for those who know of GPUs.
    pub(crate) keeps_gpus: bool,
    /// Agents at which something has changed; some may have been looked at or be gone.
    pub(crate) dirty: Vec<AgentSlot>,
    /// Agents of which something was kept back for the sake of quota.
    pub(crate) kept_back: BTreeSet<AgentSlot>,
    /// Where among them to go on.
    pub(crate) retried: AgentSlot,
    pub(crate) now: Mono,
    /// What all agents share of which nothing is free.
    pub(crate) nothing: Arc<Resources>,
    total: Amounts,
    excluded: BTreeSet<Text>,
}

impl Allocator {
    /// An empty one with weighted dominant-resource fairness. `minimum` is the least worth offering: any one of these.
    pub fn new(minimum: Vec<Quantities>) -> Self {
        Self::with_policy(minimum, Box::new(Drf::default()))
    }

    /// An empty one with another policy.
    pub fn with_policy(minimum: Vec<Quantities>, policy: Box<dyn Policy>) -> Self {
        let mut names = Names::default();
        let minimum = minimum.iter().map(|least| names.amounts_of(least)).collect();
        Self {
            policy,
            names,
            agents: Slots::new(),
            frameworks: Slots::new(),
            roles: Slots::new(),
            clients: Slots::new(),
            wanting: Bits::default(),
            late: Bits::default(),
            newcomers: BTreeSet::new(),
            filters: Filters::default(),
            quotas: Quotas::default(),
            sharing: Sharing::default(),
            reserved: BTreeMap::new(),
            minimum,
            region: None,
            keeps_gpus: true,
            dirty: Vec::new(),
            kept_back: BTreeSet::new(),
            retried: AgentSlot(0),
            now: Mono::default(),
            nothing: Arc::default(),
            total: Amounts::default(),
            excluded: BTreeSet::new(),
        }
    }

    /// The name of the policy.
    pub fn policy(&self) -> &'static str {
        self.policy.name()
    }

    /// The master's own region. Agents that say they stand in another are offered only to frameworks that know of regions;
    /// without one, all agents count as near.
    pub fn set_region(&mut self, region: Option<Text>) {
        self.region = region;
        self.mark_all();
    }

    /// Whether agents with GPUs are offered only to frameworks that know of GPUs, as they are unless this says otherwise.
    pub fn keep_gpus(&mut self, keep: bool) {
        self.keeps_gpus = keep;
        self.mark_all();
    }

    /// Names that count toward no share.
    pub fn exclude_from_shares(&mut self, names: BTreeSet<Text>) {
        self.excluded = names;
        self.tell_total();
    }

    /// What happens from now on happens at this time; it is only shown.
    pub fn set_now(&mut self, now: Mono) {
        self.now = now;
    }

    /// An agent is registered and connected, for the first time or again. Its refusals are forgotten. What is shared is free
    /// whoever uses it.
    pub fn add_agent(&mut self, id: &AgentId, input: impl Into<AgentInput>, free: Resources) {
        if let Some(slot) = self.agents.slot(id) {
            self.forget_agent(slot);
        }
        let now = self.now;
        let mut agent = Agent::new(input.into(), now);
        agent.total = self.count_total(&agent.input.total);
        let slot = self.agents.ensure(id, || agent);
        self.count_agent(slot, true);
        self.tell_total();
        self.put_free(slot, Arc::new(free));
        self.mark(slot);
        self.retry_kept_back();
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
        if let Some(agent) = self.agents.get_mut(slot)
            && agent.active != active
        {
            agent.since = self.now;
            agent.active = active;
            // What cannot be offered is no reserve for those who are owed something.
            let (open, counted) = (agent.counted.open.clone(), self.quotas.is_used());
            match active {
                true if counted => self.quotas.available.add(&open),
                false if counted => self.quotas.available.sub(&open),
                _ => {}
            }
        }
        if active {
            self.mark(slot);
            self.retry_kept_back();
        }
    }

    /// What an agent has in all has changed, as by a reservation; what is free of it is told by [`set_free`](Self::set_free).
    /// What was refused of it may look different now, and is forgotten.
    pub fn set_agent_total(&mut self, id: &AgentId, input: impl Into<AgentInput>) {
        let Some(slot) = self.agents.slot(id) else { return };
        self.count_agent(slot, false);
        let input = input.into();
        let total = self.count_total(&input.total);
        if let Some(agent) = self.agents.get_mut(slot) {
            let fresh = Agent::new(input, self.now);
            (agent.input, agent.has_gpus, agent.since, agent.total) =
                (fresh.input, fresh.has_gpus, fresh.since, total);
            agent.left_out = fresh.left_out;
        }
        self.count_agent(slot, true);
        self.tell_total();
        self.filters.clear_agent(slot);
        self.mark(slot);
        self.retry_kept_back();
    }

    /// So much of the agent is free now, with all that is shared, whoever uses it. `freed` says whether any of it is new, so that it is worth a look.
    pub fn set_free(&mut self, id: &AgentId, free: Resources, freed: bool) {
        let Some(slot) = self.agents.slot(id) else { return };
        self.forget_names();
        self.put_free(slot, Arc::new(free));
        if freed {
            self.mark(slot);
            self.retry_kept_back();
        }
    }

    /// What is free at an agent, for the audit.
    pub fn free(&self, id: &AgentId) -> Option<&Resources> {
        self.agents.slot(id).and_then(|slot| self.agents.get(slot)).map(|agent| &*agent.free)
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
        !self.dirty.is_empty() || !self.newcomers.is_empty()
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

    /// How many names of resources are known.
    pub fn names(&self) -> usize {
        self.names.len()
    }

    /// How many agents are known.
    pub fn agents(&self) -> usize {
        self.agents.len()
    }

    /// The amounts that all known agents have together.
    pub fn total(&self) -> Quantities {
        self.names.quantities(&self.total)
    }

    fn forget_agent(&mut self, slot: AgentSlot) {
        self.put_free(slot, Arc::default());
        self.count_agent(slot, false);
        self.tell_total();
        self.filters.clear_agent(slot);
        self.kept_back.remove(&slot);
        self.sharing.forget_agent(slot);
        self.agents.remove(slot);
    }

    /// The amounts that an agent has, whose names are known from now on.
    fn count_total(&mut self, total: &Resources) -> Amounts {
        self.forget_names();
        let names = self.names.len();
        let amounts = self.names.count(total).all;
        if self.names.len() > names {
            self.read_minimums_again(Amounts::has_unknown);
        }
        amounts
    }

    /// Puts what the agent has to the sums, or takes it out.
    fn count_agent(&mut self, slot: AgentSlot, plus: bool) {
        let Some(agent) = self.agents.get(slot) else { return };
        match plus {
            true => self.total.add(&agent.total),
            false => self.total.sub(&agent.total),
        }
        let kept = self.names.reserved(&agent.input.total);
        for (role, amounts) in kept {
            let sum = self.reserved.entry(role.clone()).or_default();
            match plus {
                true => sum.add(&amounts),
                false => sum.sub(&amounts),
            }
            let is_over = sum.is_empty();
            if is_over {
                self.reserved.remove(&role);
            }
            let path = self.quotas.path(&role);
            self.consume(&path, &amounts, plus);
        }
    }

    fn tell_total(&mut self) {
        let mut total = self.total.clone();
        for name in self.excluded.iter().filter_map(|name| self.names.slot(name)) {
            total.set(name, Milli::ZERO);
        }
        self.policy.set_total(&total);
    }

    pub(crate) fn put_free(&mut self, slot: AgentSlot, free: Arc<Resources>) {
        let Some(agent) = self.agents.get_mut(slot) else { return };
        agent.free_since = self.now;
        let counted = self.names.count(&free);
        if self.quotas.is_used() && agent.active {
            self.quotas.available.sub(&agent.counted.open);
            self.quotas.available.add(&counted.open);
        }
        agent.set_free(free, counted);
        if !agent.free.is_empty() {
            self.filters.on_free(slot, &agent.free);
        }
    }

    pub(crate) fn mark(&mut self, slot: AgentSlot) {
        if let Some(agent) = self.agents.get_mut(slot).filter(|agent| agent.active && !agent.dirty) {
            agent.dirty = true;
            self.dirty.push(slot);
        }
    }

    pub(crate) fn mark_all(&mut self) {
        let slots: Vec<AgentSlot> = self.agents.slots().collect();
        for slot in slots {
            self.mark(slot);
        }
    }
}
