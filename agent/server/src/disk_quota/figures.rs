//! What was measured last, for whoever asks what containers use.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chapada_model::{ContainerId, Resource};

use super::charges::{Charge, Key};
use super::walker::Used;

/// What containers take of the disks. Empty until the first measurement.
#[derive(Debug, Default)]
pub(crate) struct Figures(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    used: HashMap<Key, Used>,
    containers: HashMap<ContainerId, Held>,
}

/// What a container has on the disks.
#[derive(Debug, Default)]
struct Held {
    quota: Option<u64>,
    members: Vec<ContainerId>,
    volumes: Vec<(PathBuf, Resource)>,
}

/// What a container takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OfContainer {
    /// What its sandbox may take, in bytes.
    pub(crate) quota: Option<u64>,
    /// What it takes; for a pod, with its tasks.
    pub(crate) used: Option<u64>,
    /// Its persistent volumes.
    pub(crate) volumes: Vec<OfVolume>,
}

/// What is in a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfVolume {
    /// As the container was given it.
    pub(crate) resource: Resource,
    /// In bytes.
    pub(crate) used: Option<u64>,
}

impl Figures {
    /// These are all there are now; what was measured of others is forgotten.
    pub(super) fn keep(&self, charges: &[Charge]) {
        let mut known = self.known();
        let keys: HashSet<&Key> = charges.iter().map(|charge| &charge.key).collect();
        known.used.retain(|key, _| keys.contains(key));
        known.containers.clear();
        for charge in charges {
            match &charge.key {
                Key::Sandbox(container) => {
                    let held = known.containers.entry(container.clone()).or_default();
                    (held.quota, held.members) = (charge.quota_bytes(), charge.members.clone());
                }
                Key::Volume(directory) => {
                    let volume = charge.quota.iter().next().map(|volume| (directory.clone(), volume.clone()));
                    for user in &charge.users {
                        known.containers.entry(user.clone()).or_default().volumes.extend(volume.clone());
                    }
                }
            }
        }
    }

    pub(super) fn note(&self, key: &Key, used: Used) {
        self.known().used.insert(key.clone(), used);
    }

    /// What was measured of a charge, once all of it was.
    pub(super) fn of(&self, charge: &Charge) -> Option<Used> {
        self.known().sum(&charge.key, &charge.members)
    }

    /// What a container takes.
    pub(crate) fn of_container(&self, container: &ContainerId) -> OfContainer {
        let known = self.known();
        let Some(held) = known.containers.get(container) else { return OfContainer::default() };
        let volume = |(directory, resource): &(PathBuf, Resource)| OfVolume {
            resource: resource.clone(),
            used: known.used.get(&Key::Volume(directory.clone())).map(|used| used.bytes),
        };
        OfContainer {
            quota: held.quota,
            used: known.sum(&Key::Sandbox(container.clone()), &held.members).map(|used| used.bytes),
            volumes: held.volumes.iter().map(volume).collect(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn sum(&self, key: &Key, members: &[ContainerId]) -> Option<Used> {
        let own = *self.used.get(key)?;
        let of_members = members.iter().filter_map(|member| self.used.get(&Key::Sandbox(member.clone())));
        Some(of_members.fold(own, |sum, one| Used {
            bytes: sum.bytes.saturating_add(one.bytes),
            names: sum.names.saturating_add(one.names),
        }))
    }
}
