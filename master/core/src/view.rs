//! What readers work out from a snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chapada_model::{FrameworkId, Milli, Quantities, Resources, Role, TaskId, TaskKey};

use crate::{Offer, RoleView, Snapshot, Task};

/// The smallest text that is a valid id, where the tasks of a framework begin.
const FIRST_ID: &str = " ";

impl Snapshot {
    /// The tasks of a framework that are in the books, in the order of their ids. Completed ones are apart.
    pub fn tasks_of<'a>(&'a self, framework: &'a FrameworkId) -> impl Iterator<Item = &'a Arc<Task>> {
        let first = TaskId::new(FIRST_ID).expect("a space is a valid id");
        let first = TaskKey { framework: framework.clone(), task: first };
        self.tasks.range(first..).map(|(_, task)| task).take_while(move |task| task.framework == *framework)
    }

    /// The outstanding offers of a framework. Visits all offers.
    pub fn offers_of<'a>(&'a self, framework: &'a FrameworkId) -> impl Iterator<Item = &'a Arc<Offer>> {
        self.offers.values().filter(move |offer| offer.framework == *framework)
    }

    /// What a framework's tasks and executors hold. Visits all agents for the executors.
    pub fn allocated_to(&self, framework: &FrameworkId) -> Resources {
        let tasks = self.tasks_of(framework).filter(|task| task.is_live()).map(|task| &task.resources);
        let executors = self.agents.values().flat_map(|agent| agent.executors.iter());
        let executors = executors.filter(|(key, _)| key.framework == *framework).map(|(_, e)| &e.resources);
        sum(tasks.chain(executors))
    }

    /// What a framework is offered. Visits all offers.
    pub fn offered_to(&self, framework: &FrameworkId) -> Resources {
        let offered: Vec<Resources> =
            self.offers_of(framework).map(|offer| offer.resources.unallocated()).collect();
        sum(offered.iter())
    }

    /// All roles that a framework has or that hold something, by name.
    pub fn roles(&self) -> Vec<RoleView> {
        let mut roles: BTreeMap<Role, (Quantities, Quantities, BTreeSet<FrameworkId>)> = BTreeMap::new();
        for framework in self.frameworks.values() {
            for role in &framework.description.roles {
                roles.entry(role.clone()).or_default().2.insert(framework.id.clone());
            }
        }
        for agent in self.agents.values() {
            for (resources, is_used) in [(&agent.used, true), (&agent.offered, false)] {
                for resource in resources {
                    let Some(role) = &resource.allocation_role else { continue };
                    let (used, offered, _) = roles.entry(role.clone()).or_default();
                    if let chapada_model::ResourceValue::Scalar(amount) = &resource.value {
                        if is_used { used } else { offered }.add(&resource.name, *amount);
                    }
                }
            }
        }
        for role in self.weights.keys() {
            roles.entry(role.clone()).or_default();
        }
        let view =
            |(name, (allocated, offered, frameworks)): (Role, (Quantities, Quantities, BTreeSet<_>))| {
                RoleView {
                    weight: self.weights.get(&name).copied().unwrap_or(Milli(1_000)),
                    share: self.share(&allocated, &offered),
                    name,
                    allocated,
                    offered,
                    frameworks: frameworks.into_iter().collect(),
                }
            };
        roles.into_iter().map(view).collect()
    }

    /// The largest part of any one resource of the cluster that is held or offered.
    fn share(&self, allocated: &Quantities, offered: &Quantities) -> f64 {
        let part = |(name, total): (&chapada_model::Text, Milli)| {
            let held = allocated.get(name).0.saturating_add(offered.get(name).0);
            if total.is_zero() { 0.0 } else { held as f64 / total.0 as f64 }
        };
        self.total.iter().map(part).fold(0.0, f64::max)
    }
}

/// Adds up for showing: what is there on several agents, such as a port, is shown once.
fn sum<'a>(all: impl Iterator<Item = &'a Resources>) -> Resources {
    all.fold(Resources::EMPTY, |mut sum, more| {
        for resource in more {
            sum.add_for_show(resource);
        }
        sum
    })
}
