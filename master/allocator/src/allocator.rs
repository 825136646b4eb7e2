//! The allocator's books, kept up by events; [`Allocator::plan`](crate::Allocator::plan) reads them.

use std::collections::BTreeSet;

use chapada_model::{AgentId, FrameworkId, Milli, Mono, Quantities, Resources, Role};

use crate::agent::Agent;
use crate::filter::Filters;
use crate::framework::{Framework, RoleState};
use crate::slots::Slots;
use crate::{AgentSlot, Client, Drf, FrameworkInput, FrameworkSlot, Policy, Refusal, RoleSlot};

/// Knows who wants offers, what is free and what was refused.
#[derive(Debug)]
pub struct Allocator {
    pub(crate) policy: Box<dyn Policy>,
    pub(crate) agents: Slots<AgentId, AgentSlot, Agent>,
    pub(crate) frameworks: Slots<FrameworkId, FrameworkSlot, Framework>,
    /// Roles with the number of clients that name them.
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

    // ---- agents ----

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

    // ---- frameworks ----

    /// A framework is subscribed, for the first time or again, or has changed what it said.
    pub fn set_framework(&mut self, id: &FrameworkId, input: FrameworkInput) {
        let slot = self.frameworks.ensure(id, Framework::default);
        let before: BTreeSet<RoleSlot> = self
            .frameworks
            .get(slot)
            .map(|framework| framework.roles.keys().copied().collect())
            .unwrap_or_default();
        let mut roles = std::collections::BTreeMap::new();
        for role in &input.roles {
            let state = RoleState {
                suppressed: input.suppressed.contains(role),
                minimum: input.minimum.get(role).cloned(),
            };
            let role = self.use_role(role);
            roles.insert(role, state);
        }
        if let Some(framework) = self.frameworks.get_mut(slot) {
            framework.input = Some(input);
            framework.active = true;
            framework.roles = roles;
        }
        for role in before {
            let client = Client { role, framework: slot };
            if self.frameworks.get(slot).is_none_or(|framework| !framework.roles.contains_key(&role)) {
                self.policy.leave(client);
                self.filters.clear_clients(|other| other == client);
                self.forget_client_if_idle(client);
            }
            self.release_role(role);
        }
        self.rejoin(slot);
        self.mark_all();
    }

    /// A framework has lost its subscription: it is offered nothing, and what it refused is forgotten.
    pub fn deactivate_framework(&mut self, id: &FrameworkId) {
        let Some(slot) = self.frameworks.slot(id) else { return };
        if let Some(framework) = self.frameworks.get_mut(slot) {
            framework.active = false;
        }
        self.filters.clear_clients(|client| client.framework == slot);
        self.rejoin(slot);
    }

    /// A framework is removed. What its tasks hold counts for its roles until they end.
    pub fn remove_framework(&mut self, id: &FrameworkId) {
        let Some(slot) = self.frameworks.slot(id) else { return };
        self.deactivate_framework(id);
        let Some(framework) = self.frameworks.get_mut(slot) else { return };
        framework.input = None;
        for role in std::mem::take(&mut framework.roles).into_keys() {
            self.forget_client_if_idle(Client { role, framework: slot });
            self.release_role(role);
        }
        self.forget_framework_if_idle(slot);
    }

    /// The framework wants no offers in these roles.
    pub fn suppress(&mut self, id: &FrameworkId, roles: &BTreeSet<Role>) {
        self.set_suppressed(id, roles, true);
    }

    /// The framework wants offers in these roles again, and all it refused in them is forgotten.
    pub fn revive(&mut self, id: &FrameworkId, roles: &BTreeSet<Role>) {
        let Some(framework) = self.frameworks.slot(id) else { return };
        self.set_suppressed(id, roles, false);
        let slots: BTreeSet<RoleSlot> = roles.iter().filter_map(|role| self.roles.slot(role)).collect();
        self.filters.clear_clients(|client| client.framework == framework && slots.contains(&client.role));
        self.mark_all();
    }

    /// The framework has given resources of an agent back.
    pub fn refuse(
        &mut self,
        now: Mono,
        at: (&FrameworkId, &Role, &AgentId),
        refused: &Resources,
        refusal: Refusal,
    ) {
        let (framework, role, agent) = at;
        let slots = (self.frameworks.slot(framework), self.roles.slot(role), self.agents.slot(agent));
        if let (Some(framework), Some(role), Some(agent)) = slots {
            self.filters.refuse(now, agent, Client { role, framework }, refused, refusal);
        }
    }

    /// The framework holds this much more, in this role.
    pub fn charge(&mut self, framework: &FrameworkId, role: &Role, resources: &Resources) {
        let framework = self.frameworks.ensure(framework, Framework::default);
        let role = self.use_role(role);
        let client = Client { role, framework };
        self.charge_slots(client, resources, 0);
        // `use_role` counted this call; what is charged keeps role, client and framework by itself.
        self.forget_client_if_idle(client);
        self.release_role(role);
        self.forget_framework_if_idle(framework);
    }

    /// The framework holds this much less, in this role.
    pub fn discharge(&mut self, framework: &FrameworkId, role: &Role, resources: &Resources) {
        let (Some(framework), Some(role)) = (self.frameworks.slot(framework), self.roles.slot(role)) else {
            return;
        };
        let amounts = Quantities::from(resources);
        let client = Client { role, framework };
        self.policy.discharge(client, &amounts);
        if let Some(record) = self.frameworks.get_mut(framework)
            && let Some(charged) = record.charged.get_mut(&role)
        {
            for (name, amount) in amounts.iter() {
                let left = charged.get(name).checked_sub(amount).unwrap_or_default();
                charged.0.insert(name.clone(), left);
            }
            if charged.is_empty() {
                record.charged.remove(&role);
            }
        }
        self.forget_client_if_idle(client);
        self.release_role_if_idle(role);
        self.forget_framework_if_idle(framework);
    }

    // ---- roles ----

    /// The role has this weight, in thousandths.
    pub fn set_weight(&mut self, role: &Role, weight: Milli) {
        self.policy.set_weight(role, weight);
    }

    /// The part of the cluster that a role holds in its scarcest resource, from 0 to 1.
    pub fn share(&self, role: &Role) -> f64 {
        self.roles.slot(role).map_or(0.0, |slot| self.policy.share(slot))
    }

    // ---- what waits ----

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

    /// The amounts that all known agents have together.
    pub fn total(&self) -> &Quantities {
        &self.total
    }

    /// What each framework is charged with, by role.
    pub fn charges(&self) -> impl Iterator<Item = (&FrameworkId, &Role, &Quantities)> {
        self.frameworks.iter().flat_map(move |(_, id, framework)| {
            framework.charged.iter().filter_map(move |(role, held)| Some((id, self.roles.key(*role)?, held)))
        })
    }

    /// How many agents are known.
    pub fn agents(&self) -> usize {
        self.agents.len()
    }

    pub(crate) fn charge_slots(&mut self, client: Client, resources: &Resources, offers: u64) {
        let amounts = Quantities::from(resources);
        self.policy.charge(client, &amounts, offers);
        let Some(record) = self.frameworks.get_mut(client.framework) else { return };
        let charged = record.charged.entry(client.role).or_default();
        for (name, amount) in amounts.iter() {
            charged.add(name, amount);
        }
        if charged.is_empty() {
            record.charged.remove(&client.role);
        }
    }

    fn set_suppressed(&mut self, id: &FrameworkId, roles: &BTreeSet<Role>, suppressed: bool) {
        let Some(slot) = self.frameworks.slot(id) else { return };
        let slots: Vec<RoleSlot> = roles.iter().filter_map(|role| self.roles.slot(role)).collect();
        if let Some(framework) = self.frameworks.get_mut(slot) {
            for role in slots {
                if let Some(state) = framework.roles.get_mut(&role) {
                    state.suppressed = suppressed;
                }
            }
        }
        self.rejoin(slot);
    }

    /// Brings the policy up to date on which clients of a framework want offers.
    fn rejoin(&mut self, slot: FrameworkSlot) {
        let Some(framework) = self.frameworks.get(slot) else { return };
        for (role, state) in &framework.roles {
            let client = Client { role: *role, framework: slot };
            match framework.active && !state.suppressed {
                true => self.policy.join(client),
                false => self.policy.leave(client),
            }
        }
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

    fn mark_all(&mut self) {
        let slots: Vec<AgentSlot> = self.agents.slots().collect();
        for slot in slots {
            self.mark(slot);
        }
    }

    fn use_role(&mut self, role: &Role) -> RoleSlot {
        let is_new = self.roles.slot(role).is_none();
        let slot = self.roles.ensure(role, || 0);
        if is_new {
            self.policy.add_role(slot, role);
        }
        if let Some(users) = self.roles.get_mut(slot) {
            *users += 1;
        }
        slot
    }

    fn release_role(&mut self, slot: RoleSlot) {
        if let Some(users) = self.roles.get_mut(slot) {
            *users = users.saturating_sub(1);
        }
        self.release_role_if_idle(slot);
    }

    fn release_role_if_idle(&mut self, slot: RoleSlot) {
        let unused = self.roles.get(slot) == Some(&0);
        if unused && self.frameworks.iter().all(|(_, _, framework)| !framework.charged.contains_key(&slot)) {
            self.policy.remove_role(slot);
            self.roles.remove(slot);
        }
    }

    fn forget_client_if_idle(&mut self, client: Client) {
        let idle = self.frameworks.get(client.framework).is_none_or(|framework| {
            !framework.roles.contains_key(&client.role) && !framework.charged.contains_key(&client.role)
        });
        if idle {
            self.policy.forget(client);
        }
    }

    fn forget_framework_if_idle(&mut self, slot: FrameworkSlot) {
        let idle = self.frameworks.get(slot).is_some_and(|f| f.input.is_none() && f.charged.is_empty());
        if idle {
            self.frameworks.remove(slot);
        }
    }
}
