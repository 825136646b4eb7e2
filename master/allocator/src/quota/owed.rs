//! What is owed and not free, and which offers would make it so.

use chapada_model::{Milli, Quantities, Resources, Role};

use super::QuotaSlot;
use crate::{Allocator, Amounts, NameSlot};

impl Allocator {
    /// What is owed beyond what is free at connected agents: guarantees that cannot be kept as things are.
    pub fn unmet(&self) -> Quantities {
        let quotas = &self.quotas;
        let short = |(name, owed): (NameSlot, Milli)| {
            Some((name, owed.checked_sub(quotas.available.get(name))?)).filter(|(_, short)| !short.is_zero())
        };
        let unmet: Amounts = quotas.owed.iter().filter_map(short).collect();
        self.names.quantities(&unmet)
    }

    /// Whether less would be unmet if a role gave back what it is offered: not when as much were then owed to the role.
    pub fn would_relieve(&self, role: &Role, resources: &Resources, unmet: &Quantities) -> bool {
        let path = self.quotas.path(role);
        let open = self.names.open(resources);
        let relieves = |(name, amount): (NameSlot, Milli)| {
            let is_unmet = self.names.name(name).is_some_and(|name| !unmet.get(name).is_zero());
            is_unmet && self.owed_more(&path, name, amount) < amount
        };
        open.iter().any(relieves)
    }

    /// How much more would be owed in all, if the role of this path consumed so much less.
    fn owed_more(&self, path: &[QuotaSlot], name: NameSlot, less: Milli) -> Milli {
        let mut more = Milli::ZERO;
        for node in path.iter().filter_map(|slot| self.quotas.nodes.get(*slot)) {
            let after = node.owed_with_less(name, less, more);
            more = after.checked_sub(node.owed.get(name)).unwrap_or_default();
        }
        more
    }
}
