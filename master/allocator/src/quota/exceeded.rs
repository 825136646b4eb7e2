//! Limits that were passed although no plan passes one: lowered below what is consumed, or an agent came back with more.

use chapada_model::{Role, Text};

use super::{QuotaSlot, Quotas};
use crate::{Allocator, Amounts, NameSlot};

impl Allocator {
    /// The next role that consumes more of a name than its limit while something of it may be on offer to the role or to one
    /// below it. Give such offers back as long as [`is_exceeded`](Self::is_exceeded), and say when there are no more
    /// ([`nothing_on_offer`](Self::nothing_on_offer)). Every role and name comes once for each time that this happens.
    pub fn take_exceeded(&mut self) -> Option<(Role, Text)> {
        while let Some((slot, name)) = self.quotas.exceeded.pop_first() {
            let node = self.quotas.nodes.get(slot).filter(|node| node.is_exceeded(name));
            if let (Some(node), Some(name)) = (node, self.names.name(name)) {
                return Some((node.role.clone(), name.clone()));
            }
        }
        None
    }

    /// Whether a role and those below consume more of a name than the role's own limit.
    pub fn is_exceeded(&self, role: &Role, name: &str) -> bool {
        let slot = self.quotas.by_role.get(role);
        let node = slot.and_then(|slot| self.quotas.nodes.get(*slot));
        self.names.slot(name).is_some_and(|name| node.is_some_and(|node| node.is_exceeded(name)))
    }

    /// Nothing of a name is on offer to the role and those below, until a plan says otherwise.
    pub fn nothing_on_offer(&mut self, role: &Role, name: &str) {
        let slot = self.quotas.by_role.get(role).copied();
        let node = slot.and_then(|slot| self.quotas.nodes.get_mut(slot));
        if let (Some(node), Some(name)) = (node, self.names.slot(name)) {
            node.on_offer.retain(|mine| *mine != name);
        }
    }
}

impl Quotas {
    /// A plan gives so much to a role.
    pub(crate) fn note_offer(&mut self, path: &[QuotaSlot], amounts: &Amounts) {
        for slot in path {
            if let Some(node) = self.nodes.get_mut(*slot) {
                node.note_offer(amounts);
            }
        }
    }

    pub(super) fn note_exceeded(&mut self, slot: QuotaSlot, name: NameSlot) {
        let node = self.nodes.get(slot);
        if node.is_some_and(|node| node.on_offer.contains(&name) && node.is_exceeded(name)) {
            self.exceeded.insert((slot, name));
        }
    }

    pub(super) fn note_all_exceeded(&mut self) {
        for slot in 0..self.nodes.len() {
            for name in self.nodes[slot].limited() {
                self.note_exceeded(slot, name);
            }
        }
    }
}
