//! Who holds how much. A framework or role of which nothing is left is forgotten.

use chapada_model::{FrameworkId, Quantities, Resources, Role};

use crate::framework::Framework;
use crate::{Allocator, Client, FrameworkSlot, RoleSlot};

impl Allocator {
    /// The framework holds this much more, in this role.
    pub fn charge(&mut self, framework: &FrameworkId, role: &Role, resources: &Resources) {
        let framework = self.frameworks.ensure(framework, Framework::default);
        let role = self.use_role(role);
        let client = Client { role, framework };
        self.charge_slots(client, resources, 0);
        // `use_role` counted this call; what is charged counts by itself.
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
            let is_over = charged.is_empty();
            if is_over {
                record.charged.remove(&role);
            }
            self.forget_client_if_idle(client);
            if is_over {
                self.release_role(role);
            }
        }
        self.forget_framework_if_idle(framework);
    }

    /// What each framework is charged with, by role.
    pub fn charges(&self) -> impl Iterator<Item = (&FrameworkId, &Role, &Quantities)> {
        self.frameworks.iter().flat_map(move |(_, id, framework)| {
            framework.charged.iter().filter_map(move |(role, held)| Some((id, self.roles.key(*role)?, held)))
        })
    }

    pub(crate) fn charge_slots(&mut self, client: Client, resources: &Resources, offers: u64) {
        let amounts = Quantities::from(resources);
        self.policy.charge(client, &amounts, offers);
        let Some(record) = self.frameworks.get_mut(client.framework).filter(|_| !amounts.is_empty()) else {
            return;
        };
        let is_first = !record.charged.contains_key(&client.role);
        let charged = record.charged.entry(client.role).or_default();
        for (name, amount) in amounts.iter() {
            charged.add(name, amount);
        }
        if let Some(users) = self.roles.get_mut(client.role).filter(|_| is_first) {
            *users += 1;
        }
    }

    pub(crate) fn use_role(&mut self, role: &Role) -> RoleSlot {
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

    /// One less uses the role: a framework that names it, or one that is charged in it.
    pub(crate) fn release_role(&mut self, slot: RoleSlot) {
        let Some(users) = self.roles.get_mut(slot) else { return };
        *users = users.saturating_sub(1);
        if *users == 0 {
            self.policy.remove_role(slot);
            self.roles.remove(slot);
        }
    }

    pub(crate) fn forget_client_if_idle(&mut self, client: Client) {
        let idle = self.frameworks.get(client.framework).is_none_or(|framework| {
            !framework.roles.contains_key(&client.role) && !framework.charged.contains_key(&client.role)
        });
        if idle {
            self.policy.forget(client);
        }
    }

    pub(crate) fn forget_framework_if_idle(&mut self, slot: FrameworkSlot) {
        let idle = self.frameworks.get(slot).is_some_and(|f| f.input.is_none() && f.charged.is_empty());
        if idle {
            self.frameworks.remove(slot);
        }
    }
}
