//! Frameworks that crash, fail over, stay away and come back too late.

use std::time::Duration;

use chapada_master_core::{Accept, Call, Operation};
use chapada_model::Filters;
use chapada_simulator::{Manner, Plan, Sim, Trouble};

use crate::{HOUR, MINUTE, SECOND, cluster, pass, until};

#[test]
fn scenario_14_framework_crashes_while_holding_a_thousand_offers() {
    let plan = Plan { audit_every: 200, ..Plan::quiet(1_000, "cpus:4;mem:1024", vec![Manner::Silent]) };
    let mut sim = Sim::new(1, plan, false);
    until(&mut sim, MINUTE, "it holds a thousand offers", |sim| sim.offers(0).len() == 1_000);
    sim.crash_framework(0, None);
    until(&mut sim, 2 * Sim::silence() + SECOND, "its offers are taken back", |sim| sim.offers(0).is_empty());
    let other = sim.add_framework(Manner::Keeper { tasks: 5 });
    until(&mut sim, 10 * SECOND, "another gets them", |sim| sim.kept(other) == 5);
}

#[test]
fn scenario_15_framework_fails_over_during_a_burst_of_launches() {
    let mut sim = cluster(4, vec![]);
    let keeper = sim.add_framework(Manner::Keeper { tasks: 20 });
    until(&mut sim, MINUTE, "some run", |sim| sim.running(keeper).len() > 2);
    let offers = sim.books().expect("someone leads").offers.len();
    let former = sim.take_over(keeper).expect("it was connected");
    until(&mut sim, MINUTE, "the other instance keeps all", |sim| sim.kept(keeper) == 20);
    assert_eq!(sim.running(keeper).len(), 20, "each once; {offers} offers were open");
    // The former instance uses an offer of the present one.
    let launched = sim.books().expect("someone leads").counters.launched;
    until(&mut sim, MINUTE, "there is an offer", |sim| !sim.offers(keeper).is_empty());
    let offer = sim.offers(keeper)[0].id.clone();
    let operations = vec![Operation::Launch { tasks: Vec::new() }];
    let accept = Accept { offers: vec![offer], operations, filters: Filters { refuse: Duration::ZERO } };
    sim.call_as_on(keeper, former, Call::Accept(accept));
    sim.call_as_on(keeper, former, Call::Teardown);
    pass(&mut sim, MINUTE);
    let books = sim.books().expect("someone leads");
    assert_eq!(books.counters.launched, launched, "the former instance is fenced");
    assert!(books.counters.calls_refused >= 2);
    assert_eq!(sim.kept(keeper), 20);
}

#[test]
fn scenario_16_store_fails_when_a_launch_is_to_be_written_down() {
    for trouble in [Trouble::Refuses, Trouble::AnswerLost] {
        let mut sim = cluster(2, vec![]);
        // That a launch is sent only once its intent is stored, and that nothing is launched twice, is checked at each.
        let keeper = sim.add_framework(Manner::Keeper { tasks: 6 });
        sim.trouble_store(keeper, trouble);
        until(&mut sim, MINUTE, "it runs all", |sim| sim.kept(keeper) == 6);
        assert!(sim.history.lines().any(|line| line.contains("cannot store")), "it had trouble");
        assert_eq!(sim.running(keeper).len(), 6, "each once");
        // And when an update is to be: it comes again, because it was not acknowledged.
        sim.trouble_store(keeper, trouble);
        let lost = sim.running(keeper)[0].clone();
        sim.exit_task(&lost, 1);
        until(&mut sim, 2 * MINUTE, "all run again", |sim| {
            sim.running(keeper).len() == 6 && sim.kept(keeper) == 6
        });
        assert!(sim.unsettled().is_empty());
    }
}

#[test]
fn scenario_16_the_other_order_is_found() {
    let mut sim = cluster(2, vec![]);
    let hasty = sim.add_framework(Manner::Hasty { tasks: 1 });
    sim.trouble_store(hasty, Trouble::Refuses);
    sim.run_for(MINUTE);
    let failure = sim.failure().unwrap_or_default();
    assert!(
        failure.contains("its intent is not stored"),
        "the simulator sees what the SDK forbids: {failure}"
    );
}

#[test]
fn scenario_17_failover_timeout_survives_a_failover_of_the_master() {
    let mut sim = cluster(1, vec![Manner::Scripted]);
    assert!(sim.launch_task(0, "t", "cpus:1;mem:64"));
    until(&mut sim, MINUTE, "its task runs", |sim| sim.running(0) == ["t"]);
    let id = sim.framework_id(0).expect("it was subscribed");
    sim.crash_framework(0, None);
    pass(&mut sim, 30 * MINUTE);
    sim.crash_leader(5 * SECOND);
    pass(&mut sim, 59 * MINUTE);
    assert!(sim.books().expect("someone leads").frameworks.contains_key(&id), "a new leader begins afresh");
    assert_eq!(sim.running(0), ["t"], "and its task runs on");
    until(&mut sim, 3 * MINUTE, "it is removed", |sim| {
        !sim.books().expect("someone leads").frameworks.contains_key(&id)
    });
    until(&mut sim, 10 * SECOND, "its task is ended and what it held is free", |sim| {
        sim.running(0).is_empty() && sim.unsettled().is_empty()
    });
}

#[test]
fn scenario_18_framework_comes_back_with_a_completed_id() {
    let mut sim = cluster(1, vec![Manner::Scripted]);
    assert!(sim.launch_task(0, "t", "cpus:1;mem:64"));
    until(&mut sim, MINUTE, "its task runs", |sim| sim.running(0) == ["t"]);
    sim.crash_framework(0, Some(2 * HOUR));
    pass(&mut sim, HOUR + MINUTE);
    assert!(sim.running(0).is_empty(), "it was removed");
    let dials = sim.dials();
    pass(&mut sim, 2 * HOUR);
    assert_eq!(sim.refused(0), Some("Framework has been removed"));
    assert_eq!(sim.dials(), dials + 1, "one clear word, no loop");
}
