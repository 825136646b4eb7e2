//! Herds, hoarders and needles in haystacks. In a debug build, so with fewer than the list names; `chapada_simulator::scale` says
//! how to run them in full.

use chapada_simulator::{Manner, Plan, Sim, scale};

use crate::{MINUTE, SECOND, pass, until};

fn holds(outcome: Result<String, String>) {
    match outcome {
        Ok(figures) => println!("{figures}"),
        Err(what) => panic!("{what}"),
    }
}

#[test]
fn scenario_24_agents_register_again_at_once() {
    holds(scale::herd(2_000));
}

#[test]
fn scenario_25_agents_with_wrong_credentials() {
    holds(scale::wrong_credentials(1_000));
}

#[test]
fn scenario_26_frameworks_subscribe_decline_and_revive_in_a_loop() {
    holds(scale::revivers(300, 5));
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
fn scenario_28_the_one_agent_with_a_gpu() {
    holds(scale::needle(1_000, 100));
}
