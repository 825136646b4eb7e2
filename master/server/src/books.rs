//! Questions that several readers put to the books.

use std::collections::BTreeMap;
use std::sync::Arc;

use chapada_master_core::{RoleView, Snapshot, Task};
use chapada_model::{FrameworkId, Milli, Quantities, ResourceValue, Role, TaskId, TaskKey};

/// The tasks of one framework that are not completed, by id.
pub(crate) fn tasks_of<'a>(
    books: &'a Snapshot,
    framework: &FrameworkId,
) -> impl Iterator<Item = &'a Arc<Task>> + use<'a> {
    // No id sorts before this one: it is the smallest that can be.
    let first: TaskId =
        "\u{20}".parse().unwrap_or_else(|_| "!".parse().expect("a printable character is an id"));
    let from = TaskKey { framework: framework.clone(), task: first };
    let framework = framework.clone();
    books.tasks.range(from..).map(|(_, task)| task).take_while(move |task| task.framework == framework)
}

/// All tasks the books remember, live ones first.
pub(crate) fn all_tasks(books: &Snapshot) -> impl Iterator<Item = &Arc<Task>> {
    books.tasks.values().chain(books.completed_tasks.values().flatten())
}

/// A task, live or completed.
pub(crate) fn task<'a>(books: &'a Snapshot, key: &TaskKey) -> Option<&'a Arc<Task>> {
    books.tasks.get(key).or_else(|| {
        let completed = books.completed_tasks.get(&key.framework)?;
        completed.iter().rev().find(|task| task.description.id == key.task)
    })
}

/// Every role that a framework subscribes to, a task holds resources for, or an operator has weighted.
pub(crate) fn roles(books: &Snapshot) -> Vec<RoleView> {
    let mut roles: BTreeMap<Role, RoleView> = BTreeMap::new();
    for framework in books.frameworks.values() {
        for role in &framework.description.roles {
            entry(&mut roles, role).frameworks.push(framework.id.clone());
        }
    }
    for (role, weight) in &books.weights {
        entry(&mut roles, role).weight = *weight;
    }
    for agent in books.agents.values().filter(|agent| agent.is_registered()) {
        for (resources, offered) in [(&agent.used, false), (&agent.offered, true)] {
            for resource in resources {
                let Some(role) = &resource.allocation_role else { continue };
                // Source: Mesos counts ports and the like.
                let amount = match &resource.value {
                    ResourceValue::Scalar(amount) => *amount,
                    ResourceValue::Ranges(ranges) => Milli::whole(ranges.count()),
                    ResourceValue::Set(items) => Milli::whole(items.len() as u64),
                };
                let view = entry(&mut roles, role);
                let sum = if offered { &mut view.offered } else { &mut view.allocated };
                sum.add(&resource.name, amount);
            }
        }
    }
    for view in roles.values_mut() {
        view.share = dominant_share(view, &books.total);
    }
    roles.into_values().collect()
}

fn entry<'a>(roles: &'a mut BTreeMap<Role, RoleView>, role: &Role) -> &'a mut RoleView {
    roles.entry(role.clone()).or_insert_with(|| RoleView {
        name: role.clone(),
        weight: Milli::whole(1),
        share: 0.0,
        allocated: Quantities::default(),
        offered: Quantities::default(),
        frameworks: Vec::new(),
    })
}

/// Source: a dominant share counts what is allocated or offered (Ghodsi et al., NSDI 2011).
fn dominant_share(view: &RoleView, total: &Quantities) -> f64 {
    let shares = total.iter().filter(|(_, total)| !total.is_zero()).map(|(name, total)| {
        let held = view.allocated.get(name).0.saturating_add(view.offered.get(name).0);
        held as f64 / total.0 as f64
    });
    shares.fold(0.0, f64::max)
}
