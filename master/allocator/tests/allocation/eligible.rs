//! Who may be offered what at all: capabilities, regions, reservations, shared and revocable resources, minimums, constraints.

use std::sync::Arc;

use crate::cluster::*;
use chapada_allocator::{
    AgentInput, Allocator, Constraint, Constraints, Expressions, FrameworkInput, InvalidConstraint,
    Predicate, Subject, Why, WhyKind,
};
use chapada_model::{
    Attribute, AttributeValue, Domain, FrameworkCapability, Milli, Mono, Reservation, ReservationKind,
    Resources,
};

fn allocator() -> Allocator {
    Allocator::new(minimum())
}

#[test]
fn gpus_are_kept_for_those_who_ask() {
    let mut allocator = allocator();
    subscribe(&mut allocator, "f", &["*"]);
    add(&mut allocator, "s1", "cpus:4;gpus:1");
    assert_eq!(allocator.plan(Mono(0)).skipped[&framework("f")][&WhyKind::NotCapable], 1);
    subscribe_with(&mut allocator, "g", &["*"], &[FrameworkCapability::GpuResources]);
    assert_eq!(offered(&allocator.plan(Mono(1)), "g"), 4.0);
}

#[test]
fn gpus_are_for_all_when_the_operator_says_so() {
    let mut allocator = allocator();
    subscribe(&mut allocator, "f", &["*"]);
    add(&mut allocator, "s1", "cpus:4;gpus:1");
    assert!(allocator.plan(Mono(0)).offers.is_empty());
    allocator.keep_gpus(false);
    assert_eq!(what(&allocator.plan(Mono(1))), [("f", "s1", 4.0)]);
}

#[test]
fn agents_of_other_regions_are_for_those_who_know_of_regions() {
    let mut allocator = allocator();
    allocator.set_region(Some("north".into()));
    for (name, region) in [("s1", "north"), ("s2", "south")] {
        let total = resources("cpus:4");
        let domain = Some(Domain { region: region.into(), zone: "z1".into() });
        let input = AgentInput { domain, ..AgentInput::from(&total) };
        allocator.add_agent(&agent(name), input, total);
    }
    subscribe(&mut allocator, "f", &["*"]);
    assert_eq!(what(&allocator.plan(Mono(0))), [("f", "s1", 4.0)]);
    let missing = Why::NotCapable(FrameworkCapability::RegionAware);
    assert_eq!(allocator.explain(Mono(0), &framework("f"), &agent("s2")), [(role("*"), Some(missing))]);
    subscribe_with(&mut allocator, "g", &["*"], &[FrameworkCapability::RegionAware]);
    assert_eq!(what(&allocator.plan(Mono(1))), [("g", "s2", 4.0)]);
}

#[test]
fn revocable_and_shared_resources_go_to_those_who_understand_them() {
    let mut allocator = allocator();
    let total = Resources::from_list([
        scalar("cpus", 2, |_| ()),
        scalar("cpus", 3, |r| r.revocable = true),
        scalar("disk", 5, |r| r.shared = true),
    ])
    .expect("valid resources");
    subscribe(&mut allocator, "f", &["*"]);
    allocator.add_agent(&agent("s1"), &total, total.clone());
    let plan = allocator.plan(Mono(0));
    assert_eq!(*plan.offers[0].resources, resources("cpus:2"));
    let capable = [FrameworkCapability::RevocableResources, FrameworkCapability::SharedResources];
    subscribe_with(&mut allocator, "g", &["*"], &capable);
    let plan = allocator.plan(Mono(1));
    assert_eq!(plan.offers.len(), 1);
    assert_eq!(plan.offers[0].resources.cpus(), Milli::whole(3));
    assert_eq!(plan.offers[0].resources.disk(), Milli::whole(5));
}

/// A framework that takes offers of anything.
fn takes_anything(allocator: &mut Allocator, name: &str) {
    let input = FrameworkInput {
        roles: [role("*")].into(),
        capabilities: [FrameworkCapability::SharedResources].into(),
        minimum: [(role("*"), Vec::new())].into(),
        ..FrameworkInput::default()
    };
    allocator.set_framework(&framework(name), input);
}

#[test]
fn what_is_shared_is_offered_to_several_at_once_but_to_nobody_twice() {
    let mut allocator = allocator();
    let volume = Resources::from_list([scalar("disk", 5, |r| r.shared = true)]).expect("valid");
    let total = resources("cpus:4").checked_add(&volume).expect("valid");
    allocator.add_agent(&agent("s1"), &total, total.clone());
    takes_anything(&mut allocator, "f");
    takes_anything(&mut allocator, "g");
    subscribe(&mut allocator, "blind", &["*"]);
    let plan = allocator.plan(Mono(0));
    let who: Vec<&str> = plan.offers.iter().map(|offer| offer.framework.as_str()).collect();
    assert_eq!(who.len(), 2, "{who:?}");
    assert!(plan.offers.iter().all(|offer| offer.resources.contains(&volume)));
    assert!(!who.contains(&"blind"));
    assert_eq!(plan.offers.iter().map(|offer| offer.resources.cpus().0).sum::<u64>(), 4_000);
    assert_eq!(allocator.sharing(), 2);
    // Something changes at the agent: those who have the volume on offer are not offered it again.
    allocator.set_free(&agent("s1"), volume.clone(), true);
    assert!(allocator.plan(Mono(1)).offers.is_empty());
    assert_eq!(allocator.explain(Mono(1), &framework("f"), &agent("s1"))[0].1, Some(Why::NothingFree));
    // An answer makes it possible again, as far as it was not refused.
    let (first, second) = (&plan.offers[0], &plan.offers[1]);
    give_back(&mut allocator, first);
    let again = allocator.plan(Mono(2));
    let again: Vec<_> = again.offers.iter().filter(|offer| offer.resources.contains(&volume)).collect();
    assert!(matches!(again[..], [offer] if offer.framework == first.framework), "{again:?}");
    decline(&mut allocator, Mono(3), second, SECOND);
    assert!(allocator.plan(Mono(3)).offers.is_empty());
    // It counts for nobody's share, and is forgotten with its agent or framework.
    assert!(allocator.charges().all(|(.., held)| held.get("disk") == Milli::ZERO));
    assert_eq!(allocator.sharing(), 1);
    allocator.remove_framework(&first.framework);
    assert_eq!(allocator.sharing(), 0);
    assert_eq!(allocator.plan(Mono(2_000_000_000)).offers.len(), 1, "the refusal is over");
    assert_eq!(allocator.sharing(), 1);
    allocator.remove_agent(&agent("s1"));
    assert_eq!(allocator.sharing(), 0);
}

#[test]
fn refined_reservations_are_hidden_from_those_who_do_not_know_them() {
    let mut allocator = allocator();
    let refined = |r: &mut chapada_model::Resource| {
        r.reservations = [(ReservationKind::Static, "ops"), (ReservationKind::Dynamic, "ops/db")]
            .map(|(kind, name)| Reservation { kind, role: role(name), principal: None, labels: Vec::new() })
            .into();
    };
    let total = Resources::from_list([scalar("cpus", 2, |_| ()), scalar("cpus", 3, refined)]).expect("valid");
    allocator.add_agent(&agent("s1"), &total, total.clone());
    subscribe(&mut allocator, "old", &["ops/db/test"]);
    assert_eq!(offered(&allocator.plan(Mono(0)), "old"), 2.0);
    let capable = [FrameworkCapability::ReservationRefinement];
    subscribe_with(&mut allocator, "above", &["ops"], &capable);
    assert!(allocator.plan(Mono(1)).offers.is_empty(), "it is for ops/db and what is below");
    subscribe_with(&mut allocator, "new", &["ops/db/test"], &capable);
    assert_eq!(offered(&allocator.plan(Mono(2)), "new"), 3.0);
}

#[test]
fn each_role_of_a_framework_has_its_own_minimum() {
    let mut allocator = allocator();
    let input = FrameworkInput {
        roles: [role("a"), role("b")].into(),
        minimum: [(role("a"), vec![cpus(8)]), (role("b"), vec![cpus(16), cpus(2)])].into(),
        ..FrameworkInput::default()
    };
    allocator.set_framework(&framework("f"), input);
    add(&mut allocator, "s1", "cpus:4;mem:1000");
    let plan = allocator.plan(Mono(0));
    assert_eq!(plan.offers.len(), 1);
    assert_eq!(plan.offers[0].role, role("b"));
    assert_eq!(allocator.explain(Mono(0), &framework("f"), &agent("s1"))[0].1, Some(Why::NothingFree));
    give_back(&mut allocator, &plan.offers[0]);
    assert_eq!(allocator.explain(Mono(0), &framework("f"), &agent("s1"))[0].1, Some(Why::BelowMinimum));
}

#[test]
fn names_that_no_agent_has_are_met_by_nothing_and_remembered_for_nobody() {
    let mut allocator = allocator();
    add(&mut allocator, "s1", "cpus:4");
    let asks = |names: &[String]| FrameworkInput {
        roles: [role("a")].into(),
        minimum: [(
            role("a"),
            names.iter().map(|name| [(name.as_str(), Milli(1))].into_iter().collect()).collect(),
        )]
        .into(),
        ..FrameworkInput::default()
    };
    let known = allocator.names();
    for n in 0..100 {
        let names: Vec<String> = (0..100).map(|m| format!("name-{n}-{m}")).collect();
        allocator.set_framework(&framework("f"), asks(&names));
    }
    assert_eq!(allocator.names(), known, "a framework adds nothing to what is kept");
    assert!(allocator.plan(Mono(0)).offers.is_empty());
    assert_eq!(allocator.explain(Mono(0), &framework("f"), &agent("s1"))[0].1, Some(Why::BelowMinimum));
    // An agent that has one of them is offered.
    add(&mut allocator, "s2", "cpus:1;name-99-7:3");
    let plan = allocator.plan(Mono(1));
    assert_eq!(what(&plan), [("f", "s2", 1.0)]);
}

/// An agent that is described for constraints.
fn described() -> AgentInput {
    let attribute = |name: &str, value| Attribute { name: name.into(), value };
    AgentInput {
        hostname: "node-7.example".into(),
        attributes: vec![
            attribute("rack", AttributeValue::Text("r12".into())),
            attribute("rack", AttributeValue::Text("r99".into())),
            attribute("level", AttributeValue::Scalar(Milli::whole(3))),
        ],
        domain: Some(Domain { region: "north".into(), zone: "z1".into() }),
        ..AgentInput::from(&resources("cpus:4"))
    }
}

fn is_offered(groups: Vec<Vec<(Subject, Predicate)>>) -> bool {
    let groups = groups
        .into_iter()
        .map(|group| {
            group.into_iter().map(|(subject, predicate)| Constraint { subject, predicate }).collect()
        })
        .collect();
    let constraints = Arc::new(Constraints::new(groups, &Expressions::new()).expect("valid constraints"));
    let mut allocator = allocator();
    let input = FrameworkInput {
        roles: [role("*")].into(),
        constraints: [(role("*"), constraints)].into(),
        ..FrameworkInput::default()
    };
    allocator.set_framework(&framework("f"), input);
    allocator.add_agent(&agent("s1"), described(), resources("cpus:4"));
    let plan = allocator.plan(Mono(0));
    let is_left_out = plan.skipped[&framework("f")].contains_key(&WhyKind::Constrained);
    assert_eq!(is_left_out, plan.offers.is_empty());
    !is_left_out
}

#[test]
fn the_six_predicates_hold_as_in_mesos() {
    use Predicate::*;
    let rack = || Subject::Attribute("rack".into());
    let none = || Subject::Attribute("none".into());
    let level = || Subject::Attribute("level".into());
    let cases = [
        (rack(), Exists, true),
        (none(), Exists, false),
        (level(), Exists, true),
        (rack(), NotExists, false),
        (none(), NotExists, true),
        (rack(), TextEquals("r12".into()), true),
        (rack(), TextEquals("r99".into()), false),
        (none(), TextEquals("r12".into()), false),
        (level(), TextEquals("r12".into()), true),
        (rack(), TextNotEquals("r12".into()), false),
        (none(), TextNotEquals("r12".into()), true),
        (level(), TextNotEquals("3".into()), true),
        (rack(), TextMatches("r[0-9]+".into()), true),
        (rack(), TextMatches("r1".into()), false),
        (none(), TextMatches(".*".into()), false),
        (level(), TextMatches("x".into()), true),
        (rack(), TextNotMatches("r1".into()), true),
        (rack(), TextNotMatches("r1|r12".into()), false),
        (none(), TextNotMatches(".*".into()), true),
        (Subject::Hostname, TextMatches(r"node-\d+\.example".into()), true),
        (Subject::Region, TextEquals("north".into()), true),
        (Subject::Zone, TextEquals("z2".into()), false),
    ];
    for (subject, predicate, expected) in cases {
        let name = format!("{subject:?} {predicate:?}");
        assert_eq!(is_offered(vec![vec![(subject, predicate)]]), expected, "{name}");
    }
}

#[test]
fn any_group_is_enough_and_all_of_a_group_must_hold() {
    let yes = || (Subject::Hostname, Predicate::Exists);
    let no = || (Subject::Hostname, Predicate::NotExists);
    assert!(is_offered(vec![vec![yes(), no()], vec![yes()]]));
    assert!(!is_offered(vec![vec![yes(), no()], vec![no()]]));
    assert!(!is_offered(vec![]), "no group holds");
}

#[test]
fn an_expression_that_would_cost_too_much_is_refused() {
    let refused = |pattern: &str| {
        let predicate = Predicate::TextMatches(pattern.into());
        Constraints::new(
            vec![vec![Constraint { subject: Subject::Hostname, predicate }]],
            &Expressions::new(),
        )
    };
    assert!(refused("a{2}").is_ok());
    let long = "a".repeat(2_000);
    for pattern in ["(", "a)(b", "(a{100}){100}{100}", r"\w{1000}", &long] {
        assert!(matches!(refused(pattern), Err(InvalidConstraint::Regex { .. })), "{pattern}");
    }
    let many =
        (0..2_000).map(|_| Constraint { subject: Subject::Zone, predicate: Predicate::Exists }).collect();
    assert!(matches!(
        Constraints::new(vec![many], &Expressions::new()),
        Err(InvalidConstraint::TooMany(2_000))
    ));
}

#[test]
fn a_decision_says_since_when() {
    let mut allocator = allocator();
    allocator.set_now(Mono(1));
    add(&mut allocator, "s1", "cpus:4");
    allocator.set_now(Mono(2));
    subscribe(&mut allocator, "f", &["*"]);
    let decide =
        |allocator: &Allocator, now| allocator.decisions(now, &framework("f"), &agent("s1")).remove(0);
    assert_eq!((decide(&allocator, Mono(2)).why, decide(&allocator, Mono(2)).since), (None, Mono(2)));
    let plan = allocator.plan(Mono(3));
    allocator.set_now(Mono(4));
    decline(&mut allocator, Mono(4), &plan.offers[0], 5 * SECOND);
    let decision = decide(&allocator, Mono(6));
    assert_eq!((decision.why, decision.since), (Some(Why::FilteredUntil(Mono(4) + 5 * SECOND)), Mono(4)));
    allocator.set_now(Mono(7));
    allocator.suppress(&framework("f"), &[role("*")].into());
    assert_eq!(
        (decide(&allocator, Mono(8)).why, decide(&allocator, Mono(8)).since),
        (Some(Why::Suppressed), Mono(7))
    );
    allocator.set_now(Mono(9));
    allocator.set_agent_active(&agent("s1"), false);
    allocator.revive(&framework("f"), &[role("*")].into());
    let decision = decide(&allocator, Mono(9));
    assert_eq!((decision.why, decision.since), (Some(Why::AgentInactive), Mono(9)));
}

/// That an agent was left out is remembered, until the framework says otherwise, the agent does, or another framework comes.
#[test]
fn a_verdict_on_constraints_is_remembered_until_either_side_changes() {
    let wants = |allocator: &mut Allocator, name: &str, host: &str| {
        let predicate = Predicate::TextEquals(host.into());
        let groups = vec![vec![Constraint { subject: Subject::Hostname, predicate }]];
        let constraints = Arc::new(Constraints::new(groups, &Expressions::new()).expect("valid"));
        let input = FrameworkInput {
            roles: [role("*")].into(),
            constraints: [(role("*"), constraints)].into(),
            ..FrameworkInput::default()
        };
        allocator.set_framework(&framework(name), input);
    };
    let host = |name: &str| AgentInput { hostname: name.into(), ..AgentInput::from(&resources("cpus:4")) };
    let mut allocator = allocator();
    wants(&mut allocator, "f", "b");
    allocator.add_agent(&agent("s"), host("a"), resources("cpus:4"));
    for now in 0..2 {
        let plan = allocator.plan(Mono(now));
        assert_eq!((plan.offers.len(), plan.skipped[&framework("f")][&WhyKind::Constrained]), (0, 1));
        allocator.set_agent_active(&agent("s"), false);
        allocator.set_agent_active(&agent("s"), true);
    }
    wants(&mut allocator, "f", "a");
    let plan = allocator.plan(Mono(2));
    assert_eq!(what(&plan), [("f", "s", 4.0)]);
    give_back(&mut allocator, &plan.offers[0]);
    wants(&mut allocator, "f", "b");
    assert!(allocator.plan(Mono(3)).offers.is_empty());
    allocator.set_agent_total(&agent("s"), host("b"));
    let plan = allocator.plan(Mono(4));
    assert_eq!(what(&plan), [("f", "s", 4.0)]);
    give_back(&mut allocator, &plan.offers[0]);
    wants(&mut allocator, "f", "a");
    assert!(allocator.plan(Mono(5)).offers.is_empty());
    allocator.remove_framework(&framework("f"));
    wants(&mut allocator, "g", "b");
    assert_eq!(what(&allocator.plan(Mono(6))), [("g", "s", 4.0)], "in the place of another");
}
