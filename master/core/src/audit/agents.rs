//! I1 and I2: the sums at each agent.

use std::collections::BTreeMap;

use chapada_model::{AgentId, Resources, Role};

use crate::{Agent, Master, Violation};

/// What each agent's records say is held, piece by piece.
type Pieces<'a> = BTreeMap<&'a AgentId, Vec<(&'a Role, &'a Resources)>>;

pub(super) fn check(master: &Master, found: &mut Vec<Violation>) {
    let mut tasks: Pieces<'_> = BTreeMap::new();
    let mut counts: BTreeMap<&AgentId, u32> = BTreeMap::new();
    for task in master.books.tasks.values().filter(|task| task.is_live()) {
        tasks.entry(&task.agent).or_default().push((&task.role, &task.resources));
        *counts.entry(&task.agent).or_default() += 1;
    }
    for operation in master.books.operations.values().filter(|operation| !operation.holds.is_empty()) {
        tasks.entry(&operation.agent).or_default().push((&operation.role, &operation.holds));
    }
    let mut offers: Pieces<'_> = BTreeMap::new();
    for offer in master.books.offers.values() {
        offers.entry(&offer.agent).or_default().push((&offer.role, &offer.resources));
    }
    for (id, agent) in &master.books.agents {
        let mut used = tasks.remove(id).unwrap_or_default();
        used.extend(agent.executors.values().map(|executor| (&executor.role, &executor.resources)));
        used.extend(agent.strays.values().map(|stray| (&stray.role, &stray.resources)));
        let offered = offers.remove(id).unwrap_or_default();
        check_agent(agent, &used, &offered, found);
        check_allocator(master, agent, found);
        if counts.get(id).copied().unwrap_or_default() != agent.tasks {
            found.push(Violation::Index("number of an agent's tasks"));
        }
    }
    let sharing: std::collections::BTreeSet<_> = master
        .books
        .offers
        .values()
        .filter(|offer| offer.resources.iter().any(|resource| resource.shared))
        .map(|offer| (&offer.framework, &offer.role, &offer.agent))
        .collect();
    if sharing.len() != master.allocator.sharing() {
        found.push(Violation::Index("what is shared and on offer"));
    }
    if !tasks.is_empty() || !offers.is_empty() {
        found.push(Violation::Index("tasks or offers of an agent that is not there"));
    }
}

fn check_agent(
    agent: &Agent,
    used: &[(&Role, &Resources)],
    offered: &[(&Role, &Resources)],
    found: &mut Vec<Violation>,
) {
    let id = agent.id.clone();
    let (Some(used), Some(offered)) = (total(&id, used, found), total(&id, offered, found)) else { return };
    if used != agent.used {
        let (held, books) = (used.to_string(), agent.used.to_string());
        found.push(Violation::Used { agent: id.clone(), held, books });
    }
    if offered != agent.offered {
        let (held, books) = (offered.to_string(), agent.offered.to_string());
        found.push(Violation::Offered { agent: id.clone(), held, books });
    }
    check_shared(agent, &used, &offered, found);
    let plain = |sum: &Resources| sum.unallocated().unshared().into_owned();
    let parts =
        plain(&agent.free).checked_add(&plain(&used)).and_then(|sum| sum.checked_add(&plain(&offered)));
    let whole = plain(&agent.total).checked_add(&plain(&agent.overcommit));
    match (parts, whole) {
        (Ok(parts), Ok(whole)) if parts == whole => {}
        (Ok(parts), Ok(whole)) => {
            let (parts, whole) = (parts.to_string(), whole.to_string());
            found.push(Violation::Sum { agent: id, parts, whole });
        }
        (Err(error), _) | (_, Err(error)) => {
            found.push(Violation::Twice { agent: id, what: error.to_string() })
        }
    }
}

/// What is shared is free as often as it is there: once. Whoever has it has something that is there, or was lost.
fn check_shared(agent: &Agent, used: &Resources, offered: &Resources, found: &mut Vec<Violation>) {
    let shared = |sum: &Resources| sum.unallocated().filter(|resource| resource.shared);
    let (free, total, lost) = (shared(&agent.free), shared(&agent.total), shared(&agent.overcommit));
    let (used, offered) = (shared(used).shared(), shared(offered).shared());
    let stray = used.iter().chain(&offered).find(|one| !total.iter().chain(&lost).any(|there| there == *one));
    let unused = lost.iter().find(|one| !used.iter().any(|user| user == *one));
    if free != total || total != total.shared() || stray.is_some() || unused.is_some() {
        found.push(Violation::Shared {
            agent: agent.id.clone(),
            what: format!("{free} is free of {total}, {lost} lost; {used} is used, {offered} offered"),
        });
    }
}

/// Adds pieces up, each allocated to its role. What cannot be added, even across roles, is held twice.
fn total(id: &AgentId, pieces: &[(&Role, &Resources)], found: &mut Vec<Violation>) -> Option<Resources> {
    let (mut sum, mut plain) = (Resources::EMPTY, Resources::EMPTY);
    for (role, resources) in pieces {
        let added = plain.add(&resources.unallocated()).and_then(|()| sum.add(&resources.allocated_to(role)));
        if let Err(error) = added {
            found.push(Violation::Twice { agent: id.clone(), what: error.to_string() });
            return None;
        }
    }
    Some(sum)
}

fn check_allocator(master: &Master, agent: &Agent, found: &mut Vec<Violation>) {
    match master.allocator.free(&agent.id) {
        Some(free) if *free == agent.free => {}
        None if agent.total.is_empty() => {}
        Some(_) | None => found.push(Violation::Free { agent: agent.id.clone() }),
    }
}
