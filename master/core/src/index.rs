//! Who belongs to whom, so that nothing is searched for. Derived from the records; the audit holds it against them.

use std::collections::{BTreeMap, BTreeSet};

use chapada_model::{AgentId, FrameworkId, OfferId, OperationKey, TaskKey, Wall};

/// Sets by key; a key with an empty set is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Groups<K: Ord, V: Ord>(BTreeMap<K, BTreeSet<V>>);

impl<K: Ord, V: Ord> Default for Groups<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone, V: Ord + Clone> Groups<K, V> {
    pub(crate) fn insert(&mut self, key: &K, value: V) {
        self.0.entry(key.clone()).or_default().insert(value);
    }

    pub(crate) fn remove(&mut self, key: &K, value: &V) {
        if let Some(set) = self.0.get_mut(key) {
            set.remove(value);
            if set.is_empty() {
                self.0.remove(key);
            }
        }
    }

    /// A copy, so that the set may change while it is worked through.
    pub(crate) fn of(&self, key: &K) -> Vec<V> {
        self.0.get(key).map(|set| set.iter().cloned().collect()).unwrap_or_default()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }

    pub(crate) fn iter(&self, key: &K) -> impl DoubleEndedIterator<Item = &V> {
        self.0.get(key).into_iter().flatten()
    }

    pub(crate) fn count(&self, key: &K) -> usize {
        self.0.get(key).map_or(0, BTreeSet::len)
    }

    pub(crate) fn has(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    /// All that is in any of them, key by key.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.values().flatten()
    }
}

/// All groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) offers_by_agent: Groups<AgentId, OfferId>,
    pub(crate) offers_by_framework: Groups<FrameworkId, OfferId>,
    pub(crate) tasks_by_agent: Groups<AgentId, TaskKey>,
    /// Tasks out of reach, those that are so for longest first.
    pub(crate) unreachable_by_framework: Groups<FrameworkId, (Wall, TaskKey)>,
    pub(crate) executors_by_framework: Groups<FrameworkId, AgentId>,
    pub(crate) operations_by_agent: Groups<AgentId, OperationKey>,
    pub(crate) operations_by_framework: Groups<FrameworkId, OperationKey>,
}
