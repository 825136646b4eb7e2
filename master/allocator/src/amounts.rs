//! Amounts as the allocator counts them: by small numbers that stand for names, so that adding up compares no text.

use std::collections::BTreeMap;

use chapada_model::{Milli, Quantities, Resource, ResourceValue, Resources, Role, Text};

use smallvec::SmallVec;

use crate::agent::{is_kept, is_open};

/// Stands for the name of a resource: `cpus`, `mem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameSlot(pub u32);

impl NameSlot {
    /// Stands for every name that no agent has: of these nobody has anything.
    pub(crate) const UNKNOWN: Self = Self(u32::MAX);
}

/// So many names take no memory of their own: CPUs, memory, disk.
const USUAL_NAMES: usize = 3;

/// Amounts by name, each above zero, in the order of the names' slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts(SmallVec<[(NameSlot, Milli); USUAL_NAMES]>);

impl Amounts {
    /// How much of a name.
    pub fn get(&self, name: NameSlot) -> Milli {
        self.0.iter().find(|(mine, _)| *mine == name).map_or(Milli::ZERO, |(_, amount)| *amount)
    }

    /// Each name with its amount.
    pub fn iter(&self) -> impl Iterator<Item = (NameSlot, Milli)> + '_ {
        self.0.iter().copied()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is something of a name that no agent has.
    pub(crate) fn has_unknown(&self) -> bool {
        self.0.last().is_some_and(|(name, _)| *name == NameSlot::UNKNOWN)
    }

    /// Whether there is as much of every name as in `other`.
    pub fn contains(&self, other: &Self) -> bool {
        other.iter().all(|(name, amount)| self.get(name) >= amount)
    }

    /// Sets one amount.
    pub fn set(&mut self, name: NameSlot, amount: Milli) {
        let at = self.0.partition_point(|(mine, _)| *mine < name);
        match self.0.get_mut(at).filter(|(mine, _)| *mine == name) {
            Some(_) if amount.is_zero() => drop(self.0.remove(at)),
            Some((_, mine)) => *mine = amount,
            None if amount.is_zero() => {}
            None => self.0.insert(at, (name, amount)),
        }
    }

    /// Puts `other` to this. Stops at the largest amount.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            self.add_one(name, amount);
        }
    }

    fn add_one(&mut self, name: NameSlot, amount: Milli) {
        match self.0.iter_mut().find(|(mine, _)| *mine == name) {
            Some((_, mine)) => *mine = Milli(mine.0.saturating_add(amount.0)),
            None => self.set(name, amount),
        }
    }

    /// Takes `other` out of this. Stops at zero.
    pub fn sub(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            self.set(name, self.get(name).checked_sub(amount).unwrap_or_default());
        }
    }
}

impl FromIterator<(NameSlot, Milli)> for Amounts {
    fn from_iter<I: IntoIterator<Item = (NameSlot, Milli)>>(pairs: I) -> Self {
        let mut sum = Self::default();
        for (name, amount) in pairs {
            sum.add_one(name, amount);
        }
        sum
    }
}

/// What resources come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) all: Amounts,
    /// The part that is neither reserved nor revocable: what quota is about.
    pub(crate) open: Amounts,
}

/// The names of resources and the slots that stand for them. A name stays once an agent or a quota had it: operators say those,
/// frameworks cannot add to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    by_name: BTreeMap<Text, NameSlot>,
    names: Vec<Text>,
}

impl Names {
    pub(crate) fn ensure(&mut self, name: &Text) -> NameSlot {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        let slot = NameSlot(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.names.push(name.clone());
        self.by_name.insert(name.clone(), slot);
        slot
    }

    pub(crate) fn slot(&self, name: &str) -> Option<NameSlot> {
        self.by_name.get(name).copied()
    }

    /// The amounts that count for whoever holds these. To use what is shared takes nothing from others, so it counts for
    /// nobody; that its disk is reserved counts for the role's quota, in use or not.
    pub(crate) fn charged(&mut self, resources: &Resources) -> Counted {
        self.count(&resources.unshared())
    }

    /// The amounts of all resources, and of those that quota is about. Ranges and sets do not count.
    pub(crate) fn count(&mut self, resources: &Resources) -> Counted {
        let mut counted = Counted::default();
        for resource in resources {
            if let ResourceValue::Scalar(amount) = resource.value {
                let name = self.ensure(&resource.name);
                counted.all.add_one(name, amount);
                if is_open(resource) {
                    counted.open.add_one(name, amount);
                }
            }
        }
        counted
    }

    /// The amounts of what an agent has, whose names are known.
    pub(crate) fn known(&self, resources: &Resources) -> Amounts {
        let known = |resource: &Resource| match resource.value {
            ResourceValue::Scalar(amount) => Some((self.slot(&resource.name)?, amount)),
            ResourceValue::Ranges(_) | ResourceValue::Set(_) => None,
        };
        resources.iter().filter_map(known).collect()
    }

    /// What quota is about of what is held, whose names are known.
    pub(crate) fn open(&self, resources: &Resources) -> Amounts {
        let open = |resource: &Resource| match resource.value {
            ResourceValue::Scalar(amount) if is_open(resource) => Some((self.slot(&resource.name)?, amount)),
            ResourceValue::Scalar(_) | ResourceValue::Ranges(_) | ResourceValue::Set(_) => None,
        };
        resources.iter().filter_map(open).collect()
    }

    pub(crate) fn name(&self, slot: NameSlot) -> Option<&Text> {
        self.names.get(slot.0 as usize)
    }

    /// The amounts reserved for each role that quota counts.
    pub(crate) fn reserved(&mut self, resources: &Resources) -> BTreeMap<Role, Amounts> {
        let mut sums: BTreeMap<Role, Amounts> = BTreeMap::new();
        for resource in resources.iter().filter(|resource| is_kept(resource)) {
            if let (Some(role), ResourceValue::Scalar(amount)) = (resource.reserved_role(), &resource.value) {
                let one = [(self.ensure(&resource.name), *amount)].into_iter().collect();
                sums.entry(role.clone()).or_default().add(&one);
            }
        }
        sums
    }

    pub(crate) fn amounts_of(&mut self, quantities: &Quantities) -> Amounts {
        quantities.iter().map(|(name, amount)| (self.ensure(name), amount)).collect()
    }

    /// The amounts that a framework asks for. All names that no agent has are one, of which there is nothing.
    pub(crate) fn asked(&self, quantities: &Quantities) -> Amounts {
        let slot = |name: &Text| self.slot(name).unwrap_or(NameSlot::UNKNOWN);
        quantities.iter().map(|(name, amount)| (slot(name), amount)).collect()
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn quantities(&self, amounts: &Amounts) -> Quantities {
        let name =
            |(slot, amount): (NameSlot, Milli)| Some((self.names.get(slot.0 as usize)?.clone(), amount));
        amounts.iter().filter_map(name).collect()
    }
}
