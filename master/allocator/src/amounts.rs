//! Amounts as the allocator counts them: by small numbers that stand for names, so that adding up compares no text.

use std::collections::{BTreeMap, BTreeSet};

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

/// So many names at least must have come since names were last forgotten before it is done again.
const FORGET_AFTER: usize = 256;

/// The names of resources and the slots that stand for them. Agents and quotas add to them, frameworks do not. There are never
/// more than twice as many as were in use when names were last forgotten, and [`FORGET_AFTER`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    by_name: BTreeMap<Text, NameSlot>,
    names: Vec<Option<Text>>,
    free: Vec<NameSlot>,
    /// How many were in use when names were last forgotten.
    kept: usize,
}

impl Names {
    pub(crate) fn ensure(&mut self, name: &Text) -> NameSlot {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.names.push(None);
            NameSlot(u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX))
        });
        if let Some(place) = self.names.get_mut(slot.0 as usize) {
            *place = Some(name.clone());
        }
        self.by_name.insert(name.clone(), slot);
        slot
    }

    /// Whether there are so many that it is worth a look which of them are in use.
    pub(crate) fn has_many(&self) -> bool {
        self.by_name.len() >= self.kept.saturating_mul(2).max(self.kept + FORGET_AFTER)
    }

    /// Forgets all others.
    pub(crate) fn keep(&mut self, in_use: &BTreeSet<NameSlot>) {
        let Self { by_name, names, free, kept } = self;
        by_name.retain(|_, slot| {
            let stays = in_use.contains(slot);
            if !stays && let Some(place) = names.get_mut(slot.0 as usize) {
                *place = None;
                free.push(*slot);
            }
            stays
        });
        *kept = by_name.len();
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
        self.names.get(slot.0 as usize)?.as_ref()
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
        self.by_name.len()
    }

    pub(crate) fn quantities(&self, amounts: &Amounts) -> Quantities {
        let name = |(slot, amount): (NameSlot, Milli)| Some((self.name(slot)?.clone(), amount));
        amounts.iter().filter_map(name).collect()
    }
}
