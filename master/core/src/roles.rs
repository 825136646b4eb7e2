//! Roles as readers see them: everyone who has one, and what it and those below it hold.

use std::collections::BTreeMap;

use chapada_model::{FrameworkId, Milli, Quantities, Resource, ResourceValue, Role};

use crate::quota::with_those_below;
use crate::{Quota, RoleView, Snapshot};

/// A role weighs so much when nobody said otherwise.
const DEFAULT_WEIGHT: Milli = Milli(1_000);

/// What each role has of one kind; those above have it too.
type Sums = BTreeMap<Role, Quantities>;

impl Snapshot {
    /// All roles that a framework has, that hold something, for which something is reserved, or to which an operator gave a
    /// weight or quota, and all roles above those, by name. Ranges and sets count by their number of items. Source: Mesos.
    pub fn roles(&self) -> Vec<RoleView> {
        let (mut allocated, mut offered, mut reserved) = (Sums::new(), Sums::new(), Sums::new());
        for agent in self.agents.values().filter(|agent| agent.is_registered()) {
            for resource in &agent.used {
                count(&mut allocated, resource.allocation_role.as_ref(), resource);
            }
            for resource in &agent.offered {
                count(&mut offered, resource.allocation_role.as_ref(), resource);
            }
            for resource in &agent.total {
                count(&mut reserved, resource.reserved_role(), resource);
            }
        }
        let mut sums = Everything {
            allocated: with_those_below(allocated),
            offered: with_those_below(offered),
            reserved: with_those_below(reserved),
            consumed: self.consumption(),
        };
        let mut roles = self.frameworks_by_role();
        for role in sums.roles().chain(self.weights.keys().cloned()).chain(self.quotas.keys().cloned()) {
            roles.entry(role).or_default();
        }
        let above: Vec<Role> =
            roles.keys().flat_map(|role| std::iter::successors(role.parent(), Role::parent)).collect();
        for role in above {
            roles.entry(role).or_default();
        }
        roles.into_iter().map(|(name, frameworks)| self.role_view(name, frameworks, &mut sums)).collect()
    }

    fn frameworks_by_role(&self) -> BTreeMap<Role, Vec<FrameworkId>> {
        let mut roles: BTreeMap<Role, Vec<FrameworkId>> = BTreeMap::new();
        for framework in self.frameworks.values() {
            for role in &framework.description.roles {
                roles.entry(role.clone()).or_default().push(framework.id.clone());
            }
        }
        roles
    }

    fn role_view(&self, name: Role, frameworks: Vec<FrameworkId>, sums: &mut Everything) -> RoleView {
        let allocated = sums.allocated.remove(&name).unwrap_or_default();
        let offered = sums.offered.remove(&name).unwrap_or_default();
        RoleView {
            weight: self.weights.get(&name).copied().unwrap_or(DEFAULT_WEIGHT),
            quota: self.quotas.get(&name).cloned().unwrap_or_else(Quota::default),
            share: self.share(&allocated, &offered),
            allocated,
            offered,
            reserved: sums.reserved.remove(&name).unwrap_or_default(),
            consumed: sums.consumed.remove(&name).unwrap_or_default(),
            frameworks,
            name,
        }
    }

    /// The largest part of any one resource of the cluster that is held or offered. Source: Ghodsi et al., NSDI 2011.
    fn share(&self, allocated: &Quantities, offered: &Quantities) -> f64 {
        let part = |(name, total): (&chapada_model::Text, Milli)| {
            let held = allocated.get(name).0.saturating_add(offered.get(name).0);
            if total.is_zero() { 0.0 } else { held as f64 / total.0 as f64 }
        };
        self.total.iter().map(part).fold(0.0, f64::max)
    }
}

struct Everything {
    allocated: Sums,
    offered: Sums,
    reserved: Sums,
    consumed: Sums,
}

impl Everything {
    fn roles(&self) -> impl Iterator<Item = Role> + '_ {
        [&self.allocated, &self.offered, &self.reserved, &self.consumed]
            .into_iter()
            .flat_map(|sums| sums.keys().cloned())
    }
}

fn count(sums: &mut Sums, role: Option<&Role>, resource: &Resource) {
    let Some(role) = role else { return };
    let amount = match &resource.value {
        ResourceValue::Scalar(amount) => *amount,
        ResourceValue::Ranges(ranges) => Milli::whole(ranges.count()),
        ResourceValue::Set(items) => Milli::whole(u64::try_from(items.len()).unwrap_or(u64::MAX)),
    };
    sums.entry(role.clone()).or_default().add(&resource.name, amount);
}
