//! A framework as the allocator sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chapada_model::{FrameworkCapability, FrameworkDescription, Mono, Quantities, Role};

use crate::{Amounts, ClientSlot, Constraints, FrameworkSlot, RoleSlot};

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
    /// For each role, which agents it wants to be offered at all; no entry for any.
    pub constraints: BTreeMap<Role, Arc<Constraints>>,
}

impl FrameworkInput {
    /// What matters of a description.
    pub fn new(description: &FrameworkDescription, suppressed: &BTreeSet<Role>) -> Self {
        Self {
            roles: description.roles.iter().cloned().collect(),
            suppressed: suppressed.clone(),
            capabilities: description.capabilities.clone(),
            minimum: description.offer_filters.clone(),
            constraints: BTreeMap::new(),
        }
    }
}

/// A framework in the allocator's books.
#[derive(Clone, Debug, Default)]
pub(crate) struct Framework {
    /// What it can do; absent when the framework is gone and only what it holds still counts.
    pub(crate) capabilities: Option<BTreeSet<FrameworkCapability>>,
    /// Whether it is subscribed.
    pub(crate) active: bool,
    /// Whether it comes after all others, and since when.
    pub(crate) late: Option<Mono>,
    /// The roles it names.
    pub(crate) roles: BTreeMap<RoleSlot, ClientSlot>,
    /// In how many roles it is known, those included in which it only holds something.
    pub(crate) clients: u32,
    /// Since when it is as it is.
    pub(crate) since: Mono,
}

/// A framework in one role, in the allocator's books.
#[derive(Clone, Debug)]
pub(crate) struct ClientRecord {
    pub(crate) role: RoleSlot,
    pub(crate) framework: FrameworkSlot,
    /// Whether the framework names the role; if not, it only holds something there.
    pub(crate) named: bool,
    /// Whether it wants no offers.
    pub(crate) suppressed: bool,
    /// The least it wants to be offered, in its own words.
    pub(crate) asked: Vec<Quantities>,
    /// The same in slots; absent for the master's minimum.
    pub(crate) minimum: Option<Vec<Amounts>>,
    /// Which agents it wants.
    pub(crate) constraints: Option<Arc<Constraints>>,
    /// Whether any agent remembers that they leave it out.
    pub(crate) leaves_out: bool,
    /// What it holds.
    pub(crate) charged: Amounts,
    /// The part of it that counts for quota: neither reserved nor revocable.
    pub(crate) open: Amounts,
    /// Since when it wants offers or does not.
    pub(crate) since: Mono,
}

impl ClientRecord {
    pub(crate) fn new((framework, role): (FrameworkSlot, RoleSlot), now: Mono) -> Self {
        Self {
            role,
            framework,
            named: false,
            suppressed: false,
            asked: Vec::new(),
            minimum: None,
            constraints: None,
            leaves_out: false,
            charged: Amounts::default(),
            open: Amounts::default(),
            since: now,
        }
    }
}

impl Framework {
    pub(crate) fn can(&self, capability: FrameworkCapability) -> bool {
        self.capabilities.as_ref().is_some_and(|can| can.contains(&capability))
    }
}
