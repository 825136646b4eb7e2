//! Resources that many tasks have alike, stored once: those of one framework mostly ask for the same.

use std::hash::{DefaultHasher, Hash, Hasher};

use chapada_model::{Resource, ResourceValue, Resources};

/// How many are remembered. What comes to the place of another takes it; only memory is lost then.
const PLACES: usize = 256;

/// The resources that came last.
#[derive(Debug)]
pub(crate) struct Interned(Vec<Resources>);

impl Default for Interned {
    fn default() -> Self {
        Self(vec![Resources::EMPTY; PLACES])
    }
}

impl Interned {
    /// The same resources, shared with equal ones that came before. Only amounts are: ports and volumes of different tasks
    /// differ.
    pub(crate) fn share(&mut self, resources: Resources) -> Resources {
        if !are_amounts(&resources) {
            return resources;
        }
        let place = &mut self.0[place_of(&resources)];
        if *place != resources {
            *place = resources;
        }
        place.clone()
    }
}

/// Whether these are so much of something each, and nothing that only one can have: they add up.
pub(crate) fn are_amounts(resources: &Resources) -> bool {
    let is_amount =
        |resource: &Resource| matches!(resource.value, ResourceValue::Scalar(_)) && resource.disk.is_none();
    resources.iter().all(is_amount)
}

fn place_of(resources: &Resources) -> usize {
    let mut hasher = DefaultHasher::new();
    for resource in resources {
        (&resource.name, &resource.value, &resource.allocation_role).hash(&mut hasher);
    }
    // The remainder is far below what any usize holds.
    (hasher.finish() % PLACES as u64) as usize
}

#[cfg(test)]
mod tests {
    use chapada_model::Milli;

    use super::*;

    fn cpus(milli: u64) -> Resources {
        Resources::from_list([Resource::scalar("cpus", Milli(milli))]).unwrap()
    }

    /// Entries that are the same memory.
    fn are_one(one: &Resources, other: &Resources) -> bool {
        std::ptr::eq(one.iter().as_slice(), other.iter().as_slice())
    }

    #[test]
    fn equal_amounts_are_stored_once() {
        let mut interned = Interned::default();
        let (one, other) = (interned.share(cpus(500)), interned.share(cpus(500)));
        assert!(are_one(&one, &other));
        assert_eq!(interned.share(cpus(501)), cpus(501));
    }

    #[test]
    fn no_number_of_different_amounts_makes_it_grow_or_confuses_it() {
        let mut interned = Interned::default();
        for milli in 1..10_000 {
            assert_eq!(interned.share(cpus(milli)), cpus(milli));
        }
        assert_eq!(interned.0.len(), PLACES);
    }
}
