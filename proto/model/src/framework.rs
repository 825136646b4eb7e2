//! A framework as it describes itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::{FrameworkCapability, FrameworkId, Labels, Payload, Quantities, Role, Text};

/// The longest failover timeout; more is cut to it. Ten thousand years are not a promise anyone can keep.
pub const MAX_FAILOVER_TIMEOUT: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What a framework says about itself when it subscribes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FrameworkDescription {
    /// Set when it comes back.
    pub id: Option<FrameworkId>,
    /// The user its tasks run as.
    pub user: Text,
    /// For people.
    pub name: Text,
    /// How long its tasks live on without it.
    pub failover_timeout: Duration,
    /// Whether its tasks are to survive an agent restart. Ours always do; it is only shown.
    pub checkpoint: bool,
    /// The roles it takes offers in; `*` when it named none.
    pub roles: Vec<Role>,
    /// Where its scheduler runs.
    pub hostname: Option<Text>,
    /// Who it is authenticated as.
    pub principal: Option<Text>,
    /// Where its pages are.
    pub webui_url: Option<Text>,
    /// What it can do.
    pub capabilities: BTreeSet<FrameworkCapability>,
    /// Free text for others.
    pub labels: Labels,
    /// For each role, the least it wants to be offered: any one of the list, all of its amounts. An empty list means
    /// anything; no entry means the master's own minimum.
    pub offer_filters: BTreeMap<Role, Vec<Quantities>>,
    /// The encoded `FrameworkInfo`, passed on as it came.
    pub details: Payload,
}

impl FrameworkDescription {
    /// Whether it can do this.
    pub fn can(&self, capability: FrameworkCapability) -> bool {
        self.capabilities.contains(&capability)
    }

    /// Whether it understands the finer states of absent tasks.
    pub fn is_partition_aware(&self) -> bool {
        self.can(FrameworkCapability::PartitionAware)
    }
}
