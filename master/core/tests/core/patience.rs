//! Frameworks that leave offers unanswered, and those that wait meanwhile.

use std::time::Duration;

use chapada_master_core::{Call, LEAST_OFFER_LIFE, MOST_PASSED_OVER, SchedulerEvent, Settings, Why};
use chapada_model::{Filters, FrameworkId, Role};

use crate::world::{World, framework};

const TIMEOUT: Duration = Duration::from_secs(120);
const MOMENT: Duration = Duration::from_millis(10);

fn subscribed(world: &mut World, name: &str) -> FrameworkId {
    world.framework(framework(name, &["*"])).0
}

/// A world with one agent, which the first framework is offered.
fn with(names: &[&str]) -> (World, Vec<FrameworkId>) {
    let mut world = World::new();
    let frameworks = names.iter().map(|name| subscribed(&mut world, name)).collect();
    world.add_agent("cpus:2;mem:1024");
    world.settle();
    (world, frameworks)
}

/// Waits until the framework has an offer, at most so long; how long it took.
fn wait_for_offer(world: &mut World, framework: &FrameworkId, most: Duration) -> Option<Duration> {
    let begin = world.now.mono;
    while world.offers(framework).is_empty() {
        let waited = world.now.mono.since(begin);
        if waited > most {
            return None;
        }
        world.pass(MOMENT);
    }
    Some(world.now.mono.since(begin))
}

fn decline(world: &mut World, framework: &FrameworkId, refuse: Duration) {
    let offers = world.offers(framework);
    assert!(!offers.is_empty());
    world.call(framework, Call::Decline { offers, filters: Filters { refuse } }).expect("accepted");
}

#[test]
fn among_a_hundred_that_never_answer_one_that_does_waits_one_offer_timeout_at_most() {
    let mut world = World::new();
    for number in 0..100 {
        subscribed(&mut world, &format!("hoarder{number}"));
    }
    world.add_agent("cpus:2;mem:1024");
    world.pass(Duration::from_secs(1));
    let honest = subscribed(&mut world, "honest");
    let first = wait_for_offer(&mut world, &honest, TIMEOUT + LEAST_OFFER_LIFE).expect("in time");
    assert!(first > Duration::from_secs(30), "the others were before it: {first:?}");
    // From now on it is known to answer, and the others not to.
    for _ in 0..3 {
        decline(&mut world, &honest, Duration::from_secs(5));
        let again = wait_for_offer(&mut world, &honest, Duration::from_secs(70)).expect("much sooner");
        assert!(again >= Duration::from_secs(5));
    }
    let another = subscribed(&mut world, "another");
    decline(&mut world, &honest, Duration::from_secs(600));
    assert!(wait_for_offer(&mut world, &another, Duration::from_secs(61)).is_some());
}

#[test]
fn of_those_that_have_answered_nothing_each_keeps_an_offer_its_part_of_the_time() {
    let (mut world, names) = with(&["a", "b", "c", "d"]);
    world.pass(TIMEOUT / 4 - 2 * MOMENT);
    assert_eq!(world.offers(&names[0]).len(), 1);
    world.pass(3 * MOMENT);
    assert_eq!((world.offers(&names[0]).len(), world.offers(&names[1]).len()), (0, 1));
    // Whoever wants no offers keeps nobody waiting; whoever wants some again does.
    for name in [2, 3] {
        world.call(&names[name], Call::Suppress { roles: Vec::new() }).expect("accepted");
    }
    world.pass(TIMEOUT / 2 - 3 * MOMENT);
    assert_eq!(world.offers(&names[1]).len(), 1);
    world.call(&names[3], Call::Revive { roles: vec![Role::star()] }).expect("accepted");
    world.settle();
    assert_eq!((world.offers(&names[1]).len(), world.offers(&names[3]).len()), (0, 1));
}

#[test]
fn whoever_answers_has_the_whole_time_and_one_offer_is_no_more_than_another() {
    let (mut world, names) = with(&["a", "b"]);
    decline(&mut world, &names[0], Duration::from_secs(300));
    world.settle();
    world.pass(TIMEOUT - 2 * MOMENT);
    assert_eq!(world.offers(&names[1]).len(), 1, "it is the only one of which nothing was heard");
    decline(&mut world, &names[1], Duration::from_secs(1));
    let _ = wait_for_offer(&mut world, &names[1], Duration::from_secs(2)).expect("nobody else wants it");
    world.pass(TIMEOUT - 2 * MOMENT);
    assert_eq!(world.offers(&names[1]).len(), 1);
}

#[test]
fn each_time_offers_are_left_unanswered_the_next_live_half_as_long_until_one_is_answered() {
    let (mut world, names) = with(&["a"]);
    let name = &names[0];
    let stream = world.books().frameworks[name].stream().cloned().expect("subscribed");
    let (mut lives, mut pauses) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        let offer = world.books().offers_of(name).next().expect("offered").clone();
        lives.push(offer.until.since(offer.since.mono));
        world.pass(offer.until.since(world.now.mono));
        assert!(world.take(&stream).contains(&SchedulerEvent::Rescind(offer.id.clone())));
        pauses.push(wait_for_offer(&mut world, name, MOST_PASSED_OVER + MOMENT).expect("never for good"));
    }
    let millis: Vec<u128> = lives.iter().map(Duration::as_millis).collect();
    assert_eq!(millis, [120_000, 60_000, 30_000, 15_000, 7_500, 3_750, 1_875, 1_000, 1_000]);
    let seconds: Vec<u64> = pauses.iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [5, 10, 20, 40, 60, 60, 60, 60, 60]);
    // A word about what it no longer has is no answer in time.
    let gone = chapada_model::OfferId::new("gone").expect("valid");
    let late = Call::Decline { offers: vec![gone], filters: Filters::default() };
    world.call(name, late).expect("accepted");
    decline(&mut world, name, Duration::from_secs(1));
    wait_for_offer(&mut world, name, Duration::from_secs(2)).expect("offered");
    let offer = world.books().offers_of(name).next().expect("offered").clone();
    assert_eq!(offer.until.since(offer.since.mono), TIMEOUT);
}

#[test]
fn whoever_answers_is_passed_over_nowhere_for_what_it_missed_before() {
    let (mut world, names) = with(&["a"]);
    let name = &names[0];
    for _ in 0..4 {
        wait_for_offer(&mut world, name, MOST_PASSED_OVER).expect("offered");
        let offer = world.books().offers_of(name).next().expect("offered").clone();
        world.pass(offer.until.since(world.now.mono));
    }
    world.add_agent("cpus:2;mem:1024");
    world.settle();
    let at = |world: &World| -> Vec<_> {
        world.books().offers_of(name).map(|offer| offer.agent.clone()).collect()
    };
    assert_eq!(at(&world), [world.agent_id(1)], "it is passed over at the other for 40 s");
    decline(&mut world, name, Duration::from_secs(600));
    world.settle();
    assert_eq!(at(&world), [world.agent_id(0)]);
    // What it declined itself stays declined.
    decline(&mut world, name, Duration::from_secs(600));
    world.pass(TIMEOUT);
    assert_eq!(at(&world), []);
}

#[test]
fn a_new_subscription_does_not_hide_that_offers_were_left_unanswered() {
    let (mut world, names) = with(&["a"]);
    world.pass(TIMEOUT);
    let description = (*world.books().frameworks[&names[0]].description).clone();
    world.subscribe(description);
    wait_for_offer(&mut world, &names[0], MOST_PASSED_OVER).expect("offered");
    let offer = world.books().offers_of(&names[0]).next().expect("offered").clone();
    assert_eq!(offer.until.since(offer.since.mono), TIMEOUT / 2);
    let other = subscribed(&mut world, "b");
    world.pass(TIMEOUT / 2);
    assert_eq!(world.offers(&other).len(), 1);
    let why = world.master.explain(world.now, &names[0], &world.agent_id(0));
    assert_eq!(why[0].1, Some(Why::Unanswered));
}

#[test]
fn a_short_offer_timeout_is_kept_to() {
    let timeout = Duration::from_millis(300);
    let mut world = World::with_settings(Settings { offer_timeout: timeout, ..Settings::new("m1") });
    let names: Vec<FrameworkId> = (0..3).map(|n| subscribed(&mut world, &format!("f{n}"))).collect();
    world.add_agent("cpus:2;mem:1024");
    world.settle();
    world.pass(timeout - 2 * MOMENT);
    assert_eq!(world.offers(&names[0]).len(), 1, "less than the least is not divided");
    world.pass(3 * MOMENT);
    assert!(world.offers(&names[0]).is_empty());
}
