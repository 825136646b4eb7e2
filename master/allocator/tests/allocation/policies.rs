//! What tells one policy from another.

use crate::cluster::*;
use chapada_allocator::{Allocator, PolicyName, Refusal};
use chapada_model::{Milli, Mono};

fn allocator(name: &str, seed: u64) -> Allocator {
    let name: PolicyName = name.parse().expect("a policy of this name");
    Allocator::with_policy(minimum(), name.make(seed))
}

#[test]
fn every_policy_has_a_name_and_gives_everything_away() {
    let unknown = "none".parse::<PolicyName>().expect_err("no policy").to_string();
    assert_eq!(unknown, "there is no policy 'none'; choose one of: drf, random, pack");
    for name in PolicyName::all().map(String::from) {
        let name = name.as_str();
        let mut allocator = allocator(name, 7);
        assert_eq!(allocator.policy(), name);
        for framework in ["f1", "f2", "f3"] {
            subscribe(&mut allocator, framework, &["a", "b/c"]);
        }
        for index in 0..30 {
            add(&mut allocator, &format!("s{index}"), "cpus:4;mem:100");
        }
        let plan = allocator.plan(Mono(0));
        assert_eq!(plan.offers.len(), 30, "{name}");
        for offer in &plan.offers {
            decline(&mut allocator, Mono(0), offer, SECOND);
        }
        allocator.remove_framework(&framework("f1"));
        assert_eq!(allocator.plan(Mono(1)).offers.len(), 30, "{name}");
    }
}

/// How many of a thousand offers go to the heavy one of two roles.
fn won_by_heavy(seed: u64, weight: u64) -> Vec<bool> {
    let mut allocator = allocator("random", seed);
    allocator.set_weight(&role("heavy"), Milli::whole(weight));
    subscribe(&mut allocator, "h", &["heavy"]);
    subscribe(&mut allocator, "l", &["light"]);
    add(&mut allocator, "s1", "cpus:4");
    let mut won = Vec::new();
    for round in 0..1_000 {
        let plan = allocator.plan(Mono(round));
        let offer = &plan.offers[0];
        won.push(offer.framework == framework("h"));
        give_back(&mut allocator, offer);
        let at = (&offer.framework, &offer.role, &offer.agent);
        allocator.refuse(Mono(round), at, &offer.resources, Refusal::Leftover(std::time::Duration::ZERO));
    }
    won
}

#[test]
fn random_is_by_weight_and_by_seed_alone() {
    let wins = won_by_heavy(1, 4);
    let count = wins.iter().filter(|won| **won).count();
    assert!((760..=840).contains(&count), "{count} of 1000 at weight 4 to 1");
    assert_eq!(wins, won_by_heavy(1, 4), "the same seed draws the same");
    assert_ne!(wins, won_by_heavy(2, 4));
    let even = won_by_heavy(3, 1).iter().filter(|won| **won).count();
    assert!((450..=550).contains(&even), "{even} of 1000 at even weights");
    let runs = wins.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!((250..=390).contains(&runs), "{runs} changes: no fixed turns");
}

#[test]
fn pack_gives_the_fullest_agents_away_first_and_stays_fair() {
    for (name, first) in [("drf", "empty"), ("pack", "full")] {
        let mut allocator = allocator(name, 0);
        subscribe(&mut allocator, "rich", &["*"]);
        subscribe(&mut allocator, "poor", &["*"]);
        allocator.charge(&framework("rich"), &role("*"), &resources("cpus:6"));
        for (agent_name, free) in [("empty", "cpus:8"), ("full", "cpus:2"), ("half", "cpus:4")] {
            allocator.add_agent(&agent(agent_name), &resources("cpus:8"), resources(free));
        }
        let plan = allocator.plan(Mono(0));
        assert_eq!((what(&plan)[0].0, what(&plan)[0].1), ("poor", first), "{name}");
    }
}

#[test]
fn an_agent_is_as_full_as_its_scarcest_resource() {
    let mut allocator = allocator("pack", 0);
    subscribe(&mut allocator, "f", &["*"]);
    let total = resources("cpus:8;mem:1000");
    for (name, free) in [("even", "cpus:4;mem:400"), ("short", "cpus:2;mem:1000")] {
        allocator.add_agent(&agent(name), &total, resources(free));
    }
    let plan = allocator.plan(Mono(0));
    assert_eq!(what(&plan)[0].1, "short", "of CPUs it has a quarter left");
}

#[test]
fn pack_leaves_whole_agents_for_those_who_need_them() {
    let mut allocator = allocator("pack", 0);
    subscribe(&mut allocator, "small", &["*"]);
    for index in 0..4 {
        add(&mut allocator, &format!("s{index}"), "cpus:4");
    }
    // The one framework takes 1 CPU of the first offer each time, and turns the others down.
    for round in 0..4 {
        let plan = allocator.plan(Mono(round));
        for (index, offer) in plan.offers.iter().enumerate().rev() {
            give_back(&mut allocator, offer);
            if index == 0 {
                allocator.charge(&offer.framework, &offer.role, &resources("cpus:1"));
                let free = allocator.free(&offer.agent).expect("known").checked_sub(&resources("cpus:1"));
                allocator.set_free(&offer.agent, free.expect("was free"), true);
            }
        }
    }
    let whole =
        (0..4).filter(|index| allocator.free(&agent(&format!("s{index}"))) == Some(&resources("cpus:4")));
    assert_eq!(whole.count(), 3, "all four tasks are on one agent");
}
