//! Frameworks that mean harm, or are broken: the others reach their share all the same, and nothing grows. The audit runs after
//! every event of the master.

use std::time::Duration;

use chapada_simulator::{Manner, Plan, Sim};

use crate::{MINUTE, SECOND, pass, until};

/// Three agents, some hostile frameworks, and a keeper that comes last. It is served within this time, also once more after the
/// hostile ones have had some time.
#[track_caller]
fn beside(hostile: Vec<Manner>, within: Duration, audit_every: u64) -> Sim {
    let plan = Plan { audit_every, ..Plan::quiet(3, "cpus:4;mem:1024", hostile) };
    let mut sim = Sim::new(1, plan, true);
    pass(&mut sim, 3 * SECOND);
    for _ in 0..2 {
        let keeper = sim.add_framework(Manner::Keeper { tasks: 4 });
        until(&mut sim, within, "the keeper has its share", |sim| sim.kept(keeper) == 4);
        pass(&mut sim, 15 * SECOND);
    }
    let grown = sim.grown();
    assert!(grown.is_empty(), "{grown:?}");
    sim
}

#[test]
fn one_that_subscribes_and_vanishes_a_thousand_times_a_second() {
    let mut plan = Plan::quiet(3, "cpus:4;mem:1024", vec![Manner::Churner { times: 400 }; 10]);
    plan.settings.max_idle_frameworks = 500;
    plan.audit_every = 100;
    let mut sim = Sim::new(1, plan, false);
    let keeper = sim.add_framework(Manner::Keeper { tasks: 4 });
    until(&mut sim, 3 * SECOND, "the keeper has its share", |sim| sim.kept(keeper) == 4);
    until(&mut sim, 5 * SECOND, "all have vanished as often as they meant to", |sim| sim.dials() > 4_000);
    // Whoever waited for an answer gives up after a quarter of a minute.
    pass(&mut sim, 16 * SECOND);
    let books = sim.books().expect("someone leads");
    assert!(books.frameworks.len() <= 500 + 11, "{} frameworks are known", books.frameworks.len());
    assert_eq!(sim.kept(keeper), 4);
    assert_eq!(sim.grown(), Vec::<String>::new());
}

#[test]
fn one_that_never_answers_offers() {
    // An offer is taken back after two minutes, and then it is another's turn.
    beside(vec![Manner::Silent; 3], 2 * MINUTE + 10 * SECOND, 1);
}

#[test]
fn one_that_declines_everything() {
    beside(vec![Manner::Decliner; 5], 5 * SECOND, 1);
}

#[test]
fn one_that_reads_its_stream_at_a_byte_a_second() {
    let sim = beside(vec![Manner::SlowReader; 2], 2 * MINUTE + 10 * SECOND, 1);
    assert!(sim.books().expect("someone leads").counters.offers_rescinded > 0, "it was offered something");
}

#[test]
fn one_that_reads_slowly_is_cut_off() {
    let mut sim = Sim::new(1, Plan::quiet(50, "cpus:4;mem:1024", vec![Manner::SlowReader]), true);
    let cut =
        |sim: &mut Sim| sim.history.lines().any(|line| line.contains("is found broken, at client: false"));
    until(&mut sim, 10 * MINUTE, "its outbox is full, and it is cut off", cut);
    assert_eq!(sim.grown(), Vec::<String>::new());
}

#[test]
fn ten_thousand_roles() {
    beside(vec![Manner::ManyRoles { roles: 10_000 }], 5 * SECOND, 500);
}

#[test]
fn ids_of_nobody_and_ids_twice_and_quantities_of_all_sizes() {
    beside(vec![Manner::Nonsense; 3], 5 * SECOND, 1);
}
