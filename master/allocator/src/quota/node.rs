//! The quota of one role.

use chapada_model::Milli;

use super::QuotaSlot;
use crate::{Amounts, NameSlot};

#[derive(Clone, Debug)]
pub(super) struct QuotaNode {
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
}

impl QuotaNode {
    pub(super) fn new(parent: Option<QuotaSlot>, guarantee: Amounts, limit: Vec<(NameSlot, Milli)>) -> Self {
        let none = Amounts::default;
        Self { parent, guarantee, limit, consumed: none(), owed: none(), owed_below: none() }
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
