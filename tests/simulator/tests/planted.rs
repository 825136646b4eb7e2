//! The simulator is proved: bugs that are planted in the master's core are found. Needs the feature `testing`.

use chapada_master_core::Bug;
use chapada_simulator::{Failure, Plan, Sim, run_plan};

/// Each bug is found within so many seeds.
const SEEDS: u64 = 200;

fn seed_that_finds(bug: Bug) -> Option<Failure> {
    (1..=SEEDS).find_map(|seed| {
        let mut plan = Plan::random(seed);
        plan.settings.planted = Some(bug);
        run_plan(seed, &mut Sim::new(seed, plan, false)).err()
    })
}

#[test]
fn each_bug_has_a_test() {
    let here = include_str!("planted.rs");
    for bug in Bug::ALL {
        assert!(here.contains(&format!("is_found_as(Bug::{bug:?}")), "{bug:?}");
    }
}

fn is_found_as(bug: Bug, words: &[&str]) {
    let failure = seed_that_finds(bug).unwrap_or_else(|| panic!("{bug:?} is not found within {SEEDS} seeds"));
    println!("{bug:?}: seed {}: {}", failure.seed, failure.what);
    let named = words.iter().any(|word| failure.what.contains(word));
    assert!(named, "{bug:?} is found as something else: {}", failure.what);
}

#[test]
fn an_offer_that_is_used_twice_is_found() {
    is_found_as(Bug::OfferUsedTwice, &["audit"]);
}

#[test]
fn an_update_that_is_acknowledged_too_early_is_found() {
    is_found_as(Bug::AcknowledgedEarly, &["I4"]);
}

#[test]
fn a_filter_that_never_expires_is_found() {
    is_found_as(Bug::FilterNeverExpires, &["I7"]);
}

#[test]
fn a_framework_that_is_forgotten_on_failover_is_found() {
    is_found_as(Bug::FrameworkForgotten, &["I3"]);
}

#[test]
fn a_reservation_that_is_lost_on_failover_is_found() {
    is_found_as(Bug::ReservationLost, &["I3", "audit"]);
}

#[test]
fn a_brake_that_is_off_is_found() {
    is_found_as(Bug::BrakeOff, &["gives up"]);
}

#[test]
fn a_drain_that_is_forgotten_on_failover_is_found() {
    is_found_as(Bug::DrainForgotten, &["I3"]);
}

#[test]
fn a_double_launch_after_a_failover_is_found() {
    is_found_as(Bug::AnsweredTooEarly, &["double launch"]);
}
