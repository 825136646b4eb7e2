//! Who is offered what, and what is said to those who are not.

use std::collections::BTreeSet;
use std::time::Duration;

use chapada_allocator::{Allocator, FrameworkInput, Plan, Why, WhyKind};
use chapada_model::{Milli, Mono, Role};

use crate::cluster::*;

fn allocator() -> Allocator {
    Allocator::new(minimum())
}

fn who(plan: &Plan) -> Vec<(&str, &str)> {
    plan.offers.iter().map(|offer| (offer.framework.as_str(), offer.agent.as_str())).collect()
}

#[test]
fn the_smaller_share_is_served_first() {
    let mut allocator = allocator();
    subscribe(&mut allocator, "big", &["a"]);
    subscribe(&mut allocator, "small", &["b"]);
    allocator.charge(&framework("big"), &role("a"), &resources("cpus:3"));
    allocator.charge(&framework("small"), &role("b"), &resources("cpus:1"));
    add(&mut allocator, "s1", "cpus:4;mem:100");
    add(&mut allocator, "s2", "cpus:4;mem:100");
    assert_eq!(who(&allocator.plan(Mono(0))), [("small", "s1"), ("big", "s2")]);
    assert!(!allocator.is_dirty());
    assert_eq!(allocator.plan(Mono(1)).considered, 0, "nothing has changed");
}

#[test]
fn weights_and_the_tree_of_roles_count() {
    let mut allocator = allocator();
    subscribe(&mut allocator, "db", &["eng/db"]);
    subscribe(&mut allocator, "web", &["eng/web"]);
    subscribe(&mut allocator, "ops", &["ops"]);
    allocator.set_weight(&role("eng"), Milli::whole(4));
    add(&mut allocator, "s0", "cpus:100");
    allocator.set_agent_active(&agent("s0"), false);
    allocator.charge(&framework("ops"), &role("ops"), &resources("cpus:10"));
    allocator.charge(&framework("db"), &role("eng/db"), &resources("cpus:20"));
    allocator.charge(&framework("web"), &role("eng/web"), &resources("cpus:10"));
    for name in ["s1", "s2", "s3"] {
        add(&mut allocator, name, "cpus:20");
    }
    // eng has 30 at weight 4, ops 10 at weight 1: eng first, and in it web, which has less; then all stand level.
    let plan = allocator.plan(Mono(0));
    assert_eq!(who(&plan)[0], ("web", "s1"));
    assert_eq!(who(&plan)[1], ("ops", "s2"));
    assert_eq!(who(&plan)[2], ("db", "s3"));
}

/// `mixed` has most of the memory, `busy` most of the CPUs, and more of both together.
fn two_with_different_needs() -> Allocator {
    let mut allocator = allocator();
    subscribe(&mut allocator, "mixed", &["a"]);
    subscribe(&mut allocator, "busy", &["b"]);
    allocator.charge(&framework("mixed"), &role("a"), &resources("cpus:3;mem:12000"));
    allocator.charge(&framework("busy"), &role("b"), &resources("cpus:5;mem:9000"));
    allocator.add_agent(&agent("s1"), &resources("cpus:9;mem:18000"), resources("cpus:1"));
    allocator
}

#[test]
fn the_dominant_share_counts_and_not_the_sum() {
    // 12 of 18 against 5 of 9, though 3/9 + 12/18 is less than 5/9 + 9/18.
    assert_eq!(who(&two_with_different_needs().plan(Mono(0))), [("busy", "s1")]);
}

#[test]
fn what_is_left_out_of_shares_makes_nobody_wait() {
    let mut allocator = two_with_different_needs();
    allocator.exclude_from_shares([chapada_model::Text::from("mem")].into());
    assert_eq!(who(&allocator.plan(Mono(0))), [("mixed", "s1")], "3 of 9 CPUs against 5");
}

#[test]
fn a_weight_counts_from_when_it_is_said() {
    let mut allocator = two_with_different_needs();
    allocator.plan(Mono(0)).offers.iter().for_each(|offer| give_back(&mut allocator, offer));
    allocator.set_weight(&role("a"), Milli::whole(2));
    assert_eq!(who(&allocator.plan(Mono(1))), [("mixed", "s1")], "12 of 18 halved");
}

#[test]
fn reservations_go_to_their_role_and_those_below() {
    let mut allocator = allocator();
    subscribe(&mut allocator, "other", &["web"]);
    subscribe(&mut allocator, "ops", &["ops/db"]);
    allocator.charge(&framework("ops"), &role("ops/db"), &resources("cpus:1"));
    add(&mut allocator, "s1", "cpus:4;mem:100;cpus(ops):2");
    let plan = allocator.plan(Mono(0));
    assert_eq!(who(&plan), [("other", "s1"), ("ops", "s1")]);
    assert_eq!(*plan.offers[0].resources, resources("cpus:4;mem:100"));
    assert_eq!(*plan.offers[1].resources, resources("cpus(ops):2"));
}

#[test]
fn a_refusal_holds_until_its_end_and_is_the_reason_given() {
    let mut allocator = allocator();
    subscribe(&mut allocator, "f", &["*"]);
    add(&mut allocator, "s1", "cpus:4");
    let plan = allocator.plan(Mono(0));
    decline(&mut allocator, Mono(0), &plan.offers[0], 5 * SECOND);
    let plan = allocator.plan(Mono(1));
    assert!(plan.offers.is_empty());
    assert_eq!(plan.skipped[&framework("f")][&WhyKind::Filtered], 1);
    let until = Mono(0) + 5 * SECOND;
    assert_eq!(
        allocator.explain(Mono(1), &framework("f"), &agent("s1")),
        [(Role::star(), Some(Why::FilteredUntil(until)))]
    );
    assert_eq!(allocator.next_expiry(), Some(until));
    assert_eq!(allocator.plan(until).offers.len(), 1);
}

#[test]
fn revive_forgets_refusals_and_suppress_ends_offers() {
    let mut allocator = allocator();
    let all: BTreeSet<Role> = [Role::star()].into();
    subscribe(&mut allocator, "f", &["*"]);
    add(&mut allocator, "s1", "cpus:4");
    let plan = allocator.plan(Mono(0));
    decline(&mut allocator, Mono(0), &plan.offers[0], 5 * SECOND);
    allocator.revive(&framework("f"), &all);
    let plan = allocator.plan(Mono(1));
    assert_eq!(plan.offers.len(), 1);
    decline(&mut allocator, Mono(0), &plan.offers[0], Duration::ZERO);
    allocator.suppress(&framework("f"), &all);
    let plan = allocator.plan(Mono(0) + 2 * SECOND);
    assert!(plan.offers.is_empty());
    assert_eq!(plan.skipped[&framework("f")][&WhyKind::Suppressed], 1);
}

#[test]
fn too_little_is_not_offered_unless_the_framework_takes_it() {
    let mut allocator = allocator();
    subscribe(&mut allocator, "f", &["*"]);
    add(&mut allocator, "s1", "cpus:0.009;mem:31");
    let plan = allocator.plan(Mono(0));
    assert_eq!(plan.skipped[&framework("f")][&WhyKind::BelowMinimum], 1);
    let input = FrameworkInput {
        roles: [Role::star()].into(),
        minimum: [(Role::star(), Vec::new())].into(),
        ..FrameworkInput::default()
    };
    allocator.set_framework(&framework("f"), input);
    assert_eq!(allocator.plan(Mono(0)).offers.len(), 1);
}

#[test]
fn a_hundred_who_decline_for_zero_seconds_starve_nobody_and_spin_nothing() {
    let mut allocator = allocator();
    for index in 0..100 {
        subscribe(&mut allocator, &format!("greedy{index}"), &["*"]);
    }
    subscribe(&mut allocator, "patient", &["*"]);
    add(&mut allocator, "s1", "cpus:4");
    let (mut now, mut plans) = (Mono(0), 0);
    loop {
        plans += 1;
        let plan = allocator.plan(now);
        if plan.offers.iter().any(|offer| offer.framework == framework("patient")) {
            break;
        }
        for offer in &plan.offers {
            decline(&mut allocator, now, offer, Duration::ZERO);
        }
        now = now + Duration::from_millis(1);
    }
    assert!(now.since(Mono(0)) <= SECOND, "served after {:?}", now.since(Mono(0)));
    assert!(plans <= 200);
}

/// Tasks of one CPU end on a busy agent one after the other; the last in order wants all of it in one piece.
#[test]
fn the_last_in_order_gets_a_whole_agent_within_a_second_though_a_hundred_decline() {
    let mut allocator = allocator();
    for index in 0..100 {
        subscribe(&mut allocator, &format!("greedy{index}"), &["*"]);
    }
    let input = FrameworkInput {
        roles: [Role::star()].into(),
        minimum: [(Role::star(), vec![cpus(4)])].into(),
        ..FrameworkInput::default()
    };
    allocator.set_framework(&framework("whole"), input);
    add(&mut allocator, "s0", "cpus:8");
    allocator.set_agent_active(&agent("s0"), false);
    allocator.charge(&framework("whole"), &Role::star(), &resources("cpus:8"));
    allocator.add_agent(&agent("s1"), &resources("cpus:4"), resources(""));
    let (mut now, mut plans, mut ended) = (Mono(0), 0, 0);
    loop {
        // What ends joins what is free; everyone answers within a millisecond.
        if ended < 4 {
            ended += 1;
            let free = allocator.free(&agent("s1")).expect("known").checked_add(&resources("cpus:1"));
            allocator.set_free(&agent("s1"), free.expect("fits"), true);
        }
        if allocator.is_dirty() || allocator.next_expiry().is_some_and(|at| at <= now) {
            plans += 1;
            let plan = allocator.plan(now);
            if plan.offers.iter().any(|offer| offer.framework == framework("whole")) {
                break;
            }
            for offer in &plan.offers {
                decline(&mut allocator, now, offer, Duration::ZERO);
            }
        }
        now = now + Duration::from_millis(1);
        assert!(now.since(Mono(0)) <= SECOND, "not served after {plans} plans");
    }
    assert!(plans <= 1_000);
}

#[test]
fn nothing_is_left_behind_by_those_who_leave() {
    let mut allocator = allocator();
    add(&mut allocator, "s1", "cpus:4");
    for round in 0..50 {
        let name = format!("f{round}");
        subscribe(&mut allocator, &name, &["a/b", "a/c", "x"]);
        for offer in allocator.plan(Mono(round)).offers {
            decline(&mut allocator, Mono(round), &offer, 5 * SECOND);
        }
        allocator.remove_framework(&framework(&name));
    }
    assert_eq!((allocator.frameworks(), allocator.filters(), allocator.roles()), (0, 0, 0));
    assert_eq!(allocator.next_expiry(), None);
}

#[test]
fn a_removed_framework_still_counts_for_its_role_until_its_tasks_end() {
    let mut allocator = allocator();
    subscribe(&mut allocator, "f", &["a"]);
    add(&mut allocator, "s1", "cpus:4");
    allocator.charge(&framework("f"), &role("a"), &resources("cpus:1"));
    allocator.remove_framework(&framework("f"));
    assert_eq!(allocator.share(&role("a")), 0.25);
    allocator.discharge(&framework("f"), &role("a"), &resources("cpus:1"));
    assert_eq!((allocator.frameworks(), allocator.roles(), allocator.share(&role("a"))), (0, 0, 0.0));
}

/// Whoever leaves offers unanswered yields to those who answer, is told so, and takes what nobody else wants.
#[test]
fn whoever_left_offers_unanswered_comes_last_until_it_answers() {
    let mut allocator = Allocator::new(minimum());
    for name in ["hoarder", "honest"] {
        subscribe(&mut allocator, name, &["*"]);
    }
    add(&mut allocator, "s", "cpus:4;mem:100");
    let first = allocator.plan(Mono(0));
    assert_eq!(what(&first), [("hoarder", "s", 4.0)]);
    allocator.set_now(Mono(5));
    allocator.set_late(&framework("hoarder"), true);
    give_back(&mut allocator, &first.offers[0]);
    let second = allocator.plan(Mono(5));
    assert_eq!(what(&second), [("honest", "s", 4.0)]);
    assert_eq!(second.skipped[&framework("hoarder")][&WhyKind::Unanswered], 1);
    let decision = &allocator.decisions(Mono(6), &framework("hoarder"), &agent("s"))[0];
    assert_eq!((decision.why, decision.since), (Some(Why::Unanswered), Mono(5)));
    // A role that it names meanwhile is no way round.
    subscribe(&mut allocator, "hoarder", &["*", "other"]);
    give_back(&mut allocator, &second.offers[0]);
    let third = allocator.plan(Mono(7));
    assert_eq!(what(&third), [("honest", "s", 4.0)]);
    // What others do not want is for it all the same.
    decline(&mut allocator, Mono(8), &third.offers[0], 5 * SECOND);
    let fourth = allocator.plan(Mono(8));
    assert_eq!(what(&fourth), [("hoarder", "s", 4.0)]);
    let why = |allocator: &Allocator| allocator.explain(Mono(9), &framework("honest"), &agent("s"))[0].1;
    assert_eq!(why(&allocator), Some(Why::NothingFree), "it answers");
    allocator.set_late(&framework("honest"), true);
    assert_eq!(why(&allocator), Some(Why::Unanswered));
    allocator.set_late(&framework("honest"), false);
    assert_eq!(why(&allocator), Some(Why::NothingFree), "it answers again");
}
