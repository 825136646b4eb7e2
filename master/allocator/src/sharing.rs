//! What several may use at once: each may be offered it while others are, but nobody the same twice at a time.

use std::collections::BTreeMap;

use chapada_model::{AgentId, FrameworkId, Resource, Resources, Role};

use crate::{AgentSlot, Allocator, ClientSlot};

/// What is shared and in outstanding offers: to whom, and of which agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sharing(BTreeMap<(ClientSlot, AgentSlot), Resources>);

impl Sharing {
    /// Whether it is in an outstanding offer to the client.
    pub(crate) fn has(&self, at: (ClientSlot, AgentSlot), shared: &Resource) -> bool {
        self.0.get(&at).is_some_and(|offered| offered.iter().any(|known| known == shared))
    }

    pub(crate) fn insert(&mut self, at: (ClientSlot, AgentSlot), offered: &Resources) {
        let shared = offered.shared();
        if !shared.is_empty() {
            // No conflict: what is on offer to a client is not offered to it again.
            drop(self.0.entry(at).or_default().share(&shared));
        }
    }

    fn remove(&mut self, at: (ClientSlot, AgentSlot), offered: &Resources) {
        let Some(known) = self.0.get_mut(&at) else { return };
        *known = known.filter(|resource| !offered.iter().any(|ended| ended == resource));
        if known.is_empty() {
            self.0.remove(&at);
        }
    }

    pub(crate) fn forget_agent(&mut self, agent: AgentSlot) {
        self.0.retain(|(_, other), _| *other != agent);
    }

    pub(crate) fn forget_client(&mut self, client: ClientSlot) {
        self.0.retain(|(other, _), _| *other != client);
    }
}

impl Allocator {
    /// An offer to the framework in this role, which had these resources, is no longer outstanding. What of them is shared
    /// may be offered to it again.
    pub fn unshare(&mut self, at: (&FrameworkId, &Role, &AgentId), offered: &Resources) {
        let (framework, role, agent) = at;
        let client = self.frameworks.slot(framework).and_then(|slot| self.find_client(slot, role));
        if let (Some(client), Some(slot)) = (client, self.agents.slot(agent)) {
            self.sharing.remove((client.slot, slot), &offered.unallocated().shared());
        }
    }

    /// In how many offers something is shared, for the audit.
    pub fn sharing(&self) -> usize {
        self.sharing.0.len()
    }
}
