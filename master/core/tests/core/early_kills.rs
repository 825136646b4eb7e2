//! A KILL that arrives before the ACCEPT that was sent before it: the task never starts.

use std::time::Duration;

use chapada_master_core::{
    Accept, Call, EARLY_KILL_WAIT, MAX_EARLY_KILLS, Operation, Proposal, StreamId, TaskGroup,
};
use chapada_model::{Filters, FrameworkId, Reason, TaskState};

use crate::tasks::launch;
use crate::world::{World, command_task, framework};

/// An agent, and a framework with an offer of it.
fn offered() -> (World, FrameworkId, StreamId) {
    let mut world = World::new();
    world.add_agent("cpus:2;mem:1024");
    let (framework, stream) = world.framework(framework("f", &["*"]));
    world.settle();
    world.take(&stream);
    (world, framework, stream)
}

fn kill(world: &mut World, framework: &FrameworkId, task: &str) {
    let call = Call::Kill { task: task.parse().expect("a valid id"), agent: None, policy: None };
    world.call(framework, call).expect("accepted");
}

fn said(world: &mut World, stream: &StreamId) -> Vec<(TaskState, Option<Reason>)> {
    world.take_updates(stream).iter().map(|status| (status.state, status.reason)).collect()
}

#[test]
fn a_launch_that_its_kill_has_overtaken_never_starts() {
    let (mut world, id, stream) = offered();
    kill(&mut world, &id, "t");
    let key = launch(&mut world, &id, "t", "cpus:0.5");
    let during_launch = Some(Reason::TaskKilledDuringLaunch);
    assert_eq!(
        said(&mut world, &stream),
        [(TaskState::Unknown, Some(Reason::Reconciliation)), (TaskState::Killed, during_launch)]
    );
    assert!(world.agents[0].tasks.is_empty() && !world.books().tasks.contains_key(&key));
    world.pass(Duration::from_secs(2));
    launch(&mut world, &id, "t", "cpus:2");
    assert!(world.agents[0].tasks.contains_key(&key), "what it was to use is free, and a kill counts once");
}

#[test]
fn a_launch_that_was_sent_after_the_kill_starts() {
    let (mut world, id, stream) = offered();
    let key = launch(&mut world, &id, "first", "cpus:1");
    world.update(0, &key, TaskState::Finished);
    assert!(world.offers(&id).is_empty());
    kill(&mut world, &id, "unoffered");
    world.pass(Duration::from_secs(1));
    kill(&mut world, &id, "offered");
    let offer = world.offers(&id)[0].clone();
    world
        .call(&id, Call::Decline { offers: vec![offer], filters: Filters { refuse: Duration::ZERO } })
        .expect("ok");
    world.pass(Duration::from_secs(2));
    world.take(&stream);
    let first = launch(&mut world, &id, "unoffered", "cpus:1");
    world.pass(Duration::from_secs(2));
    let second = launch(&mut world, &id, "offered", "cpus:1");
    assert!(world.agents[0].tasks.contains_key(&first), "nothing could be on its way");
    assert!(world.agents[0].tasks.contains_key(&second), "its offer is newer than the kill");
}

#[test]
fn a_kill_waits_for_its_launch_so_long_and_no_longer() {
    for (wait, starts) in [(EARLY_KILL_WAIT, false), (EARLY_KILL_WAIT + Duration::from_millis(1), true)] {
        let (mut world, id, _) = offered();
        kill(&mut world, &id, "t");
        world.pass(wait);
        let key = launch(&mut world, &id, "t", "cpus:1");
        assert_eq!(world.agents[0].tasks.contains_key(&key), starts, "{wait:?}");
    }
}

#[test]
fn so_many_kills_are_remembered_and_the_oldest_make_room() {
    let (mut world, id, _) = offered();
    for number in 0..=MAX_EARLY_KILLS {
        kill(&mut world, &id, &format!("t{number}"));
    }
    let agent = world.agent_id(0);
    let tasks = ["t0", "t1"].map(|id| Proposal::Valid(Box::new(command_task(id, &agent, "cpus:0.1"))));
    let operations = vec![Operation::Launch { tasks: tasks.to_vec() }];
    let offers = world.offers(&id);
    let accept = Accept { offers, operations, filters: Filters { refuse: Duration::ZERO } };
    world.call(&id, Call::Accept(accept)).expect("accepted");
    let started: Vec<&str> = world.agents[0].tasks.keys().map(|key| key.task.as_str()).collect();
    assert_eq!(started, ["t0"]);
}

#[test]
fn a_group_is_killed_as_a_whole_and_a_new_stream_begins_afresh() {
    let (mut world, id, stream) = offered();
    kill(&mut world, &id, "a");
    let agent = world.agent_id(0);
    let tasks = ["a", "b"].map(|id| Proposal::Valid(Box::new(command_task(id, &agent, "cpus:0.1"))));
    let group = TaskGroup { executor: None, tasks: tasks.to_vec(), problem: None };
    let operations = vec![Operation::LaunchGroup(group)];
    let offers = world.offers(&id);
    let accept = Accept { offers, operations, filters: Filters { refuse: Duration::ZERO } };
    world.call(&id, Call::Accept(accept)).expect("accepted");
    let states: Vec<TaskState> = world.take_updates(&stream).iter().map(|status| status.state).collect();
    assert_eq!(states, [TaskState::Unknown, TaskState::Killed, TaskState::Killed]);
    world.pass(Duration::from_secs(2));
    kill(&mut world, &id, "c");
    let description = (*world.books().frameworks[&id].description).clone();
    world.subscribe(description);
    world.settle();
    let key = launch(&mut world, &id, "c", "cpus:1");
    assert!(world.agents[0].tasks.contains_key(&key), "calls of the former stream are refused by now");
}
