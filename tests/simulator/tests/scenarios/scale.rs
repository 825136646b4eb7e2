//! Herds, hoarders and needles in haystacks. In a debug build, so with fewer than the list names where it says so.

use std::time::Duration;

use chapada_simulator::{Manner, Plan, Sim};

use crate::{MINUTE, SECOND, pass, until};

#[test]
fn scenario_24_ten_thousand_agents_register_again_at_once() {
    const AGENTS: usize = 10_000;
    let plan = Plan { audit_every: 10_000, ..Plan::quiet(AGENTS, "cpus:4;mem:1024", vec![]) };
    let mut sim = Sim::new(1, plan, false);
    until(&mut sim, MINUTE, "all are registered", |sim| sim.registered() == AGENTS);
    let dials = sim.dials();
    sim.crash_leader(SECOND);
    pass(&mut sim, SECOND);
    until(&mut sim, MINUTE, "all are registered again", |sim| {
        sim.registered() == AGENTS
            && sim.books().is_some_and(|books| {
                books.counters.agent_registrations + books.counters.agent_reregistrations >= AGENTS as u64
            })
    });
    let again = sim.dials() - dials;
    assert!(again <= AGENTS as u64 * 11 / 10, "no retry amplification: {again} connections");
}

#[test]
fn scenario_26_three_hundred_frameworks_decline_and_one_is_served() {
    let mut frameworks = vec![Manner::Decliner; 300];
    frameworks.push(Manner::Keeper { tasks: 4 });
    let plan = Plan { audit_every: 500, ..Plan::quiet(3, "cpus:4;mem:1024", frameworks) };
    let mut sim = Sim::new(1, plan, false);
    until(&mut sim, 10 * SECOND, "the one has what it needs", |sim| sim.kept(300) == 4);
    let sent = sim.books().expect("someone leads").counters.offers_sent;
    pass(&mut sim, 20 * SECOND);
    let sent = sim.books().expect("someone leads").counters.offers_sent - sent;
    // Each of 300 refuses each of 3 agents for a second at least: that bounds what is sent, however they answer.
    assert!(sent <= 300 * 3 * 21, "{sent} offers in 20 s");
}

#[test]
fn scenario_27_hoarders_never_answer_and_others_reach_their_share() {
    let frameworks = vec![Manner::Silent, Manner::Silent, Manner::Keeper { tasks: 8 }];
    let mut sim = Sim::new(1, Plan::quiet(3, "cpus:4;mem:1024", frameworks), true);
    // An offer is taken back after two minutes, and then it is another's turn.
    until(&mut sim, 2 * MINUTE + 10 * SECOND, "the keeper has its share", |sim| sim.kept(2) == 8);
}

#[test]
fn scenario_28_the_one_agent_with_a_gpu_in_two_thousand() {
    let mut frameworks = vec![Manner::Greedy; 20];
    frameworks.push(Manner::Silent);
    let plan = Plan { audit_every: 2_000, ..Plan::quiet(2_000, "cpus:4;mem:1024", frameworks) };
    let mut sim = Sim::new(1, plan, false);
    sim.add_agent("cpus:4;mem:1024;gpus:1");
    until(&mut sim, MINUTE, "all are registered", |sim| sim.registered() == 2_001);
    let picky = sim.add_framework(Manner::Picky);
    until(&mut sim, SECOND, "it is subscribed", |sim| sim.framework_id(picky).is_some());
    let began = sim.now();
    until(&mut sim, SECOND, "it is offered the GPU", |sim| {
        sim.offers(picky).iter().any(|offer| !offer.resources.scalar("gpus").is_zero())
    });
    assert!(sim.now().since(began) < Duration::from_secs(1));
}
