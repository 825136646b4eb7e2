//! Quota: guarantees are kept free, limits are never passed, on any role of the tree.

use crate::cluster::*;
use chapada_allocator::{Allocator, Quota, Why, WhyKind};
use chapada_model::{Disk, DiskKind, DiskSource, FrameworkCapability, Milli, Mono, Resource, Resources};

fn allocator(quotas: &[(&str, u64, Option<u64>)]) -> Allocator {
    let mut allocator = Allocator::new(minimum());
    allocator
        .set_quotas(quotas.iter().map(|(name, guarantee, limit)| (role(name), quota(*guarantee, *limit))));
    allocator
}

#[test]
fn a_limit_is_never_passed_and_an_offer_is_cut_to_it() {
    let mut allocator = allocator(&[("ops", 0, Some(5))]);
    subscribe(&mut allocator, "f", &["ops"]);
    add(&mut allocator, "s1", "cpus:4");
    add(&mut allocator, "s2", "cpus:4");
    let plan = allocator.plan(Mono(0));
    assert_eq!(what(&plan), [("f", "s1", 4.0), ("f", "s2", 1.0)]);
    assert_eq!(allocator.consumed(&role("ops")), Some(cpus(5)));
    assert_eq!(
        allocator.explain(Mono(0), &framework("f"), &agent("s2")),
        [(role("ops"), Some(Why::OverLimit))]
    );
    give_back(&mut allocator, &plan.offers[0]);
    let again: f64 = offered(&allocator.plan(Mono(1)), "f");
    assert_eq!(again, 4.0, "what is given back may be offered again");
}

#[test]
fn what_a_limit_left_of_an_offer_can_be_refused() {
    let mut allocator = allocator(&[("ops", 0, Some(5))]);
    subscribe(&mut allocator, "f", &["ops"]);
    add(&mut allocator, "s1", "cpus:4");
    add(&mut allocator, "s2", "cpus:4");
    let plan = allocator.plan(Mono(0));
    decline(&mut allocator, Mono(0), &plan.offers[1], 5 * SECOND);
    assert!(allocator.plan(Mono(1)).offers.is_empty(), "more is free, but no more may be offered");
    let until = Mono(0) + 5 * SECOND;
    assert_eq!(
        allocator.explain(Mono(1), &framework("f"), &agent("s2")),
        [(role("ops"), Some(Why::FilteredUntil(until)))]
    );
    assert_eq!(what(&allocator.plan(until)), [("f", "s2", 1.0)]);
}

#[test]
fn what_can_be_taken_back_counts_for_no_limit() {
    let mut allocator = allocator(&[("ops", 0, Some(2))]);
    subscribe_with(&mut allocator, "f", &["ops"], &[FrameworkCapability::RevocableResources]);
    let total = Resources::from_list([scalar("cpus", 4, |_| ()), scalar("cpus", 3, |r| r.revocable = true)]);
    let total = total.expect("valid resources");
    allocator.add_agent(&agent("s1"), &total, total.clone());
    assert_eq!(offered(&allocator.plan(Mono(0)), "f"), 5.0);
    assert_eq!(allocator.consumed(&role("ops")), Some(cpus(2)));
}

/// Disk of a kind.
fn disk(amount: u64, kind: DiskKind) -> Resource {
    let source = DiskSource {
        kind,
        root: Some("/mnt".into()),
        vendor: None,
        id: None,
        profile: None,
        metadata: Vec::new(),
    };
    scalar("disk", amount, |resource| {
        let source = Some(Box::new(source.clone()));
        resource.disk = Some(Disk { source, ..Disk::default() });
    })
}

#[test]
fn a_limit_on_disk_binds_all_kinds_together_and_breaks_no_mounted_disk() {
    let mut allocator = Allocator::new(Vec::new());
    let limit = [("disk".into(), Milli::whole(10))].into();
    allocator.set_quotas([(role("ops"), Some(Quota { guarantee: Default::default(), limit }))]);
    subscribe(&mut allocator, "f", &["ops"]);
    let cut = |allocator: &mut Allocator, name: &str, disks: Vec<Resource>| {
        let total = Resources::from_list(disks).expect("valid resources");
        allocator.add_agent(&agent(name), &total, total.clone());
        let plan = allocator.plan(Mono(0));
        let amount = plan.offers.first().map_or(Milli::ZERO, |offer| offer.resources.disk());
        plan.offers.iter().for_each(|offer| give_back(allocator, offer));
        allocator.remove_agent(&agent(name));
        amount
    };
    let plain = || scalar("disk", 6, |_| ());
    assert_eq!(cut(&mut allocator, "s1", vec![plain(), disk(8, DiskKind::Path)]), Milli::whole(10));
    assert_eq!(cut(&mut allocator, "s2", vec![disk(12, DiskKind::Mount)]), Milli::ZERO);
    assert_eq!(cut(&mut allocator, "s3", vec![disk(9, DiskKind::Mount)]), Milli::whole(9));
    let whole = Resources::from_list([disk(12, DiskKind::Mount)]).expect("valid resources");
    allocator.add_agent(&agent("s4"), &whole, whole.clone());
    let why = allocator.explain(Mono(0), &framework("f"), &agent("s4"));
    assert_eq!(why, [(role("ops"), Some(Why::OverLimit))], "as the plan has it");
}

/// Plans until nothing is left to look at: the offers of each plan.
fn plan_on(allocator: &mut Allocator) -> Vec<usize> {
    let mut made = Vec::new();
    while allocator.is_dirty() {
        made.push(allocator.plan(Mono(0)).offers.len());
    }
    made
}

#[test]
fn room_below_a_limit_is_given_away_some_agents_at_a_time_until_it_is_used() {
    let mut allocator = allocator(&[("ops", 0, Some(100))]);
    subscribe(&mut allocator, "f", &["ops"]);
    allocator.charge(&framework("f"), &role("ops"), &resources("cpus:100"));
    (0..200).for_each(|index| add(&mut allocator, &format!("s{index:03}"), "cpus:1"));
    assert_eq!(plan_on(&mut allocator).into_iter().sum::<usize>(), 0);
    allocator.discharge(&framework("f"), &role("ops"), &resources("cpus:100"));
    let made = plan_on(&mut allocator);
    assert_eq!(made.iter().sum::<usize>(), 100, "{made:?}");
    assert!(made[0] < 100, "not all agents at once: {made:?}");
}

#[test]
fn agents_that_were_looked_at_in_vain_wait_for_the_others_to_have_their_turn() {
    let mut allocator = Allocator::new(Vec::new());
    let limit = [("disk".into(), Milli::whole(20))].into();
    allocator.set_quotas([(role("ops"), Some(Quota { guarantee: Default::default(), limit }))]);
    subscribe(&mut allocator, "f", &["ops"]);
    allocator.charge(&framework("f"), &role("ops"), &resources("disk:20"));
    for index in 0..71 {
        let whole = disk(if index < 70 { 12 } else { 5 }, DiskKind::Mount);
        let total = Resources::from_list([whole]).expect("valid resources");
        allocator.add_agent(&agent(&format!("s{index:02}")), &total, total.clone());
    }
    plan_on(&mut allocator);
    let room = |allocator: &mut Allocator, text: &str| {
        allocator.discharge(&framework("f"), &role("ops"), &resources(text));
        plan_on(allocator).into_iter().sum::<usize>()
    };
    assert_eq!(room(&mut allocator, "disk:5") + room(&mut allocator, "disk:1"), 1, "that on s70");
}

#[test]
fn what_a_lost_agent_has_free_is_no_reserve_for_those_who_are_owed_something() {
    let mut allocator = allocator(&[("ops", 6, None)]);
    subscribe(&mut allocator, "greedy", &["web"]);
    add(&mut allocator, "s1", "cpus:4");
    add(&mut allocator, "s2", "cpus:4");
    allocator.set_agent_active(&agent("s2"), false);
    assert_eq!(allocator.unmet(), cpus(2));
    assert!(allocator.plan(Mono(0)).offers.is_empty(), "all 4 that are left are owed to ops");
    allocator.set_agent_active(&agent("s2"), true);
    assert!(allocator.unmet().is_empty());
    assert_eq!(offered(&allocator.plan(Mono(1)), "greedy"), 2.0);
}

#[test]
fn a_limit_of_zero_keeps_everything_from_a_role() {
    let mut allocator = allocator(&[("ops", 0, Some(0))]);
    subscribe(&mut allocator, "f", &["ops/db"]);
    add(&mut allocator, "s1", "cpus:4");
    let plan = allocator.plan(Mono(0));
    assert!(plan.offers.is_empty());
    assert_eq!(plan.skipped[&framework("f")][&WhyKind::OverLimit], 1);
}

#[test]
fn what_is_guaranteed_is_kept_from_others_and_given_to_its_role() {
    let mut allocator = allocator(&[("ops", 6, None)]);
    subscribe(&mut allocator, "greedy", &["web"]);
    add(&mut allocator, "s1", "cpus:4");
    add(&mut allocator, "s2", "cpus:4");
    let plan = allocator.plan(Mono(0));
    assert_eq!(what(&plan), [("greedy", "s1", 2.0)], "6 of 8 are owed to ops");
    assert_eq!(
        allocator.explain(Mono(0), &framework("greedy"), &agent("s2")),
        [(role("web"), Some(Why::KeptForGuarantees))]
    );
    subscribe(&mut allocator, "owner", &["ops"]);
    assert_eq!(offered(&allocator.plan(Mono(1)), "owner"), 6.0);
}

#[test]
fn a_role_below_uses_the_guarantee_above_and_has_its_own() {
    // eng has 6, of which 4 are for eng/db.
    let mut allocator = allocator(&[("eng", 6, None), ("eng/db", 4, None)]);
    subscribe(&mut allocator, "web", &["eng/web"]);
    subscribe(&mut allocator, "other", &["ops"]);
    add(&mut allocator, "s1", "cpus:8");
    let plan = allocator.plan(Mono(0));
    assert_eq!(offered(&plan, "web"), 4.0, "2 of eng's, and the 2 that are owed to nobody");
    assert_eq!(offered(&plan, "other"), 0.0);
    subscribe(&mut allocator, "db", &["eng/db"]);
    assert_eq!(offered(&allocator.plan(Mono(1)), "db"), 4.0);
}

#[test]
fn the_limit_above_binds_all_below_together() {
    let mut allocator = allocator(&[("eng", 0, Some(5)), ("eng/db", 0, Some(3))]);
    subscribe(&mut allocator, "db", &["eng/db"]);
    subscribe(&mut allocator, "web", &["eng/web"]);
    for name in ["s1", "s2", "s3"] {
        add(&mut allocator, name, "cpus:4");
    }
    let plan = allocator.plan(Mono(0));
    assert!(offered(&plan, "db") <= 3.0);
    assert_eq!(offered(&plan, "db") + offered(&plan, "web"), 5.0);
}

#[test]
fn what_is_reserved_counts_in_use_or_not() {
    let mut allocator = allocator(&[("ops", 0, Some(5))]);
    subscribe(&mut allocator, "f", &["ops"]);
    add(&mut allocator, "s1", "cpus:4;cpus(ops):4");
    assert_eq!(allocator.consumed(&role("ops")), Some(cpus(4)));
    let plan = allocator.plan(Mono(0));
    assert_eq!(offered(&plan, "f"), 5.0, "its own 4, and 1 more");
    assert_eq!(allocator.consumed(&role("ops")), Some(cpus(5)));
    allocator.remove_agent(&agent("s1"));
    give_nothing_back(&mut allocator);
}

/// Charges that outlive their agent are the caller's to take back; the rest is as if it had never been.
fn give_nothing_back(allocator: &mut Allocator) {
    let charged: Vec<_> = allocator.charges().map(|(f, r, q)| (f.clone(), r.clone(), q)).collect();
    for (id, role, amounts) in charged {
        let held = resources(&format!("cpus:{}", amounts.get("cpus").to_f64() - 4.0));
        allocator.discharge(&id, &role, &held);
        allocator.discharge(&id, &role, &resources("cpus(ops):4"));
    }
    assert_eq!(allocator.charges().count(), 0);
    assert!(allocator.consumed(&role("ops")).expect("it has quota").is_empty());
}

#[test]
fn quota_that_comes_later_counts_what_is_held_and_ends_when_it_is_taken_away() {
    let mut allocator = allocator(&[]);
    subscribe(&mut allocator, "f", &["ops"]);
    allocator.charge(&framework("f"), &role("ops"), &resources("cpus:3"));
    add(&mut allocator, "s1", "cpus:4");
    allocator.set_quotas([(role("ops"), quota(0, Some(4)))]);
    assert_eq!(allocator.consumed(&role("ops")), Some(cpus(3)));
    assert_eq!(offered(&allocator.plan(Mono(0)), "f"), 1.0);
    allocator.set_quotas([(role("ops"), None)]);
    assert_eq!(offered(&allocator.plan(Mono(1)), "f"), 3.0);
    assert_eq!(allocator.consumed(&role("ops")), None);
}

#[test]
fn counting_along_is_counting_afresh() {
    let mut allocator =
        allocator(&[("a", 20, Some(60)), ("a/b", 10, None), ("a/b/c", 5, Some(30)), ("d", 9, None)]);
    for (name, place) in [("f1", "a/b/c"), ("f2", "a/x"), ("f3", "d"), ("f4", "e")] {
        subscribe(&mut allocator, name, &[place]);
    }
    let mut held = Vec::new();
    for round in 0..40 {
        add(&mut allocator, &format!("s{round}"), "cpus:3;mem:100;cpus(d/y):1");
        held.extend(allocator.plan(Mono(round)).offers);
        if round % 3 == 0 {
            let offer = held.remove(held.len() / 2);
            give_back(&mut allocator, &offer);
        }
        let before: Vec<_> = ["a", "a/b", "a/b/c", "d"].map(|name| allocator.consumed(&role(name))).into();
        let limit = before[0].as_ref().expect("it has quota").get("cpus").to_f64();
        assert!(limit <= 60.0, "a has {limit}");
        // Setting a quota to what it is counts everything anew.
        allocator.set_quotas([(role("d"), quota(9, None))]);
        let after: Vec<_> = ["a", "a/b", "a/b/c", "d"].map(|name| allocator.consumed(&role(name))).into();
        assert_eq!(before, after, "round {round}");
    }
}

#[test]
fn a_limit_that_is_passed_while_something_may_be_on_offer_is_told_once() {
    let mut allocator = allocator(&[("eng", 0, Some(5))]);
    subscribe(&mut allocator, "f", &["eng/db"]);
    add(&mut allocator, "s1", "cpus:4");
    let plan = allocator.plan(Mono(0));
    assert_eq!(allocator.take_exceeded(), None, "no plan passes a limit");
    allocator.charge(&framework("f"), &role("eng/db"), &resources("cpus:2"));
    assert_eq!(allocator.take_exceeded(), Some((role("eng"), "cpus".into())));
    assert!(allocator.is_exceeded(&role("eng"), "cpus"));
    allocator.nothing_on_offer(&role("eng"), "cpus");
    allocator.charge(&framework("f"), &role("eng/db"), &resources("cpus:1"));
    assert_eq!(allocator.take_exceeded(), None, "there is nothing to give back");
    give_back(&mut allocator, &plan.offers[0]);
    assert!(!allocator.is_exceeded(&role("eng"), "cpus"));
    assert_eq!(offered(&allocator.plan(Mono(1)), "f"), 2.0);
    allocator.charge(&framework("f"), &role("eng/db"), &resources("cpus:1"));
    assert!(allocator.take_exceeded().is_some(), "something may be on offer again");
}

#[test]
fn a_limit_lowered_below_what_is_consumed_is_told() {
    let mut allocator = allocator(&[]);
    allocator.charge(&framework("f"), &role("ops"), &resources("cpus:3;mem:10"));
    allocator.set_quotas([(role("ops"), quota(0, Some(3)))]);
    assert_eq!(allocator.take_exceeded(), None);
    allocator.set_quotas([(role("ops"), quota(0, Some(2)))]);
    assert_eq!(allocator.take_exceeded(), Some((role("ops"), "cpus".into())));
    assert_eq!(allocator.take_exceeded(), None);
}

#[test]
fn what_is_owed_and_not_free_is_unmet_and_only_offers_of_those_with_more_than_theirs_relieve_it() {
    let mut allocator = allocator(&[("even", 2, None), ("eng", 3, None), ("eng/db", 1, None)]);
    for (name, place) in [("f1", "even"), ("f2", "other"), ("f3", "eng/web")] {
        subscribe(&mut allocator, name, &[place]);
        allocator.charge(&framework(name), &role(place), &resources("cpus:2;mem:64"));
    }
    assert_eq!(allocator.unmet(), cpus(1), "one of eng's three, and that one is eng/db's");
    let unmet = allocator.unmet();
    let relieves = |place: &str, held: &str| allocator.would_relieve(&role(place), &resources(held), &unmet);
    assert!(relieves("other", "cpus:1"), "nothing is owed to it");
    assert!(!relieves("other", "mem:64"), "nothing of that is owed");
    assert!(!relieves("even", "cpus:1"), "as much would be owed to it");
    assert!(!relieves("eng/web", "cpus:1"), "as much would be owed to eng");
    add(&mut allocator, "s1", "cpus:4");
    assert!(allocator.unmet().is_empty());
}
