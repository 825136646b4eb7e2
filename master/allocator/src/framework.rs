//! A framework as the allocator sees it.

use std::collections::{BTreeMap, BTreeSet};

use chapada_model::{FrameworkCapability, FrameworkDescription, Quantities, Role};

use crate::RoleSlot;

/// What the allocator must know of a framework.
#[derive(Clone, Debug, Default)]
pub struct FrameworkInput {
    /// The roles it takes offers in.
    pub roles: BTreeSet<Role>,
    /// Those of them in which it wants none for now.
    pub suppressed: BTreeSet<Role>,
    /// What it can do.
    pub capabilities: BTreeSet<FrameworkCapability>,
    /// For each role, the least it wants to be offered: any one of the list; empty for anything.
    pub minimum: BTreeMap<Role, Vec<Quantities>>,
}

impl FrameworkInput {
    /// What matters of a description.
    pub fn new(description: &FrameworkDescription, suppressed: &BTreeSet<Role>) -> Self {
        Self {
            roles: description.roles.iter().cloned().collect(),
            suppressed: suppressed.clone(),
            capabilities: description.capabilities.clone(),
            minimum: description.offer_filters.clone(),
        }
    }
}

/// A framework in the allocator's books.
#[derive(Clone, Debug, Default)]
pub(crate) struct Framework {
    /// Absent when the framework is gone and only what it holds still counts.
    pub(crate) input: Option<FrameworkInput>,
    /// Whether it is subscribed.
    pub(crate) active: bool,
    /// Its roles, by slot.
    pub(crate) roles: BTreeMap<RoleSlot, RoleState>,
    /// What it holds, by role.
    pub(crate) charged: BTreeMap<RoleSlot, Quantities>,
}

/// A framework in one role.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoleState {
    /// Whether it wants no offers.
    pub(crate) suppressed: bool,
    /// The least it wants to be offered; absent for the master's minimum.
    pub(crate) minimum: Option<Vec<Quantities>>,
}

impl Framework {
    pub(crate) fn can(&self, capability: FrameworkCapability) -> bool {
        self.input.as_ref().is_some_and(|input| input.capabilities.contains(&capability))
    }
}
