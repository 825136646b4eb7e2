//! What frameworks, agents and operators say last is what counts, and what was refused before is forgotten with it.

use std::sync::Arc;

use chapada_allocator::{
    AgentInput, Allocator, Constraint, Constraints, Expressions, FrameworkInput, Plan, Predicate, Subject,
    Why, WhyKind,
};
use chapada_model::{Attribute, AttributeValue, Domain, Milli, Mono, Quantities, Role};

use crate::cluster::*;

/// An allocator with one agent, all of which `f` has declined for five seconds.
fn declined() -> Allocator {
    let mut allocator = Allocator::new(minimum());
    subscribe(&mut allocator, "f", &["*"]);
    add(&mut allocator, "s1", "cpus:4");
    let plan = allocator.plan(Mono(0));
    decline(&mut allocator, Mono(0), &plan.offers[0], 5 * SECOND);
    assert_eq!((allocator.plan(Mono(1)).offers.len(), allocator.filters()), (0, 1));
    allocator
}

fn roles_of(plan: &Plan) -> Vec<Role> {
    plan.offers.iter().map(|offer| offer.role.clone()).collect()
}

#[test]
fn what_was_refused_is_forgotten_with_the_subscription() {
    let mut allocator = declined();
    allocator.deactivate_framework(&framework("f"));
    assert_eq!(allocator.filters(), 0);
    subscribe(&mut allocator, "f", &["*"]);
    assert_eq!(what(&allocator.plan(Mono(2))), [("f", "s1", 4.0)]);
}

#[test]
fn what_was_refused_is_forgotten_when_the_agent_changes_or_comes_again() {
    let mut allocator = declined();
    let total = resources("cpus:4");
    let attributes = vec![Attribute { name: "rack".into(), value: AttributeValue::Text("r1".into()) }];
    let input = AgentInput { attributes, ..AgentInput::from(&total) };
    allocator.set_agent_total(&agent("s1"), input);
    let plan = allocator.plan(Mono(2));
    assert_eq!(what(&plan), [("f", "s1", 4.0)], "another attribute");
    decline(&mut allocator, Mono(2), &plan.offers[0], 5 * SECOND);
    add(&mut allocator, "s1", "cpus:4");
    assert_eq!(what(&allocator.plan(Mono(3))), [("f", "s1", 4.0)], "another connection");

    let mut allocator = declined();
    allocator.remove_agent(&agent("s1"));
    assert_eq!((allocator.filters(), allocator.next_expiry()), (0, None));
}

#[test]
fn a_framework_that_changes_its_roles_is_offered_in_those_alone() {
    let mut allocator = Allocator::new(minimum());
    let input = |roles: &[&str], suppressed: &[&str]| FrameworkInput {
        roles: roles.iter().map(|name| role(name)).collect(),
        suppressed: suppressed.iter().map(|name| role(name)).collect(),
        ..FrameworkInput::default()
    };
    allocator.set_framework(&framework("f"), input(&["a", "b"], &["a"]));
    add(&mut allocator, "s1", "cpus:4");
    let plan = allocator.plan(Mono(0));
    assert_eq!(roles_of(&plan), [role("b")], "in a it wants none");
    give_back(&mut allocator, &plan.offers[0]);
    allocator.set_framework(&framework("f"), input(&["a"], &[]));
    assert_eq!(allocator.roles(), 1, "b is nobody's");
    let plan = allocator.plan(Mono(1));
    assert_eq!(roles_of(&plan), [role("a")]);
    give_back(&mut allocator, &plan.offers[0]);
    allocator.set_framework(&framework("f"), input(&["a"], &["a"]));
    assert!(allocator.plan(Mono(2)).offers.is_empty());
}

#[test]
fn the_last_constraints_hold_and_those_before_are_gone() {
    let wants = |zone: Option<&str>| {
        let one =
            |zone: &str| Constraint { subject: Subject::Zone, predicate: Predicate::TextEquals(zone.into()) };
        let said = |zone| Constraints::new(vec![vec![one(zone)]], &Expressions::new()).expect("valid");
        FrameworkInput {
            roles: [role("*")].into(),
            constraints: zone.map(|zone| (role("*"), Arc::new(said(zone)))).into_iter().collect(),
            ..FrameworkInput::default()
        }
    };
    let mut allocator = Allocator::new(minimum());
    let total = resources("cpus:4");
    let domain = Some(Domain { region: "north".into(), zone: "z1".into() });
    allocator.add_agent(&agent("s1"), AgentInput { domain, ..AgentInput::from(&total) }, total);
    // Nobody is there, and the agent is looked at no more until someone comes.
    assert_eq!(allocator.plan(Mono(0)).considered, 1);
    for (now, zone, expected) in [(0, Some("z2"), 0), (1, Some("z1"), 1), (2, Some("z2"), 0), (3, None, 1)] {
        allocator.set_framework(&framework("f"), wants(zone));
        let plan = allocator.plan(Mono(now));
        assert_eq!(plan.offers.len(), expected, "{zone:?}");
        if expected == 0 {
            // Nobody else was asked about the agent: the newcomer's reason counts all the same.
            assert_eq!(plan.skipped[&framework("f")][&WhyKind::Constrained], 1, "{zone:?}");
        }
        plan.offers.iter().for_each(|offer| give_back(&mut allocator, offer));
    }
}

#[test]
fn without_a_region_of_its_own_all_agents_are_near_to_a_master_and_those_of_none_always() {
    let mut allocator = Allocator::new(minimum());
    allocator.set_region(Some("north".into()));
    let total = resources("cpus:4");
    let domain = Some(Domain { region: "south".into(), zone: "z1".into() });
    allocator.add_agent(&agent("far"), AgentInput { domain, ..AgentInput::from(&total) }, total);
    add(&mut allocator, "anywhere", "cpus:4");
    subscribe(&mut allocator, "f", &["*"]);
    assert_eq!(what(&allocator.plan(Mono(0))), [("f", "anywhere", 4.0)]);
    allocator.set_region(None);
    assert_eq!(what(&allocator.plan(Mono(1))), [("f", "far", 4.0)]);
}

#[test]
fn a_decision_holds_since_the_later_of_the_two_met_and_nothing_is_free_since_it_was_given_away() {
    let mut allocator = Allocator::new(minimum());
    let since = |allocator: &Allocator| {
        let decision = allocator.decisions(Mono(9), &framework("f"), &agent("s1")).remove(0);
        (decision.why.map(Why::kind), decision.since)
    };
    allocator.set_now(Mono(1));
    add(&mut allocator, "s1", "cpus:4;gpus:1");
    allocator.set_now(Mono(2));
    subscribe(&mut allocator, "f", &["*"]);
    assert_eq!(since(&allocator), (Some(WhyKind::NotCapable), Mono(2)));
    allocator.set_now(Mono(3));
    add(&mut allocator, "s1", "cpus:4;gpus:1");
    assert_eq!(since(&allocator), (Some(WhyKind::NotCapable), Mono(3)));
    allocator.set_now(Mono(4));
    allocator.set_agent_total(&agent("s1"), &resources("cpus:4"));
    allocator.set_free(&agent("s1"), resources("cpus:4"), true);
    allocator.set_now(Mono(5));
    assert_eq!(allocator.plan(Mono(5)).offers.len(), 1);
    assert_eq!(since(&allocator), (Some(WhyKind::NothingFree), Mono(5)));
}

#[test]
fn names_that_only_agents_of_the_past_had_are_forgotten() {
    let amounts = |of: &[(&str, u64)]| -> Quantities {
        of.iter().map(|(name, amount)| (*name, Milli::whole(*amount))).collect()
    };
    let mut allocator = Allocator::new(minimum());
    let role_a = role("a");
    let asks = FrameworkInput {
        roles: [role_a.clone()].into(),
        minimum: [(role_a.clone(), vec![amounts(&[("license-0", 1)])])].into(),
        ..FrameworkInput::default()
    };
    allocator.set_framework(&framework("f"), asks);
    allocator.set_quotas([(role("b"), quota(0, Some(3)))]);
    add(&mut allocator, "stays", "cpus:4;mem:64;kept:2");
    allocator.charge(&framework("g"), &role("b"), &resources("held:7"));
    for n in 0..5_000 {
        add(&mut allocator, "comes", &format!("license-{n}:1"));
        allocator.remove_agent(&agent("comes"));
        assert!(allocator.names() < 300, "{} names after {n} agents", allocator.names());
    }
    // What is still there goes by its own name, and what is asked for is nobody else's.
    assert_eq!(allocator.total(), amounts(&[("cpus", 4), ("kept", 2), ("mem", 64)]));
    let charges: Vec<_> = allocator.charges().map(|(.., held)| held).collect();
    assert_eq!(charges, [amounts(&[("held", 7)])]);
    for n in 0..300 {
        add(&mut allocator, &format!("s{n}"), &format!("other-{n}:1"));
    }
    assert!(allocator.plan(Mono(0)).offers.is_empty());
    add(&mut allocator, "has-it", "license-0:1");
    assert_eq!(what(&allocator.plan(Mono(1))), [("f", "has-it", 0.0)]);
}
