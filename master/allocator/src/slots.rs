//! Small numbers that stand for ids and names while the allocator works, so that it compares numbers and not text.

use std::collections::BTreeMap;

macro_rules! slot {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl From<u32> for $name {
            fn from(slot: u32) -> Self {
                Self(slot)
            }
        }

        impl From<$name> for u32 {
            fn from(slot: $name) -> u32 {
                slot.0
            }
        }
    };
}

slot!(
    /// Stands for an agent.
    AgentSlot
);
slot!(
    /// Stands for a framework.
    FrameworkSlot
);
slot!(
    /// Stands for a role.
    RoleSlot
);
slot!(
    /// Stands for a framework in one of its roles.
    ClientSlot
);

/// Values by slot, found by key. A slot that is freed is given out again.
#[derive(Clone, Debug)]
pub(crate) struct Slots<K, S, V> {
    by_key: BTreeMap<K, S>,
    values: Vec<Option<(K, V)>>,
    free: Vec<S>,
}

impl<K: Ord + Clone, S: Copy + From<u32> + Into<u32>, V> Slots<K, S, V> {
    pub(crate) fn new() -> Self {
        Self { by_key: BTreeMap::new(), values: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn slot<Q: Ord + ?Sized>(&self, key: &Q) -> Option<S>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.by_key.get(key).copied()
    }

    /// The slot of a key, made with this value when there is none.
    pub(crate) fn ensure(&mut self, key: &K, value: impl FnOnce() -> V) -> S {
        if let Some(slot) = self.by_key.get(key) {
            return *slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.values.push(None);
            S::from(u32::try_from(self.values.len() - 1).unwrap_or(u32::MAX))
        });
        self.values[Self::index(slot)] = Some((key.clone(), value()));
        self.by_key.insert(key.clone(), slot);
        slot
    }

    pub(crate) fn remove(&mut self, slot: S) -> Option<V> {
        let (key, value) = self.values.get_mut(Self::index(slot))?.take()?;
        self.by_key.remove(&key);
        self.free.push(slot);
        Some(value)
    }

    pub(crate) fn get(&self, slot: S) -> Option<&V> {
        self.values.get(Self::index(slot))?.as_ref().map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, slot: S) -> Option<&mut V> {
        self.values.get_mut(Self::index(slot))?.as_mut().map(|(_, value)| value)
    }

    pub(crate) fn key(&self, slot: S) -> Option<&K> {
        self.values.get(Self::index(slot))?.as_ref().map(|(key, _)| key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (S, &K, &V)> {
        self.by_key.iter().filter_map(|(key, slot)| Some((*slot, key, self.get(*slot)?)))
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = S> + '_ {
        self.by_key.values().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    fn index(slot: S) -> usize {
        slot.into() as usize
    }
}
