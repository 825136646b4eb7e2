//! What the books say that quota is about: what there is, and what each role consumes of it.

use std::collections::BTreeMap;

use chapada_model::{Quantities, Resource, ResourceValue, Role};

use crate::Snapshot;

impl Snapshot {
    /// What all registered agents have, connected or not, and nobody may take back.
    pub(crate) fn capacity(&self) -> Quantities {
        let mut sum = Quantities::default();
        let registered = self.agents.values().filter(|agent| agent.is_registered());
        for resource in registered.flat_map(|agent| agent.total.iter()).filter(|resource| !resource.revocable)
        {
            add_scalar(&mut sum, resource);
        }
        sum
    }

    /// What each role and those below it consume, for those that consume anything: unreserved resources that are in use, and
    /// all that is reserved for them, in use or not. What is only on offer is not consumed.
    pub(crate) fn consumption(&self) -> BTreeMap<Role, Quantities> {
        let mut consumed: BTreeMap<Role, Quantities> = BTreeMap::new();
        for agent in self.agents.values().filter(|agent| agent.is_registered()) {
            for resource in agent.used.iter().filter(|resource| is_open(resource)) {
                if let Some(role) = &resource.allocation_role {
                    add_scalar(consumed.entry(role.clone()).or_default(), resource);
                }
            }
            for resource in agent.total.iter().filter(|resource| !resource.revocable) {
                if let Some(role) = resource.reserved_role() {
                    add_scalar(consumed.entry(role.clone()).or_default(), resource);
                }
            }
        }
        with_those_below(consumed)
    }
}

/// Whether it counts for the role that holds it: nobody's own and not to be taken back.
pub(crate) fn is_open(resource: &Resource) -> bool {
    resource.reservations.is_empty() && !resource.revocable && !resource.shared
}

fn add_scalar(sum: &mut Quantities, resource: &Resource) {
    match &resource.value {
        ResourceValue::Scalar(amount) => sum.add(&resource.name, *amount),
        ResourceValue::Ranges(_) | ResourceValue::Set(_) => {}
    }
}

/// Adds what each role has to the roles above it.
pub(crate) fn with_those_below(own: BTreeMap<Role, Quantities>) -> BTreeMap<Role, Quantities> {
    let mut all = own.clone();
    for (role, amounts) in own {
        for above in std::iter::successors(role.parent(), Role::parent) {
            let sum = all.entry(above).or_default();
            amounts.iter().for_each(|(name, amount)| sum.add(name, amount));
        }
    }
    all
}
