//! Frameworks come, change, go, and say what they want.

use std::collections::{BTreeMap, BTreeSet};

use chapada_model::{AgentId, FrameworkId, Mono, Resources, Role};

use crate::framework::{Framework, RoleState};
use crate::{Allocator, Client, FrameworkInput, FrameworkSlot, Refusal, RoleSlot};

impl Allocator {
    /// A framework is subscribed, for the first time or again, or has changed what it said.
    pub fn set_framework(&mut self, id: &FrameworkId, input: FrameworkInput) {
        let slot = self.frameworks.ensure(id, Framework::default);
        let before: BTreeSet<RoleSlot> = self
            .frameworks
            .get(slot)
            .map(|framework| framework.roles.keys().copied().collect())
            .unwrap_or_default();
        let mut roles = BTreeMap::new();
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
        let kept = self.frameworks.get(slot).map(|framework| &framework.roles);
        let gone: BTreeSet<RoleSlot> =
            before.iter().copied().filter(|role| kept.is_none_or(|kept| !kept.contains_key(role))).collect();
        self.filters.clear_clients(|client| client.framework == slot && gone.contains(&client.role));
        for role in before {
            if gone.contains(&role) {
                let client = Client { role, framework: slot };
                self.policy.leave(client);
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
}
