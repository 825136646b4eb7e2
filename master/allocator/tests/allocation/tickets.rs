//! How frameworks starved under Mesos, each by the number of its ticket (`tests/README.md` has all of them).

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cluster::*;
use chapada_allocator::{Allocator, FrameworkInput, Quota};
use chapada_model::{Milli, Mono, Quantities};

fn allocator() -> Allocator {
    Allocator::new(minimum())
}

/// Ten frameworks want what is on no agent and decline what there is for five seconds, over and over.
fn served_within(frameworks: usize, time: Duration, step: Duration) -> BTreeSet<String> {
    let mut allocator = allocator();
    add(&mut allocator, "s1", "cpus:4;mem:1000");
    (0..frameworks).for_each(|n| subscribe(&mut allocator, &format!("f{n:03}"), &["*"]));
    let (mut now, mut served) = (Mono(0), BTreeSet::new());
    while now <= Mono(0) + time {
        let plan = allocator.plan(now);
        for offer in &plan.offers {
            served.insert(offer.framework.to_string());
            decline(&mut allocator, now, offer, Duration::from_secs(5));
        }
        now = now + step;
    }
    served
}

/// With an allocation each second and refusals of five, only the first five in order were ever offered anything.
#[test]
fn ticket_6111_everyone_in_order_is_offered_although_all_decline() {
    let served = served_within(100, Duration::from_secs(1), Duration::from_millis(1));
    assert_eq!(served.len(), 100, "{served:?}");
}

/// Whoever has least is first each time, and those who decline have least: others starved behind them.
#[test]
fn ticket_3202_one_that_wants_is_not_starved_by_those_that_have_less_and_decline() {
    let mut allocator = allocator();
    add(&mut allocator, "s1", "cpus:4;mem:1000");
    add(&mut allocator, "s2", "cpus:4;mem:1000");
    subscribe(&mut allocator, "wants", &["a"]);
    let first = allocator.plan(Mono(0));
    assert_eq!(offered(&first, "wants"), 8.0);
    // It keeps one agent, so its share is the largest from now on, and gives the other back.
    let back = first.offers.iter().find(|offer| offer.agent == agent("s2")).expect("both were offered");
    give_back(&mut allocator, back);
    (0..50).for_each(|n| subscribe(&mut allocator, &format!("d{n:03}"), &[&format!("r{n}")]));
    let mut now = Mono(1);
    loop {
        let plan = allocator.plan(now);
        if offered(&plan, "wants") > 0.0 {
            break;
        }
        assert!(now < Mono(0) + SECOND, "it is not offered the agent within a second");
        for offer in &plan.offers {
            decline(&mut allocator, now, offer, Duration::from_secs(5));
        }
        now = now + Duration::from_millis(1);
    }
}

/// An agent whose memory is all used had CPUs that nobody was offered, and the other way round.
#[test]
fn ticket_1688_what_an_agent_has_is_offered_without_memory_or_without_cpus() {
    let mut allocator = allocator();
    subscribe(&mut allocator, "f", &["*"]);
    add(&mut allocator, "s1", "cpus:4");
    add(&mut allocator, "s2", "mem:64");
    let plan = allocator.plan(Mono(0));
    let agents: Vec<&str> = plan.offers.iter().map(|offer| offer.agent.as_str()).collect();
    assert_eq!(agents, ["s1", "s2"]);
}

/// An offer cut to a limit could have CPUs alone. One that says what it needs of both is not offered one of them.
#[test]
fn ticket_8935_a_limit_makes_no_offers_that_a_framework_says_it_cannot_use() {
    let limit: Quantities = [("cpus", Milli::whole(8)), ("mem", Milli::whole(100))].into_iter().collect();
    let both: Quantities = [("cpus", Milli::whole(1)), ("mem", Milli::whole(32))].into_iter().collect();
    let cut = |needs: Vec<Quantities>| {
        let mut allocator = allocator();
        let limit = limit.iter().map(|(name, amount)| (name.clone(), amount)).collect();
        allocator.set_quotas([(role("a"), Some(Quota { guarantee: Quantities::default(), limit }))]);
        let minimum = needs.into_iter().map(|needs| (role("a"), vec![needs])).collect();
        let input = FrameworkInput { roles: [role("a")].into(), minimum, ..FrameworkInput::default() };
        allocator.set_framework(&framework("f"), input);
        add(&mut allocator, "s1", "cpus:4;mem:100");
        add(&mut allocator, "s2", "cpus:4;mem:100");
        allocator
            .plan(Mono(0))
            .offers
            .iter()
            .map(|o| (o.resources.cpus(), o.resources.mem()))
            .collect::<Vec<_>>()
    };
    let (all, rest) = ((Milli::whole(4), Milli::whole(100)), (Milli::whole(4), Milli::ZERO));
    assert_eq!(cut(Vec::new()), [all, rest], "CPUs alone are enough for one that says nothing");
    assert_eq!(cut(vec![both]), [all], "one that says it needs memory is not offered CPUs alone");
}

/// Offers cut to a limit cut the ports as well, until nobody had enough of them.
#[test]
fn ticket_9324_a_limit_leaves_ports_whole() {
    let mut allocator = allocator();
    allocator.set_quotas([(role("a"), quota(0, Some(1)))]);
    subscribe(&mut allocator, "f", &["a"]);
    add(&mut allocator, "s1", "cpus:4;mem:100;ports:[31000-31999]");
    let plan = allocator.plan(Mono(0));
    assert_eq!(what(&plan), [("f", "s1", 1.0)]);
    assert_eq!(plan.offers[0].resources.ports().count(), 1000);
}
