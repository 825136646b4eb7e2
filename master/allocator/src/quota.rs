//! Quota: what is guaranteed to a role and all below it, and the most they may have. Any role of the tree can have both.
//!
//! What a role and those below it *consume* is what they hold or are offered of unreserved resources, and all that is reserved
//! for them, in use or not. A guarantee that is not yet consumed is *owed*: so much of what is free in the cluster is kept back
//! from everybody else. A guarantee of a role below counts toward the one above.

mod exceeded;
mod node;
mod owed;
mod trim;

use std::collections::{BTreeMap, BTreeSet};

use chapada_model::{Milli, Quantities, Role, Text};

use crate::{Allocator, Amounts, NameSlot};
use node::QuotaNode;
pub(crate) use trim::{Cut, Trimmed};

/// Stands for a role that has quota.
pub(crate) type QuotaSlot = usize;

/// What an operator sets for a role and all below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Quota {
    /// So much is kept for them.
    pub guarantee: Quantities,
    /// No more than so much is given to them. A name that is not there has no limit; zero means none of it.
    pub limit: BTreeMap<Text, Milli>,
}

impl Quota {
    /// Whether it promises nothing and forbids nothing, as if there were none.
    pub fn is_default(&self) -> bool {
        self.guarantee.is_empty() && self.limit.is_empty()
    }
}

/// The quotas of all roles, and what each has consumed of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quotas {
    configured: BTreeMap<Role, Quota>,
    nodes: Vec<QuotaNode>,
    by_role: BTreeMap<Role, QuotaSlot>,
    /// What is owed in all.
    owed: Amounts,
    /// What quota is about and free at connected agents; kept up only while there is quota.
    pub(crate) available: Amounts,
    /// Roles that came to consume more than their limit of a name of which something may still be on offer to them.
    exceeded: BTreeSet<(QuotaSlot, NameSlot)>,
}

impl Allocator {
    /// Sets the quota of roles, or ends it where there is none. What is held already stays; only what is offered from now on
    /// obeys.
    pub fn set_quotas(&mut self, quotas: impl IntoIterator<Item = (Role, Option<Quota>)>) {
        for (role, quota) in quotas {
            match quota {
                Some(quota) => drop(self.quotas.configured.insert(role, quota)),
                None => drop(self.quotas.configured.remove(&role)),
            }
        }
        self.count_quotas();
        self.mark_all();
    }

    /// The quotas that are set.
    pub fn quotas(&self) -> impl Iterator<Item = (&Role, &Quota)> {
        self.quotas.configured.iter()
    }

    /// What a role and those below it consume of its quota; nothing when it has none.
    pub fn consumed(&self, role: &Role) -> Option<Quantities> {
        let slot = self.quotas.by_role.get(role)?;
        Some(self.names.quantities(&self.quotas.nodes.get(*slot)?.consumed))
    }

    /// Counts everything afresh.
    fn count_quotas(&mut self) {
        let mut quotas =
            Quotas { configured: std::mem::take(&mut self.quotas.configured), ..Quotas::default() };
        for (role, quota) in &quotas.configured {
            // Roles come in order of their names, so those above come first.
            let parent = above(role).find_map(|role| quotas.by_role.get(&role).copied());
            let guarantee = self.names.amounts_of(&quota.guarantee);
            let limit = quota.limit.iter().map(|(name, most)| (self.names.ensure(name), *most)).collect();
            quotas.by_role.insert(role.clone(), quotas.nodes.len());
            quotas.nodes.push(QuotaNode::new(role.clone(), parent, guarantee, limit));
        }
        for slot in (0..quotas.nodes.len()).rev() {
            quotas.count_owed(slot);
        }
        let roles: Vec<_> = self.roles.iter().map(|(slot, role, _)| (slot, quotas.path(role))).collect();
        for (slot, path) in roles {
            if let Some(record) = self.roles.get_mut(slot) {
                record.path = path;
            }
        }
        for (_, _, client) in self.clients.iter() {
            if let Some(role) = self.roles.get(client.role) {
                quotas.consume(&role.path, &client.open, true);
            }
        }
        for (role, amounts) in &self.reserved {
            quotas.consume(&quotas.path(role), amounts, true);
        }
        if quotas.is_used() {
            for (.., agent) in self.agents.iter().filter(|(.., agent)| agent.active) {
                quotas.available.add(&agent.counted.open);
            }
        }
        quotas.note_all_exceeded();
        self.quotas = quotas;
    }
}

impl Quotas {
    /// Whether any role has quota.
    pub(crate) fn is_used(&self) -> bool {
        !self.nodes.is_empty()
    }

    /// The quotas that bind a role, from the bottom up.
    pub(crate) fn path(&self, role: &Role) -> Vec<QuotaSlot> {
        if self.nodes.is_empty() {
            return Vec::new();
        }
        let own = self.by_role.get(role).copied();
        own.into_iter().chain(above(role).filter_map(|role| self.by_role.get(&role).copied())).collect()
    }

    pub(crate) fn consume(&mut self, path: &[QuotaSlot], amounts: &Amounts, plus: bool) {
        for slot in path {
            let Some(node) = self.nodes.get_mut(*slot) else { return };
            match plus {
                true => node.consumed.add(amounts),
                false => node.consumed.sub(amounts),
            }
            for (name, _) in amounts.iter() {
                self.owe_anew(*slot, name);
                if plus {
                    self.note_exceeded(*slot, name);
                }
            }
        }
    }

    fn count_owed(&mut self, slot: QuotaSlot) {
        let names: Vec<NameSlot> = self.nodes.get(slot).map(QuotaNode::names).unwrap_or_default();
        for name in names {
            self.owe_anew(slot, name);
        }
    }

    /// Counts what is owed to a role, and tells the sum above it.
    fn owe_anew(&mut self, slot: QuotaSlot, name: NameSlot) {
        let Some(node) = self.nodes.get_mut(slot) else { return };
        let (before, after) = (node.owed.get(name), node.owed_now(name));
        if before == after {
            return;
        }
        node.owed.set(name, after);
        let sum = match node.parent {
            Some(parent) => &mut self.nodes[parent].owed_below,
            None => &mut self.owed,
        };
        let others = sum.get(name).checked_sub(before).unwrap_or_default();
        sum.set(name, Milli(others.0.saturating_add(after.0)));
        if let Some(parent) = self.nodes[slot].parent {
            self.owe_anew(parent, name);
        }
    }
}

/// The roles above one, from the bottom up.
fn above(role: &Role) -> impl Iterator<Item = Role> {
    std::iter::successors(role.parent(), Role::parent)
}
