//! The checker finds what is planted: each rule in a journal that was changed, and what a broken store and a broken master do.

use chapada_master_core::{RegistryChange, RegistryState, Ticket};
use chapada_model::{TaskState, UpdateUuid};

use super::{Entry, Journal};
use crate::{Plan, Sim, run_plan};

/// The journal of a random run in which everything held, with its end.
fn held() -> Sim {
    for seed in 1.. {
        let mut sim = Sim::new(seed, Plan::random(seed), false);
        let report = run_plan(seed, &mut sim);
        report.unwrap_or_else(|failure| panic!("{failure}"));
        let has =
            |found: fn(&Entry) -> bool| sim.journal.entries.iter().filter(|(_, one)| found(one)).count();
        let reads = has(|one| matches!(one, Entry::Read { .. }));
        let things = has(|one| matches!(one, Entry::Began { thing: Some(_), .. }));
        let heard = has(|one| matches!(one, Entry::Heard { uuid: Some(_), .. }));
        if reads > 3 && things > 0 && heard > 20 {
            return sim;
        }
    }
    unreachable!("some seed has all of it")
}

#[track_caller]
fn finds(sim: &Sim, journal: &Journal, words: &str) {
    let wrong = journal.check(sim.now() + std::time::Duration::from_secs(600), Default::default());
    assert!(wrong.iter().any(|one| one.contains(words)), "{words} is not among {wrong:?}");
}

fn last_read(journal: &mut Journal) -> (usize, &mut RegistryState) {
    let place = journal.entries.iter().rposition(|(_, one)| matches!(one, Entry::Read { .. }));
    let place = place.expect("somebody read");
    match &mut journal.entries[place].1 {
        Entry::Read { state, .. } => (place, state),
        _ => unreachable!("it is one"),
    }
}

/// The epoch of the last leader that has read, and a write that it could ask for.
fn last_leader(journal: &mut Journal) -> (u64, Box<RegistryChange>) {
    let (place, state) = last_read(journal);
    let (id, record) = state.frameworks.first_key_value().expect("there are frameworks");
    let change = Box::new(RegistryChange::PutFramework(id.clone(), record.clone()));
    let Entry::Read { epoch, .. } = &journal.entries[place].1 else { unreachable!("it is one") };
    (*epoch, change)
}

#[test]
fn a_true_history_is_found_right() {
    assert_eq!(held().check_history(), Vec::<String>::new());
}

#[test]
fn each_rule_of_what_leaders_read_finds_what_is_planted_in_a_true_history() {
    let sim = held();
    let journal = sim.journal.clone();

    let mut lost = journal.clone();
    let (_, state) = last_read(&mut lost);
    state.agents.pop_first().expect("there are agents");
    finds(&sim, &lost, "reads nothing of agent");

    let mut stale = journal.clone();
    let (_, state) = last_read(&mut stale);
    let agent = state.agents.values_mut().next().expect("there are agents");
    agent.registered = chapada_model::Wall(1);
    finds(&sim, &stale, "reads an older value of agent");

    let mut back = journal.clone();
    let (place, _) = last_read(&mut back);
    if let Entry::Read { epoch, .. } = &mut back.entries[place].1 {
        *epoch = 1;
    }
    finds(&sim, &back, "epoch 1 begins after");
}

#[test]
fn each_rule_of_what_leaders_are_answered_finds_what_is_planted_in_a_true_history() {
    let sim = held();
    let journal = sim.journal.clone();
    let end = sim.now();

    let mut unasked = journal.clone();
    let (epoch, change) = last_leader(&mut unasked);
    unasked.entries.push((end, Entry::Answered { epoch, ticket: Ticket(9_997) }));
    finds(&sim, &unasked, "is answered, and nobody asked");

    let mut swapped = journal.clone();
    let (first, second) = (Ticket(9_995), Ticket(9_996));
    for ticket in [first, second] {
        swapped.entries.push((end, Entry::Asked { epoch, ticket, change: change.clone() }));
    }
    let mut ordered = swapped.clone();
    for (journal, tickets) in [(&mut swapped, [second, first]), (&mut ordered, [first, second])] {
        journal.entries.extend(tickets.map(|ticket| (end, Entry::Answered { epoch, ticket })));
    }
    finds(&sim, &swapped, "are answered out of order");
    let wrong = ordered.check(sim.now() + std::time::Duration::from_secs(600), Default::default());
    assert_eq!(wrong, Vec::<String>::new());

    // A leader that was deposed is answered after the next one has read.
    let mut unfenced = journal.clone();
    let asked = unfenced.entries.iter().find_map(|(at, one)| match one {
        Entry::Asked { epoch, change, .. } => Some((*at, *epoch, change.clone())),
        _ => None,
    });
    let (at, epoch, change) = asked.expect("somebody asked");
    let ticket = Ticket(9_999);
    unfenced.entries.push((at, Entry::Asked { epoch, ticket, change }));
    unfenced.entries.push((at, Entry::Answered { epoch, ticket }));
    finds(&sim, &unfenced, "is answered after epoch");

    // One that hears late of what the next one has read already.
    let (mut late, ticket) = (journal.clone(), Ticket(9_998));
    let (epoch, change) = last_leader(&mut late);
    let (place, epoch) = (last_read(&mut late).0, epoch - 1);
    let at = late.entries[place].0;
    late.entries.insert(place, (at, Entry::Asked { epoch, ticket, change }));
    late.entries.push((at, Entry::Answered { epoch, ticket }));
    let wrong = late.check(sim.now() + std::time::Duration::from_secs(600), Default::default());
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn each_rule_of_what_runs_finds_what_is_planted_in_a_true_history() {
    let sim = held();
    let journal = sim.journal.clone();

    let mut twice = journal.clone();
    let began = twice.entries.iter().find(|(_, one)| matches!(one, Entry::Began { .. })).cloned();
    twice.entries.push(began.expect("something began"));
    finds(&sim, &twice, "is launched twice");

    let mut beside = journal.clone();
    let place = beside.entries.iter().position(|(_, one)| matches!(one, Entry::Began { thing: Some(_), .. }));
    let place = place.expect("a thing began");
    let (at, mut other) = beside.entries[place].clone();
    if let Entry::Began { task, .. } = &mut other {
        task.task = "another-name".parse().expect("a valid id");
    }
    beside.entries.insert(place + 1, (at, other));
    finds(&sim, &beside, "is still the same thing");

    let mut obeys = journal.clone();
    let (end, _) = *obeys.entries.last().map(|(at, one)| (*at, one)).as_ref().expect("there are entries");
    obeys.entries.push((end, Entry::Obeyed { agent: 0, epoch: 1 }));
    finds(&sim, &obeys, "a0 obeys epoch 1 after");
}

#[test]
fn each_rule_of_updates_finds_what_is_planted_in_a_true_history() {
    let sim = held();
    let journal = sim.journal.clone();

    let mut raised = journal.clone();
    let end_heard = raised.entries.iter().find_map(|(at, one)| match one {
        Entry::Heard { framework, task, uuid: Some(_), state } if state.is_terminal() => {
            Some((*at, framework.clone(), task.clone()))
        }
        _ => None,
    });
    let (at, framework, task) = end_heard.expect("something ended");
    let uuid = Some(UpdateUuid([7; 16]));
    let key = chapada_model::TaskKey { framework: framework.clone(), task: task.clone() };
    let said = Entry::Said { agent: 0, task: key, uuid: UpdateUuid([7; 16]), state: TaskState::Running };
    raised.entries.push((at, said));
    raised.entries.push((at, Entry::Heard { framework, task, uuid, state: TaskState::Running }));
    finds(&sim, &raised, "is heard after");

    let mut skipped = journal.clone();
    let first = skipped.entries.iter().find_map(|(_, one)| match one {
        Entry::Heard { uuid: Some(uuid), state: TaskState::Starting, .. } => Some(*uuid),
        _ => None,
    });
    let first = first.expect("the first update of a task is heard");
    skipped.entries.retain(|(_, one)| !matches!(one, Entry::Heard { uuid, .. } if *uuid == Some(first)));
    finds(&sim, &skipped, "is heard before");

    let mut unheard = journal.clone();
    unheard.entries.retain(|(_, one)| !matches!(one, Entry::Heard { state, .. } if state.is_terminal()));
    unheard.entries.retain(|(_, one)| !matches!(one, Entry::Gone { .. }));
    finds(&sim, &unheard, "never heard an end");
}

#[test]
fn each_rule_of_kills_finds_what_is_planted_in_a_true_history() {
    let sim = held();
    let mut kill = sim.journal.clone();
    let (at, task) = kill
        .entries
        .iter()
        .rev()
        .find_map(|(at, one)| match one {
            Entry::Began { task, .. } => Some((*at, task.clone())),
            _ => None,
        })
        .expect("something began");
    kill.entries.retain(|(_, one)| !matches!(one, Entry::Ended { task: ended, .. } if *ended == task));
    let (epoch, _) = last_leader(&mut kill);
    kill.entries.push((at, Entry::Kill { epoch, task: task.clone() }));
    finds(&sim, &kill, "runs at the end");
    kill.entries.retain(|(_, one)| !matches!(one, Entry::Heard { task: heard, .. } if *heard == task.task));
    kill.entries.retain(|(_, one)| !matches!(one, Entry::Gone { .. }));
    finds(&sim, &kill, "was taken and never answered");
}

#[test]
fn a_store_without_a_fence_and_one_that_forgets_are_found() {
    for (flaw, words) in
        [(crate::registry::Flaw::Unfenced, "after epoch"), (crate::registry::Flaw::Forgets, "reads")]
    {
        let found = (1..=200).any(|seed| {
            let mut sim = Sim::new(seed, Plan::random(seed), false);
            sim.registry.flaw = Some(flaw);
            sim.checks.is_off = true;
            // What it comes to does not matter here, nor that nothing else sees it.
            drop(run_plan(seed, &mut sim));
            sim.check_history().iter().any(|one| one.contains(words))
        });
        assert!(found, "{flaw:?} is not found within 200 seeds");
    }
}
