//! Frameworks come, change, go, and say what they want.

use std::collections::BTreeSet;
use std::sync::Arc;

use chapada_model::{AgentId, FrameworkId, Mono, Resources, Role};

use crate::framework::{ClientRecord, Framework};
use crate::{AgentSlot, Allocator, Amounts, Client, ClientSlot, FrameworkInput, FrameworkSlot, Refusal};

impl Allocator {
    /// A framework is subscribed, for the first time or again, or has changed what it said.
    pub fn set_framework(&mut self, id: &FrameworkId, input: FrameworkInput) {
        let slot = self.frameworks.ensure(id, Framework::default);
        let mut gone = self.frameworks.get(slot).map(|framework| framework.roles.clone()).unwrap_or_default();
        let mut roles = std::collections::BTreeMap::new();
        for role in &input.roles {
            let client = self.use_client(slot, role);
            gone.remove(&client.role);
            roles.insert(client.role, client.slot);
            let asked = input.minimum.get(role).cloned();
            let minimum = asked.as_ref().map(|any| any.iter().map(|least| self.names.asked(least)).collect());
            if let Some(record) = self.clients.get_mut(client.slot) {
                record.named = true;
                record.suppressed = input.suppressed.contains(role);
                record.minimum = minimum;
                record.asked = asked.unwrap_or_default();
                record.constraints = input.constraints.get(role).cloned();
            }
            self.forget_left_out(client.slot);
        }
        if let Some(framework) = self.frameworks.get_mut(slot) {
            framework.capabilities = Some(input.capabilities);
            framework.active = true;
            framework.since = self.now;
            framework.roles = roles;
        }
        self.mark_late(slot);
        for client in gone.into_values() {
            self.unname(client);
        }
        self.rejoin(slot);
        let clients: Vec<ClientSlot> = self.clients_of(slot).collect();
        self.newcomers.extend(clients);
    }

    /// A framework has lost its subscription: it is offered nothing, and what it refused is forgotten.
    pub fn deactivate_framework(&mut self, id: &FrameworkId) {
        let Some(slot) = self.frameworks.slot(id) else { return };
        if let Some(framework) = self.frameworks.get_mut(slot) {
            framework.active = false;
            framework.since = self.now;
        }
        let clients: Vec<ClientSlot> = self.clients_of(slot).collect();
        for client in clients {
            self.filters.clear_client(client);
        }
        self.rejoin(slot);
    }

    /// A framework is removed. What its tasks hold counts for its roles until they end.
    pub fn remove_framework(&mut self, id: &FrameworkId) {
        let Some(slot) = self.frameworks.slot(id) else { return };
        self.deactivate_framework(id);
        let Some(framework) = self.frameworks.get_mut(slot) else { return };
        framework.capabilities = None;
        for client in std::mem::take(&mut framework.roles).into_values() {
            self.unname(client);
        }
        self.forget_framework_if_idle(slot);
    }

    /// The constraints of these clients leave the agent out: they need not be asked again until either changes.
    pub(crate) fn remember_left_out(&mut self, agent: AgentSlot, clients: Vec<ClientSlot>) {
        for client in clients {
            if let (Some(agent), Some(record)) = (self.agents.get_mut(agent), self.clients.get_mut(client)) {
                agent.left_out.insert(client.0);
                record.leaves_out = true;
            }
        }
    }

    /// The client has other constraints, or is gone: every agent may be for it.
    fn forget_left_out(&mut self, client: ClientSlot) {
        let Some(record) = self.clients.get_mut(client) else { return };
        if !std::mem::take(&mut record.leaves_out) {
            return;
        }
        for slot in self.agents.slots().collect::<Vec<_>>() {
            if let Some(agent) = self.agents.get_mut(slot) {
                agent.left_out.remove(client.0);
            }
        }
    }

    /// The framework left its last offers unanswered, and comes after all others for now; or it has answered again, and is passed
    /// over nowhere for that any more.
    pub fn set_late(&mut self, id: &FrameworkId, late: bool) {
        let Some(slot) = self.frameworks.slot(id) else { return };
        if let Some(framework) = self.frameworks.get_mut(slot)
            && framework.late.is_some() != late
        {
            framework.late = late.then_some(self.now);
            self.mark_late(slot);
            let forgiven: Vec<ClientSlot> = if late { Vec::new() } else { self.clients_of(slot).collect() };
            for client in forgiven {
                self.filters.forgive(client);
                self.newcomers.insert(client);
            }
        }
    }

    fn mark_late(&mut self, slot: FrameworkSlot) {
        let is_late = self.frameworks.get(slot).is_some_and(|framework| framework.late.is_some());
        for client in self.clients_of(slot).collect::<Vec<_>>() {
            match is_late {
                true => self.late.insert(client.0),
                false => self.late.remove(client.0),
            }
        }
    }

    /// The framework wants no offers in these roles.
    pub fn suppress(&mut self, id: &FrameworkId, roles: &BTreeSet<Role>) {
        self.set_suppressed(id, roles, true);
    }

    /// The framework wants offers in these roles again, and all it refused in them is forgotten.
    pub fn revive(&mut self, id: &FrameworkId, roles: &BTreeSet<Role>) {
        let Some(framework) = self.frameworks.slot(id) else { return };
        self.set_suppressed(id, roles, false);
        for client in roles.iter().filter_map(|role| self.find_client(framework, role)).collect::<Vec<_>>() {
            self.filters.clear_client(client.slot);
            self.newcomers.insert(client.slot);
        }
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
        let client = self.frameworks.slot(framework).and_then(|slot| self.find_client(slot, role));
        let slot = self.agents.slot(agent);
        if let (Some(client), Some(slot)) = (client, slot)
            && let Some(agent) = self.agents.get(slot)
        {
            // Most often all that is free was refused: then everyone's refusal shares it.
            let refused =
                if *agent.free == *refused { agent.free.clone() } else { Arc::new(refused.clone()) };
            self.filters.refuse(now, (slot, client.slot), (refused, &agent.free), refusal);
        }
    }

    fn set_suppressed(&mut self, id: &FrameworkId, roles: &BTreeSet<Role>, suppressed: bool) {
        let Some(slot) = self.frameworks.slot(id) else { return };
        let clients: Vec<Client> = roles.iter().filter_map(|role| self.find_client(slot, role)).collect();
        for client in clients {
            if let Some(record) = self.clients.get_mut(client.slot) {
                record.suppressed = suppressed;
            }
        }
        self.rejoin(slot);
    }

    /// Brings the policy up to date on which clients of a framework want offers.
    fn rejoin(&mut self, slot: FrameworkSlot) {
        let active = self.frameworks.get(slot).is_some_and(|framework| framework.active);
        let clients: Vec<ClientSlot> = self.clients_of(slot).collect();
        for slot in clients {
            let wants =
                active && self.clients.get(slot).is_some_and(|record| record.named && !record.suppressed);
            self.set_wanting(slot, wants);
        }
    }

    fn set_wanting(&mut self, slot: ClientSlot, wants: bool) {
        let Some(client) = self.client(slot) else { return };
        if self.wanting.contains(slot.0) == wants {
            return;
        }
        match wants {
            true => {
                self.wanting.insert(slot.0);
                self.policy.join(client);
            }
            false => {
                self.wanting.remove(slot.0);
                self.newcomers.remove(&slot);
                self.policy.leave(client);
            }
        }
        if let Some(record) = self.clients.get_mut(slot) {
            record.since = self.now;
        }
    }

    /// There are other names: what frameworks asked for, where these amounts say so, is worth another look.
    pub(crate) fn read_minimums_again(&mut self, which: impl Fn(&Amounts) -> bool) {
        let waiting: Vec<(ClientSlot, Vec<Amounts>)> = self
            .clients
            .iter()
            .filter(|(.., record)| record.minimum.iter().flatten().any(&which))
            .map(|(slot, _, record)| {
                (slot, record.asked.iter().map(|least| self.names.asked(least)).collect())
            })
            .collect();
        for (slot, minimum) in waiting {
            if let Some(record) = self.clients.get_mut(slot) {
                record.minimum = Some(minimum);
            }
        }
    }

    /// The framework no longer names the role, or is gone.
    fn unname(&mut self, slot: ClientSlot) {
        self.filters.clear_client(slot);
        self.set_wanting(slot, false);
        self.late.remove(slot.0);
        if let Some(record) = self.clients.get_mut(slot) {
            record.named = false;
        }
        self.forget_client_if_idle(slot);
    }

    fn clients_of(&self, slot: FrameworkSlot) -> impl Iterator<Item = ClientSlot> + '_ {
        self.frameworks.get(slot).into_iter().flat_map(|framework| framework.roles.values().copied())
    }

    pub(crate) fn client(&self, slot: ClientSlot) -> Option<Client> {
        self.clients.get(slot).map(|record| Client { role: record.role, framework: record.framework, slot })
    }

    pub(crate) fn find_client(&self, framework: FrameworkSlot, role: &Role) -> Option<Client> {
        let role = self.roles.slot(role)?;
        let slot = self.clients.slot(&(framework, role))?;
        Some(Client { role, framework, slot })
    }

    /// The client of a framework in a role, made when there is none.
    pub(crate) fn use_client(&mut self, framework: FrameworkSlot, role: &Role) -> Client {
        if let Some(client) = self.find_client(framework, role) {
            return client;
        }
        let (role, now) = (self.use_role(role), self.now);
        let slot = self.clients.ensure(&(framework, role), || ClientRecord::new((framework, role), now));
        if let Some(record) = self.frameworks.get_mut(framework) {
            record.clients += 1;
        }
        Client { role, framework, slot }
    }

    /// A client that neither wants nor holds anything is forgotten.
    pub(crate) fn forget_client_if_idle(&mut self, slot: ClientSlot) {
        let Some(client) = self.client(slot) else { return };
        if self.clients.get(slot).is_some_and(|record| record.named || !record.charged.is_empty()) {
            return;
        }
        self.filters.clear_client(slot);
        self.newcomers.remove(&slot);
        self.sharing.forget_client(slot);
        self.forget_left_out(slot);
        self.policy.forget(client);
        self.clients.remove(slot);
        self.release_role(client.role);
        if let Some(framework) = self.frameworks.get_mut(client.framework) {
            framework.clients = framework.clients.saturating_sub(1);
        }
    }

    pub(crate) fn forget_framework_if_idle(&mut self, slot: FrameworkSlot) {
        let idle = self.frameworks.get(slot).is_some_and(|f| f.capabilities.is_none() && f.clients == 0);
        if idle {
            self.frameworks.remove(slot);
        }
    }
}
