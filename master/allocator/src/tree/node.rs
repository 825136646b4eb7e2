//! One role of the tree, and who stands in it.

use std::collections::BTreeSet;

use chapada_model::{Milli, Role};

use super::{DEFAULT_WEIGHT, Rank};
use crate::{Amounts, ClientSlot, FrameworkSlot, RoleSlot};

/// Stands for a role of the tree, used or only above a used one.
pub(crate) type NodeSlot = usize;

/// The root, which is no role: its children are the roles at the top.
pub(crate) const ROOT: NodeSlot = 0;

/// A child in the order of its siblings. Equals are served by name, as in Mesos.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Child {
    /// The frameworks of the role itself.
    Own,
    /// A role below it.
    Role(Role, NodeSlot),
}

/// Frameworks of one role in order.
pub(crate) type Frameworks = BTreeSet<(Rank, (FrameworkSlot, ClientSlot))>;

/// What someone holds, and the place that it gives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holding {
    pub(crate) amounts: Amounts,
    pub(crate) offers: u64,
    pub(crate) rank: Rank,
    /// Whether it stands in the order.
    pub(crate) stands: bool,
}

/// A role, with what it and all below it hold. Only children that want something stand in the order.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Absent at the root.
    pub(crate) role: Option<Role>,
    /// Absent while only roles below it are used.
    pub(crate) slot: Option<RoleSlot>,
    pub(crate) parent: Option<NodeSlot>,
    /// How many used roles are here and below.
    pub(crate) roles: u32,
    pub(crate) weight: Milli,
    pub(crate) own: Holding,
    pub(crate) subtree: Holding,
    pub(crate) frameworks: Frameworks,
    pub(crate) children: BTreeSet<(Rank, Child)>,
}

impl Node {
    pub(crate) fn new(role: Option<Role>, parent: Option<NodeSlot>) -> Self {
        Self {
            role,
            slot: None,
            parent,
            roles: 0,
            weight: DEFAULT_WEIGHT,
            own: Holding::default(),
            subtree: Holding::default(),
            frameworks: BTreeSet::new(),
            children: BTreeSet::new(),
        }
    }
}

/// Moves an entry of an order to where `rank` has it, or out when it does not want to stand there.
pub(crate) fn place<K: Ord>(
    order: &mut BTreeSet<(Rank, K)>,
    holding: &mut Holding,
    (rank, stands): (Rank, bool),
    key: K,
) {
    let mut entry = (holding.rank, key);
    if holding.stands {
        order.remove(&entry);
    }
    entry.0 = rank;
    (holding.rank, holding.stands) = (rank, stands);
    if stands {
        order.insert(entry);
    }
}
