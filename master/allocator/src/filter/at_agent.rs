//! The refusals at one agent.

use std::collections::BTreeMap;
use std::sync::Arc;

use chapada_model::{Mono, Resources};

use crate::ClientSlot;
use crate::bits::Bits;

#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) refused: Arc<Resources>,
    pub(super) since: Mono,
    pub(super) until: Mono,
    /// How many declines for zero seconds came in a row.
    pub(super) holds: u32,
    /// Whether nobody refused it: an offer of it was left unanswered.
    pub(super) is_unanswered: bool,
}

/// Who has refused what of one agent.
#[derive(Clone, Debug)]
pub(super) struct AgentFilters {
    by_client: BTreeMap<ClientSlot, Filter>,
    /// At least as much as is free.
    reference: Arc<Resources>,
    /// The clients of which it is known that they refused all they could be offered of the reference.
    pub(super) withheld: Bits,
}

impl AgentFilters {
    pub(super) fn new(free: &Arc<Resources>) -> Self {
        Self { by_client: BTreeMap::new(), reference: free.clone(), withheld: Bits::default() }
    }

    pub(super) fn get(&self, client: ClientSlot) -> Option<&Filter> {
        self.by_client.get(&client)
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = ClientSlot> + '_ {
        self.by_client.keys().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_client.is_empty()
    }

    pub(super) fn insert(&mut self, client: ClientSlot, filter: Filter, free: &Arc<Resources>) {
        let refused = filter.refused.clone();
        self.by_client.insert(client, filter);
        if contains(&refused, &self.reference) {
            self.withheld.insert(client.0);
        } else if contains(&refused, free) {
            self.refer_to(free);
            self.withheld.insert(client.0);
        }
    }

    pub(super) fn remove(&mut self, client: ClientSlot) -> Option<Filter> {
        self.withheld.remove(client.0);
        self.by_client.remove(&client)
    }

    /// The refusal is over, though it may be remembered.
    pub(super) fn end(&mut self, client: ClientSlot) {
        self.withheld.remove(client.0);
    }

    pub(super) fn settle(&mut self, client: ClientSlot, free: &Arc<Resources>) {
        let Some(filter) = self.by_client.get(&client) else { return };
        if !contains(&filter.refused, &self.reference) && !is_same(&self.reference, free) {
            self.refer_to(free);
        }
        self.withheld.insert(client.0);
    }

    pub(super) fn on_free(&mut self, free: &Arc<Resources>) {
        if !contains(&self.reference, free) {
            self.refer_to(free);
        }
    }

    fn refer_to(&mut self, free: &Arc<Resources>) {
        self.reference = free.clone();
        self.withheld.clear();
    }
}

fn is_same(a: &Arc<Resources>, b: &Arc<Resources>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

fn contains(all: &Arc<Resources>, part: &Arc<Resources>) -> bool {
    Arc::ptr_eq(all, part) || all.contains(part)
}
