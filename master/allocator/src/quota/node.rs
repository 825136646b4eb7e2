//! The quota of one role.

use chapada_model::{Milli, Role};

use super::QuotaSlot;
use crate::{Amounts, NameSlot};

#[derive(Clone, Debug)]
pub(super) struct QuotaNode {
    pub(super) role: Role,
    /// The next role above that has quota.
    pub(super) parent: Option<QuotaSlot>,
    guarantee: Amounts,
    limit: Vec<(NameSlot, Milli)>,
    /// What the role and all below it consume.
    pub(super) consumed: Amounts,
    /// What is owed to it and those below.
    pub(super) owed: Amounts,
    /// What is owed to the next roles below that have quota.
    pub(super) owed_below: Amounts,
    /// The limited names of which something may be on offer to the role or those below.
    pub(super) on_offer: Vec<NameSlot>,
}

impl QuotaNode {
    /// Something of each limited name may be on offer: nobody has said otherwise.
    pub(super) fn new(
        role: Role,
        parent: Option<QuotaSlot>,
        guarantee: Amounts,
        limit: Vec<(NameSlot, Milli)>,
    ) -> Self {
        let none = Amounts::default;
        let on_offer = limit.iter().map(|(name, _)| *name).collect();
        Self { role, parent, guarantee, limit, consumed: none(), owed: none(), owed_below: none(), on_offer }
    }

    /// The limited names.
    pub(super) fn limited(&self) -> Vec<NameSlot> {
        self.limit.iter().map(|(name, _)| *name).collect()
    }

    /// Whether the role and those below consume more than they may.
    pub(super) fn is_exceeded(&self, name: NameSlot) -> bool {
        self.limit.iter().any(|(mine, most)| *mine == name && self.consumed.get(name) > *most)
    }

    /// Something is offered to the role or one below it.
    pub(super) fn note_offer(&mut self, amounts: &Amounts) {
        for (name, _) in amounts.iter() {
            if self.limit.iter().any(|(mine, _)| *mine == name) && !self.on_offer.contains(&name) {
                self.on_offer.push(name);
            }
        }
    }

    /// What would be owed to the role and those below if it consumed so much less, and those below were owed so much more.
    pub(super) fn owed_with_less(&self, name: NameSlot, less: Milli, more_below: Milli) -> Milli {
        let consumed = self.consumed.get(name).checked_sub(less).unwrap_or_default();
        let own = self.guarantee.get(name).checked_sub(consumed).unwrap_or_default();
        own.max(Milli(self.owed_below.get(name).0.saturating_add(more_below.0)))
    }

    /// The names that something is guaranteed of.
    pub(super) fn names(&self) -> Vec<NameSlot> {
        self.guarantee.iter().chain(self.owed_below.iter()).map(|(name, _)| name).collect()
    }

    fn own_owed(&self, name: NameSlot) -> Milli {
        self.guarantee.get(name).checked_sub(self.consumed.get(name)).unwrap_or_default()
    }

    pub(super) fn owed_now(&self, name: NameSlot) -> Milli {
        self.own_owed(name).max(self.owed_below.get(name))
    }

    /// What is owed to the role beyond what is owed to certain roles below it.
    pub(super) fn owed_to_any(&self, name: NameSlot) -> Milli {
        self.own_owed(name).checked_sub(self.owed_below.get(name)).unwrap_or_default()
    }

    /// How much more it may have; `None` when there is no limit.
    pub(super) fn left(&self, name: NameSlot) -> Option<Milli> {
        let (_, most) = self.limit.iter().find(|(mine, _)| *mine == name)?;
        Some(most.checked_sub(self.consumed.get(name)).unwrap_or_default())
    }
}
