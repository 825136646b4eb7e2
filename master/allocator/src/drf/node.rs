//! One role of the tree.

use std::collections::BTreeSet;

use chapada_model::{Milli, Quantities, Role};

use super::{Frameworks, Rank};
use crate::RoleSlot;

/// A child in the order of its siblings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Child {
    /// The frameworks of the role itself.
    Own,
    /// A role below it.
    Role(Role),
}

/// A role, with what it and all below it hold. Only children that want something stand in the order.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Absent while only roles below it are used.
    pub(crate) slot: Option<RoleSlot>,
    /// How many used roles are here and below.
    pub(crate) roles: u32,
    pub(crate) weight: Milli,
    pub(crate) own: Quantities,
    pub(crate) own_offers: u64,
    pub(crate) subtree: Quantities,
    pub(crate) subtree_offers: u64,
    pub(crate) rank: Rank,
    pub(crate) frameworks: Frameworks,
    pub(crate) children: BTreeSet<(Rank, Child)>,
    own_rank: Rank,
}

impl Node {
    pub(crate) fn new(weight: Milli) -> Self {
        Self {
            slot: None,
            roles: 0,
            weight,
            own: Quantities::default(),
            own_offers: 0,
            subtree: Quantities::default(),
            subtree_offers: 0,
            rank: Rank::default(),
            frameworks: BTreeSet::new(),
            children: BTreeSet::new(),
            own_rank: Rank::default(),
        }
    }

    /// Puts the role's own frameworks where they belong among its children.
    pub(crate) fn place_own(&mut self, rank: Rank) {
        self.children.remove(&(self.own_rank, Child::Own));
        self.own_rank = rank;
        if !self.frameworks.is_empty() {
            self.children.insert((rank, Child::Own));
        }
    }

    /// Whether anyone in the role or below it wants something.
    pub(crate) fn wants(&self) -> bool {
        !self.children.is_empty()
    }
}
