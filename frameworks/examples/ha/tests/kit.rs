//! The example against a simulated master: whatever goes wrong, as many tasks run as there should be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chapada_example_ha::{Ha, SCHEMA};
use chapada_sdk::WriteError;
use chapada_sdk::model::{TaskId, TaskState};
use chapada_sdk::wire::scheduler::call::Type;
use chapada_sdk_testkit::{Arrival, Fault, TestKit};

const MINUTE: Duration = Duration::from_secs(60);

/// Three tasks on two agents.
fn kit() -> TestKit<Ha> {
    let mut kit = TestKit::start(SCHEMA, |opened| Ha::restore(opened, 3, "true"));
    kit.agent("a1", "cpus:4;mem:1024");
    kit.agent("a2", "cpus:4;mem:1024");
    kit.one_of_each(|task: &TaskId| task.as_str().rsplit_once('.').map_or("", |(name, _)| name).to_owned());
    kit
}

fn all_run(kit: &mut TestKit<Ha>) {
    kit.run_until("all tasks run", MINUTE, |kit| kit.running() == 3);
}

#[test]
fn the_whole_example_is_one_page() {
    let lines = |text: &str| text.lines().count();
    let all = lines(include_str!("../src/lib.rs")) + lines(include_str!("../src/main.rs"));
    assert!(all <= 150, "{all} lines");
}

#[test]
fn every_fault_at_every_launch_is_survived() {
    let breaks_the_connection = [
        Fault::KillScheduler,
        Fault::DeposeScheduler,
        Fault::TakeOver,
        Fault::Disconnect,
        Fault::FailOver { agents_return_after: Duration::from_secs(3) },
    ];
    let leaves_it = [Fault::DeposeUnheard, Fault::CutFromElection { lasts: Duration::from_secs(14) }];
    let lost = breaks_the_connection.map(|fault| (fault, Arrival::Lost));
    let arrives = breaks_the_connection.into_iter().chain(leaves_it).map(|fault| (fault, Arrival::Arrives));
    for (fault, arrival) in arrives.chain(lost) {
        let mut kit = kit();
        kit.at_launch(0, arrival, fault);
        kit.settle(3);
        assert!(!kit.calls(Type::Accept).is_empty());
        for task in kit.tasks() {
            kit.end_task(&task.id, TaskState::Failed);
            kit.at_launch(0, arrival, fault);
            kit.run_for(Duration::from_secs(2));
        }
        kit.settle(3);
        kit.check();
    }
}

#[test]
fn it_goes_on_while_everything_fails_again_and_again() {
    let mut kit = kit();
    all_run(&mut kit);
    for round in 0..20_u64 {
        let fault = match round % 4 {
            0 => Fault::KillScheduler,
            1 => Fault::FailOver { agents_return_after: Duration::from_millis(400 * round) },
            2 => Fault::DeposeScheduler,
            _ => Fault::Disconnect,
        };
        let task = &kit.tasks()[round as usize % 3].id.clone();
        kit.end_task(task, TaskState::Failed);
        kit.run_for(Duration::from_millis(37 * round));
        kit.fault(fault);
        kit.lose_updates(2);
        kit.double_updates(2);
        kit.settle(3);
        kit.check();
    }
}

#[test]
fn a_task_out_of_reach_is_replaced_in_time_and_ended_when_it_is_back() {
    let mut kit = kit();
    all_run(&mut kit);
    let there = kit.tasks()[0].agent.clone();
    let before = kit.tasks();
    kit.lose_agent(there.as_str());
    kit.run_for(Duration::from_secs(290));
    assert!(kit.running() < 3, "not before its time");
    // It counts anew from then.
    kit.fault(Fault::KillScheduler);
    kit.run_for(Duration::from_secs(290));
    assert!(kit.running() < 3, "not before its time");
    kit.run_for(MINUTE);
    assert_eq!(kit.running(), 3);
    kit.return_agent(there.as_str());
    kit.settle(3);
    assert!(kit.tasks().iter().all(|task| task.agent != there || !before.contains(task)));
    let duplicates: Vec<_> = kit
        .broken()
        .into_iter()
        .filter(|broken| broken.rule != chapada_sdk_testkit::Rule::NoDuplicate)
        .collect();
    assert!(duplicates.is_empty(), "only until the late ones are killed: {duplicates:?}");
}

#[test]
fn one_that_keeps_failing_is_started_ever_more_slowly() {
    let mut kit = kit();
    all_run(&mut kit);
    let mut launches = Vec::new();
    for _ in 0..2 {
        let before = kit.calls(Type::Accept).len();
        let until = MINUTE * 5;
        let mut passed = Duration::ZERO;
        while passed < until {
            let first = kit.tasks().into_iter().find(|task| task.id.as_str().starts_with("ha-0."));
            if let Some(task) = first {
                kit.end_task(&task.id, TaskState::Failed);
            }
            kit.run_for(Duration::from_millis(500));
            passed += Duration::from_millis(500);
        }
        launches.push(kit.calls(Type::Accept).len() - before);
    }
    assert!(launches[0] < 25 && launches[1] <= 6, "{launches:?}");
    kit.check();
}

#[test]
fn a_start_with_fewer_ends_the_others() {
    let instances = Arc::new(AtomicUsize::new(3));
    let now = instances.clone();
    let mut kit =
        TestKit::start(SCHEMA, move |opened| Ha::restore(opened, now.load(Ordering::SeqCst), "true"));
    kit.agent("a1", "cpus:4;mem:1024");
    all_run(&mut kit);
    let names = |kit: &TestKit<Ha>| -> Vec<String> {
        kit.tasks().iter().map(|task| task.id.as_str().to_owned()).collect()
    };
    let before = names(&kit);
    instances.store(2, Ordering::SeqCst);
    kit.fault(Fault::KillScheduler);
    kit.settle(2);
    assert_eq!(names(&kit), before[..2]);
    kit.check();
}

#[test]
fn a_store_that_fails_and_comes_back_loses_nothing() {
    let full = || WriteError::Storage { place: "the disk".to_owned(), message: "is full".to_owned() };
    let changed = WriteError::Interfered("a page".to_owned());
    for refusals in [vec![full(), full(), full()], vec![changed], vec![WriteError::OutcomeUnknown]] {
        let mut kit = kit();
        kit.hold_offers(true);
        kit.run_for(Duration::from_secs(1));
        kit.refuse_writes(refusals.clone());
        kit.hold_offers(false);
        kit.settle(3);
        let task = kit.tasks()[0].id.clone();
        kit.refuse_writes(refusals);
        kit.end_task(&task, TaskState::Failed);
        kit.settle(3);
        kit.check();
    }
}
