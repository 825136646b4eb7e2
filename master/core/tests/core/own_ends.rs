//! Ends that the master itself has said: nobody repeats them but the master, on the framework's next stream.

use std::time::Duration;

use chapada_master_core::{Accept, AgentCall, Call, Event, MaintenanceCall, Operation, Proposal};
use chapada_model::{
    AgentId, FrameworkDescription, FrameworkId, OfferId, Reason, TaskKey, TaskState, TaskStatus, UpdateUuid,
};

use crate::gone::{come_back, said};
use crate::maintenance::{machine, window};
use crate::tasks::{launch, running};
use crate::world::{World, command_task, framework};

fn mark_gone(world: &mut World, agent: AgentId) {
    world.agent_call(AgentCall::MarkGone { agent }).expect("taken");
}

fn gone(world: &mut World, _: &TaskKey) {
    let agent = world.agent_id(0);
    mark_gone(world, agent);
}

fn machine_down(world: &mut World, _: &TaskKey) {
    let name = world.agents[0].description.hostname.to_string();
    let windows = vec![window(1, &[&name])];
    world.maintenance(MaintenanceCall::UpdateSchedule { windows }).expect("taken");
    world.record_all();
    world.maintenance(MaintenanceCall::Start { machines: vec![machine(&name)] }).expect("taken");
}

fn unknown_to_its_agent(world: &mut World, _: &TaskKey) {
    world.break_link(0);
    world.agents[0].tasks.clear();
    world.connect(0);
}

fn launch_on_nothing(world: &mut World, framework: &FrameworkId, task: &str) {
    let task = command_task(task, &world.agent_id(0), "cpus:0.1");
    let accept = Accept {
        offers: vec![OfferId::new("nobody-s").expect("valid")],
        operations: vec![Operation::Launch { tasks: vec![Proposal::Valid(Box::new(task))] }],
        filters: chapada_model::Filters { refuse: Duration::ZERO },
    };
    world.call(framework, Call::Accept(accept)).expect("accepted");
}

fn ask_for_all(world: &mut World, id: &FrameworkId) {
    world.call(id, Call::Reconcile { tasks: Vec::new() }).expect("accepted");
}

#[test]
fn an_end_that_was_said_on_a_broken_stream_or_to_nobody_is_said_on_the_next() {
    type End = fn(&mut World, &TaskKey);
    let (removed, by_operator) = (Reason::AgentRemoved, Reason::AgentRemovedByOperator);
    let ends: [(End, TaskState, Reason); 3] = [
        (gone, TaskState::GoneByOperator, by_operator),
        (machine_down, TaskState::Gone, removed),
        (unknown_to_its_agent, TaskState::Gone, Reason::Reconciliation),
    ];
    for (end, state, reason) in ends {
        for is_away in [false, true] {
            for is_aware in [false, true] {
                let (mut world, id, stream, key) = running();
                world.close(&stream);
                let stream = come_back(&mut world, &id, is_aware);
                if is_away {
                    world.close(&stream);
                }
                world.take(&stream);
                end(&mut world, &key);
                let expected = (if is_aware { state } else { TaskState::Lost }, Some(reason));
                let first = said(&mut world, &stream);
                let heard: Vec<_> = (!is_away).then_some(expected).into_iter().collect();
                assert_eq!(first, heard, "{state} {is_away} {is_aware}");
                // The framework finds its stream broken; the master has not.
                let stream = come_back(&mut world, &id, is_aware);
                let again: Vec<_> =
                    said(&mut world, &stream).into_iter().filter(|one| one.0.is_terminal()).collect();
                assert_eq!(again, [expected], "{state} {is_away} {is_aware}");
            }
        }
    }
}

#[test]
fn ends_are_said_again_in_their_order_and_before_anything_that_comes_later() {
    let (mut world, id, stream, _) = running();
    for host in 1..4 {
        world.add_agent("cpus:2;mem:1024");
        world.settle();
        let offered = world.books().offers_of(&id).any(|offer| offer.agent == world.agent_id(host));
        assert!(offered);
    }
    let offers: Vec<_> = world.books().offers_of(&id).map(|o| (o.id.clone(), o.agent.clone())).collect();
    for (at, (offer, agent)) in offers.iter().enumerate() {
        let task = command_task(&format!("x{at}"), agent, "cpus:0.1");
        let operations = vec![Operation::Launch { tasks: vec![Proposal::Valid(Box::new(task))] }];
        let filters = chapada_model::Filters { refuse: Duration::ZERO };
        let accept = Accept { offers: vec![offer.clone()], operations, filters };
        world.call(&id, Call::Accept(accept)).expect("accepted");
    }
    world.take(&stream);
    for (_, agent) in offers.iter().rev() {
        mark_gone(&mut world, agent.clone());
    }
    let names = |world: &mut World, stream| -> Vec<String> {
        let updates = world.take_updates(stream).into_iter();
        updates.filter(|s| s.state.is_terminal()).map(|s| s.task.to_string()).collect()
    };
    let told = names(&mut world, &stream);
    let stream = come_back(&mut world, &id, true);
    assert_eq!(names(&mut world, &stream), told);
    assert!(told.len() > 3 && !told.is_sorted());
}

#[test]
fn a_name_that_is_used_again_is_not_told_the_end_of_the_former_task() {
    let (mut world, id, _, key) = running();
    gone(&mut world, &key);
    world.add_agent("cpus:2;mem:1024");
    world.settle();
    assert_eq!(launch(&mut world, &id, "t", "cpus:0.5;mem:100"), key);
    let stream = come_back(&mut world, &id, true);
    assert_eq!(said(&mut world, &stream), []);
    // Nor is the refusal of a launch, which is said once, to whoever asked for it.
    launch_on_nothing(&mut world, &id, "t");
    world.take(&stream);
    let stream = come_back(&mut world, &id, true);
    assert_eq!(said(&mut world, &stream), []);
    world.update(1, &key, TaskState::Running);
    ask_for_all(&mut world, &id);
    let states: Vec<_> = said(&mut world, &stream).into_iter().map(|(state, _)| state).collect();
    assert_eq!(states, [TaskState::Running, TaskState::Running]);
}

#[test]
fn what_an_agent_says_of_the_task_later_is_the_last_word() {
    let (mut world, id, _, key) = running();
    unknown_to_its_agent(&mut world, &key);
    let (link, agent) = (world.agents[0].link.expect("linked"), world.agent_id(0));
    let status = TaskStatus::new(key.task.clone(), TaskState::Finished);
    let framework = id.clone();
    world.apply(Event::Update { link, agent, framework, status, latest: TaskState::Finished });
    let stream = come_back(&mut world, &id, true);
    assert_eq!(said(&mut world, &stream), []);
}

#[test]
fn an_end_that_was_said_an_hour_ago_on_a_stream_that_still_stands_is_not_said_again() {
    for (minutes, expected) in [(59, 1), (61, 0)] {
        let (mut world, id, _, key) = running();
        gone(&mut world, &key);
        world.pass(Duration::from_secs(minutes * 60));
        let stream = come_back(&mut world, &id, true);
        assert_eq!(said(&mut world, &stream).len(), expected, "after {minutes} minutes");
    }
}

/// Its host has lost power at the same time, and is back in the morning.
#[test]
fn a_framework_that_was_away_for_hours_hears_what_was_said_when_it_went() {
    let (mut world, id, _, key) = running();
    let failover_timeout = Duration::from_secs(24 * 60 * 60);
    let patient = FrameworkDescription { id: Some(id), failover_timeout, ..framework("f", &["*"]) };
    let stream = world.subscribe(patient.clone());
    gone(&mut world, &key);
    world.pass(Duration::from_secs(60));
    world.close(&stream);
    world.pass(Duration::from_secs(10 * 60 * 60));
    let stream = world.subscribe(patient);
    assert_eq!(said(&mut world, &stream).len(), 1);
}

#[test]
fn a_framework_that_is_removed_leaves_no_ends_behind() {
    let (mut world, id, _, key) = running();
    gone(&mut world, &key);
    // The audit sees one that is left.
    world.call(&id, Call::Teardown).expect("accepted");
    assert!(!world.books().frameworks.contains_key(&id));
}

fn failed(world: &mut World, key: &TaskKey) {
    world.update(0, key, TaskState::Failed);
}

/// Its agent has said so only in a word beside another update.
fn failed_in_a_word(world: &mut World, key: &TaskKey) {
    let (link, agent) = (world.agents[0].link.expect("linked"), world.agent_id(0));
    let status = world.agents[0].say(key, TaskState::Running, world.now.wall).expect("it runs");
    let framework = key.framework.clone();
    world.apply(Event::Update { link, agent, framework, status, latest: TaskState::Failed });
}

/// The agent has stated it to a new leader, and has not come to say it.
fn failed_before_a_failover(world: &mut World, key: &TaskKey) {
    failed(world, key);
    world.fail_over();
    world.connect(0);
}

fn forgotten(world: &mut World, _: &TaskKey) {
    world.break_link(0);
    world.pass(Duration::from_secs(13 * 24 * 60 * 60));
    assert_eq!(world.books().tasks.len(), 1);
    while !world.books().tasks.is_empty() {
        world.pass(Duration::from_secs(30 * 60));
    }
}

/// One that may stay away for long.
fn patient(id: &FrameworkId) -> FrameworkDescription {
    let failover_timeout = Duration::from_secs(365 * 24 * 60 * 60);
    FrameworkDescription { id: Some(id.clone()), failover_timeout, ..framework("f", &["*"]) }
}

#[test]
fn an_end_that_nobody_has_acknowledged_is_said_again_when_its_agent_can_repeat_it_no_more() {
    type Step = fn(&mut World, &TaskKey);
    let parted: [Step; 4] = [gone, machine_down, unknown_to_its_agent, forgotten];
    for (number, part) in parted.into_iter().enumerate() {
        for (end, step) in
            [failed as Step, failed_in_a_word, failed_before_a_failover].into_iter().enumerate()
        {
            for is_away in [false, true] {
                let (mut world, id, _, key) = running();
                let stream = world.subscribe(patient(&id));
                if is_away {
                    world.close(&stream);
                }
                step(&mut world, &key);
                if end == 2 && !is_away {
                    world.subscribe(patient(&id));
                }
                part(&mut world, &key);
                assert!(!world.books().tasks.contains_key(&key), "{number} {end} {is_away}");
                // The framework finds its stream broken; the master has not.
                for again in 0..2 {
                    let stream = world.subscribe(patient(&id));
                    let heard: Vec<_> = world.take_updates(&stream);
                    let ends: Vec<_> = heard.iter().filter(|s| s.state.is_terminal()).collect();
                    let states: Vec<_> = ends.iter().map(|status| status.state).collect();
                    assert_eq!(states, [TaskState::Failed], "{number} {end} {is_away} {again}");
                    assert_eq!(ends[0].uuid, None, "nobody can acknowledge it to its agent");
                }
            }
        }
    }
}

/// Its agent is gone by the time that the framework has acknowledged it, and can be told nothing.
#[test]
fn an_end_that_is_acknowledged_when_its_agent_can_repeat_it_no_more_is_not_said_again() {
    let parted = [gone as fn(&mut World, &TaskKey), machine_down, unknown_to_its_agent, forgotten];
    for (number, part) in parted.into_iter().enumerate() {
        let (mut world, id, _, key) = running();
        let (agent, stream) = (world.agent_id(0), world.subscribe(patient(&id)));
        failed(&mut world, &key);
        let heard = world.take_updates(&stream);
        let uuid = heard.last().and_then(|status| status.uuid).expect("its agent has named it");
        part(&mut world, &key);
        let another = UpdateUuid::from_slice(&[9; 16]).expect("16 bytes");
        for (uuid, expected) in [(another, 1), (uuid, 0), (uuid, 0)] {
            let call = Call::Acknowledge { agent: agent.clone(), task: key.task.clone(), uuid };
            world.call(&id, call).expect("accepted");
            let stream = world.subscribe(patient(&id));
            let ends = said(&mut world, &stream).into_iter().filter(|(state, _)| state.is_terminal());
            assert_eq!(ends.count(), expected, "{number}");
        }
    }
}

#[test]
fn an_end_that_is_known_only_in_a_word_is_said_when_its_agent_is_gone() {
    for step in [failed_in_a_word as fn(&mut World, &TaskKey), failed_before_a_failover] {
        let (mut world, id, _, key) = running();
        step(&mut world, &key);
        let stream = come_back(&mut world, &id, true);
        let before = said(&mut world, &stream);
        assert!(!before.iter().any(|(state, _)| state.is_terminal()), "{before:?}");
        gone(&mut world, &key);
        let states: Vec<_> = said(&mut world, &stream).into_iter().map(|(state, _)| state).collect();
        assert_eq!(states, [TaskState::Failed]);
    }
}

/// For the registry takes long to say who it is now.
#[test]
fn what_was_said_on_a_stream_that_another_takes_the_place_of_is_not_forgotten_while_that_one_waits() {
    let (mut world, id, _, key) = running();
    gone(&mut world, &key);
    world.pass(Duration::from_secs(59 * 60));
    world.records_at_once = false;
    let stream = world.subscribe(patient(&id));
    world.pass(Duration::from_secs(2 * 60));
    assert_eq!(said(&mut world, &stream), []);
    world.record_all();
    assert_eq!(said(&mut world, &stream).len(), 1);
}

#[test]
fn an_end_is_said_again_in_a_state_that_the_framework_knows_now() {
    for (end, state) in
        [(gone as fn(&mut World, &TaskKey), TaskState::GoneByOperator), (failed_and_gone, TaskState::Failed)]
    {
        let (mut world, id, _, key) = running();
        come_back(&mut world, &id, true);
        end(&mut world, &key);
        let plain = if state == TaskState::Failed { state } else { TaskState::Lost };
        for (is_aware, expected) in [(false, plain), (true, state)] {
            let stream = come_back(&mut world, &id, is_aware);
            let heard: Vec<_> = said(&mut world, &stream).into_iter().map(|(state, _)| state).collect();
            assert_eq!(heard, [expected]);
        }
    }
}

fn failed_and_gone(world: &mut World, key: &TaskKey) {
    failed(world, key);
    gone(world, key);
}
