//! Maintenance: what is said of machines is what is asked of frameworks.

use std::collections::BTreeSet;

use crate::{AgentState, Master, Violation};

pub(super) fn check(master: &Master, found: &mut Vec<Violation>) {
    let books = &master.books;
    let mut hold = |is_so: bool, what: &'static str| {
        if !is_so {
            found.push(Violation::Index(what));
        }
    };
    // One that waits for the registry is in what will be and not yet in what is.
    if master.pending.len() == 0 {
        hold(
            books.machines.iter().eq(master.registry.machines.iter()),
            "machines of the books and of the registry",
        );
    }
    let offers = books.inverse_offers.iter().map(|(id, offer)| (id, &offer.agent, &offer.framework));
    hold(offers.collect::<BTreeSet<_>>() == master.leaving.outstanding(), "inverse offers and who is asked");
    for offer in books.inverse_offers.values() {
        let is_heard = books.frameworks.get(&offer.framework).is_some_and(|f| f.stream().is_some());
        let agent = books.agents.get(&offer.agent);
        let is_there = agent.is_some_and(|agent| matches!(agent.state, AgentState::Active { .. }));
        hold(is_heard && is_there, "an inverse offer without a framework to answer or an agent to leave");
        let is_scheduled = master.unavailability_of(&offer.agent) == Some(offer.unavailability);
        hold(is_scheduled, "an inverse offer and the schedule");
    }
    for offer in books.offers.values() {
        hold(offer.unavailability == master.unavailability_of(&offer.agent), "an offer and the schedule");
    }
    for (agent, by) in &books.inverse_answers {
        hold(master.unavailability_of(agent).is_some(), "answers about an agent that stays");
        let is_known = by.keys().all(|framework| books.frameworks.contains_key(framework));
        hold(is_known && !by.is_empty(), "answers of frameworks that are gone");
    }
    let is_down = |agent: &crate::Agent| agent.is_registered() && master.is_down(&agent.description);
    hold(!books.agents.values().any(|agent| is_down(agent)), "an agent on a machine that is down");
    let is_open = |agent: &crate::Agent| {
        agent.drain.as_ref().is_some_and(|drain| !drain.is_drained)
            && !matches!(agent.state, AgentState::Gone { .. })
    };
    let open = books.agents.values().filter(|agent| is_open(agent)).map(|agent| &agent.id);
    hold(open.eq(master.draining.keys()), "agents that are draining");
    for (name, plan) in books.drains.iter().filter(|(_, plan)| plan.ended.is_none()) {
        // One whose return is not durable yet is still out of reach.
        let is_back = |id: &chapada_model::AgentId| {
            !books.agents.get(id).is_some_and(|agent| matches!(agent.state, AgentState::Admitting { .. }))
        };
        let is_on = |id: &&chapada_model::AgentId| {
            is_back(id) && books.drain_step(name, plan, id) == crate::DrainStep::Draining
        };
        let draining = plan.begun.iter().filter(is_on).count();
        hold(draining <= plan.most(), "more agents draining at once than allowed");
    }
    for (until, id) in master.removals.held() {
        let waits = books.agents.get(id).is_some_and(|agent| match agent.state {
            AgentState::Disconnected { until: since } | AgentState::Recovered { until: since } => {
                since == *until
            }
            _ => false,
        });
        hold(waits, "an agent that is held back from being given up and is not silent");
    }
    for agent in books.agents.values().filter(|agent| agent.drain.is_some()) {
        hold(agent.deactivated, "an agent that is drained and not deactivated");
    }
    for offer in books.offers.values() {
        let is_out = books.agents.get(&offer.agent).is_some_and(|agent| agent.deactivated);
        hold(!is_out, "an offer of an agent that is deactivated");
    }
    let gone = books.agents.values().filter(|agent| matches!(agent.state, AgentState::Gone { .. }));
    hold(gone.count() == master.gone.len(), "agents that are gone");
}
