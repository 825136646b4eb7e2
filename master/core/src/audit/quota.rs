//! I1 for roles that have quota: what is counted is what is held, and no offer stands above a limit.
//!
//! A limit may be lowered below what is in use, and agents may come back with more than there should be: then a role is above
//! its limit until tasks end. What must never be is an offer to it meanwhile.

use std::collections::BTreeMap;

use chapada_model::{Quantities, Resources, Role};

use crate::pending::Pending;
use crate::quota::{MAX_QUOTAS, is_open, with_those_below};
use crate::weights::MAX_WEIGHTS;
use crate::{Master, Violation};

type Sums = BTreeMap<Role, Quantities>;

pub(super) fn check(master: &Master, found: &mut Vec<Violation>) {
    check_places(master, found);
    if master.books.quotas.is_empty() {
        return;
    }
    let (mut consumed, mut offered) = (Sums::new(), Sums::new());
    for (role, resources) in held(master) {
        count(&mut consumed, role, resources);
    }
    for offer in master.books.offers.values() {
        count(&mut consumed, &offer.role, &offer.resources);
        count(&mut offered, &offer.role, &offer.resources);
    }
    for agent in master.books.agents.values() {
        for resource in agent.total.iter().filter(|resource| !resource.revocable) {
            if let (Some(role), Ok(one)) =
                (resource.reserved_role(), Resources::from_list([resource.clone()]))
            {
                add(&mut consumed, role, &Quantities::from(&one));
            }
        }
    }
    let (consumed, offered) = (with_those_below(consumed), with_those_below(offered));
    let (none, books) = (Quantities::default(), &master.books);
    for (role, quota) in &books.quotas {
        let consumed = consumed.get(role).unwrap_or(&none);
        let offered = offered.get(role).unwrap_or(&none);
        let counted = master.allocator.consumed(role).unwrap_or_default();
        if !(counted.contains(consumed) && consumed.contains(&counted)) {
            let (held, counted) = (consumed.to_string(), counted.to_string());
            found.push(Violation::Quota { role: role.clone(), held, counted });
        }
        for (name, most) in &quota.limit {
            if consumed.get(name) > *most && !offered.get(name).is_zero() {
                let (consumed, limit) = (consumed.to_string(), format!("{name}:{most}"));
                found.push(Violation::Limit { role: role.clone(), consumed, limit });
            }
        }
    }
}

/// The books, the allocator and the registry say the same, as far as nothing is on its way.
fn check_places(master: &Master, found: &mut Vec<Violation>) {
    let books = &master.books;
    if !master.allocator.quotas().eq(books.quotas.iter()) {
        found.push(Violation::Index("quotas of the books and of the allocator"));
    }
    let waits = |pending: &Pending| matches!(pending, Pending::Quotas(_) | Pending::Weights(_));
    if !master.pending.iter().any(waits) {
        if !books.quotas.iter().eq(master.registry.quotas.iter()) {
            found.push(Violation::Index("quotas of the books and of the registry"));
        }
        if !books.weights.iter().eq(master.registry.weights.iter()) {
            found.push(Violation::Index("weights of the books and of the registry"));
        }
    }
    let bounds = [
        ("quotas", master.registry.quotas.len(), MAX_QUOTAS),
        ("weights", master.registry.weights.len(), MAX_WEIGHTS),
    ];
    for (what, size, bound) in bounds {
        if size > bound {
            found.push(Violation::Bound { what, size, bound });
        }
    }
}

/// What is held and no offer, piece by piece.
fn held(master: &Master) -> impl Iterator<Item = (&Role, &Resources)> {
    let books = &master.books;
    let tasks = books.tasks.values().filter(|task| task.is_live()).map(|task| (&task.role, &task.resources));
    let executors = books.agents.values().flat_map(|agent| agent.executors.values());
    let executors = executors.map(|executor| (&executor.role, &executor.resources));
    let strays = books.agents.values().flat_map(|agent| agent.strays.values());
    let strays = strays.map(|stray| (&stray.role, &stray.resources));
    let operations = books.operations.values().map(|operation| (&operation.role, &operation.holds));
    tasks.chain(executors).chain(strays).chain(operations)
}

fn count(sums: &mut Sums, role: &Role, resources: &Resources) {
    add(sums, role, &Quantities::from(&resources.filter(is_open)));
}

fn add(sums: &mut Sums, role: &Role, amounts: &Quantities) {
    let sum = sums.entry(role.clone()).or_default();
    amounts.iter().for_each(|(name, amount)| sum.add(name, amount));
}
