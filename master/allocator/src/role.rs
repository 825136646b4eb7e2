//! A role as the allocator sees it, and the counts of who uses it.

use chapada_model::Role;

use crate::quota::QuotaSlot;
use crate::{Allocator, RoleSlot};

/// A role that somebody uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoleRecord {
    /// How many frameworks name it or are charged in it.
    pub(crate) users: u32,
    /// The quotas that bind it: its own and those of roles above, from the bottom up.
    pub(crate) path: Vec<QuotaSlot>,
}

impl Allocator {
    pub(crate) fn use_role(&mut self, role: &Role) -> RoleSlot {
        let is_new = self.roles.slot(role).is_none();
        let slot = self.roles.ensure(role, RoleRecord::default);
        if is_new {
            self.policy.add_role(slot, role);
        }
        if let Some(record) = self.roles.get_mut(slot) {
            record.users += 1;
            if is_new {
                record.path = self.quotas.path(role);
            }
        }
        slot
    }

    /// One client less is in the role.
    pub(crate) fn release_role(&mut self, slot: RoleSlot) {
        let Some(record) = self.roles.get_mut(slot) else { return };
        record.users = record.users.saturating_sub(1);
        if record.users == 0 {
            self.policy.remove_role(slot);
            self.roles.remove(slot);
        }
    }
}
