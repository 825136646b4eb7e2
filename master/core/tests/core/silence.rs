//! What is said of tasks while their agent has not yet said, to this master, what it holds: nothing.

use std::time::Duration;

use chapada_master_core::{AgentCommand, AgentState, Call, SchedulerEvent};
use chapada_model::{FrameworkId, Reason, TaskKey, TaskState};

use crate::tasks::running;
use crate::world::World;

/// A framework that was running a task, subscribed to a new leader; the agent has not come back.
fn failed_over() -> (World, FrameworkId, chapada_master_core::StreamId, TaskKey) {
    let (mut world, id, _, key) = running();
    let description = (*world.books().frameworks[&id].description).clone();
    world.fail_over();
    let stream = world.subscribe(description);
    world.take(&stream);
    (world, id, stream, key)
}

/// What the framework hears when it asks for the task.
fn asked(
    world: &mut World,
    id: &FrameworkId,
    stream: &chapada_master_core::StreamId,
    key: &TaskKey,
) -> Option<TaskState> {
    world.take(stream);
    let tasks = vec![(key.task.clone(), Some(world.agent_id(0)))];
    assert_eq!(world.call(id, Call::Reconcile { tasks }), Ok(()));
    world.take_updates(stream).first().map(|status| status.state)
}

#[test]
fn an_agent_that_breaks_off_before_the_registry_has_it_has_said_nothing() {
    let (mut world, id, stream, key) = failed_over();
    world.records_at_once = false;
    world.agents[0].description.port += 1;
    world.connect(0);
    assert_eq!(asked(&mut world, &id, &stream, &key), None, "it is being admitted");
    world.break_link(0);
    world.record_all();
    let agent = world.agent_id(0);
    assert!(matches!(world.books().agents[&agent].state, AgentState::Disconnected { .. }));
    assert_eq!(asked(&mut world, &id, &stream, &key), None, "the task may live");
    world.connect(0);
    world.record_all();
    assert_eq!(asked(&mut world, &id, &stream, &key), Some(TaskState::Running));
}

#[test]
fn an_agent_on_its_way_into_the_registry_as_unreachable_has_said_nothing() {
    let (mut world, id, stream, key) = failed_over();
    world.records_at_once = false;
    world.pass(Duration::from_secs(600));
    assert_eq!(world.books().agents[&world.agent_id(0)].state, AgentState::Leaving);
    assert_eq!(asked(&mut world, &id, &stream, &key), None);
    world.record_all();
    assert_eq!(asked(&mut world, &id, &stream, &key), Some(TaskState::Unreachable));
}

#[test]
fn an_agent_that_was_given_up_and_breaks_off_while_it_returns_has_said_nothing() {
    let (mut world, id, stream, key) = failed_over();
    world.pass(Duration::from_secs(600));
    assert_eq!(asked(&mut world, &id, &stream, &key), Some(TaskState::Unreachable));
    world.records_at_once = false;
    world.connect(0);
    world.break_link(0);
    world.record_all();
    assert_eq!(asked(&mut world, &id, &stream, &key), None, "the task may live");
}

#[test]
fn a_task_that_a_former_leader_called_unreachable_is_announced_when_its_agent_is_back() {
    let (mut world, id, _, key) = running();
    let description = (*world.books().frameworks[&id].description).clone();
    world.break_link(0);
    world.pass(Duration::from_secs(75));
    world.fail_over();
    let stream = world.subscribe(description);
    assert_eq!(asked(&mut world, &id, &stream, &key), Some(TaskState::Unreachable));
    world.connect(0);
    let said = world.take_updates(&stream);
    let said: Vec<_> = said.iter().map(|status| (status.state, status.reason, status.uuid)).collect();
    assert_eq!(said, [(TaskState::Running, Some(Reason::AgentReregistered), None)]);
}

/// Its framework was with a former leader when the agent came back, and is with the next one before the agent is.
#[test]
fn a_task_whose_return_its_framework_was_not_there_to_hear_is_announced_by_the_next_leader() {
    let (mut world, id, _, key) = running();
    let description = (*world.books().frameworks[&id].description).clone();
    world.break_link(0);
    world.pass(Duration::from_secs(75));
    world.fail_over();
    world.connect(0);
    world.fail_over();
    let stream = world.subscribe(description.clone());
    assert_eq!(asked(&mut world, &id, &stream, &key), None);
    world.connect(0);
    let said: Vec<_> =
        world.take_updates(&stream).iter().map(|status| (status.state, status.reason)).collect();
    assert_eq!(said, [(TaskState::Running, Some(Reason::AgentReregistered))]);
    world.pass(Duration::from_secs(61 * 60));
    world.fail_over();
    let stream = world.subscribe(description);
    world.take(&stream);
    world.connect(0);
    assert!(world.take_updates(&stream).is_empty(), "that is no news any more");
}

#[test]
fn the_removal_of_a_framework_waits_for_agents_that_have_said_nothing() {
    let (mut world, id, stream, key) = failed_over();
    world.records_at_once = false;
    world.agents[0].description.port += 1;
    world.connect(0);
    world.break_link(0);
    assert_eq!(world.call(&id, Call::Teardown), Ok(()));
    world.record_all();
    assert!(world.registry.frameworks[&id].removed.is_some(), "agents must still hear of it");
    assert!(world.registry.unconfirmed[&id][&0].contains(&world.agent_id(0)));
    world.connect(0);
    world.record_all();
    assert!(world.take(&stream).iter().all(|event| !matches!(event, SchedulerEvent::Update(_))));
    world.update(0, &key, TaskState::Killed);
    world.record_all();
    assert!(!world.registry.frameworks.contains_key(&id), "confirmed");
}

#[test]
fn an_agent_that_comes_while_a_removal_is_on_its_way_is_told_once_that_is_durable() {
    let (mut world, id, _, _) = failed_over();
    world.records_at_once = false;
    assert_eq!(world.call(&id, Call::Teardown), Ok(()));
    world.connect(0);
    let end = AgentCommand::ShutdownFramework { framework: id };
    assert!(!world.agents[0].commands.contains(&end), "the leader may have been deposed");
    world.record_all();
    assert!(world.agents[0].commands.contains(&end));
}

/// The master that removed it did not know that the agent runs something of it, and the next one hears of it from the agent.
#[test]
fn a_framework_that_was_removed_while_its_agent_was_unreachable_stays_removed() {
    let (mut world, id, _, key) = running();
    let description = (*world.books().frameworks[&id].description).clone();
    world.break_link(0);
    world.pass(Duration::from_secs(75));
    world.fail_over();
    world.subscribe(description.clone());
    assert!(world.books().tasks.is_empty(), "nobody has said that there is one");
    assert_eq!(world.call(&id, Call::Teardown), Ok(()));
    world.fail_over();
    world.connect(0);
    assert!(!world.books().frameworks.contains_key(&id), "it is not adopted");
    world.subscribe(description);
    assert_eq!(world.refused_streams.last().map(String::as_str), Some("Framework has been removed"));
    let is_told =
        |command: &AgentCommand| *command == AgentCommand::ShutdownFramework { framework: id.clone() };
    assert!(world.agents[0].commands.iter().any(is_told));
    // Another leader still waits for the agent, though it is no longer unreachable.
    world.fail_over();
    world.connect(0);
    assert!(!world.books().frameworks.contains_key(&id) && world.registry.frameworks.contains_key(&id));
    world.update(0, &key, TaskState::Killed);
    assert!(!world.registry.frameworks.contains_key(&id), "confirmed, and nobody else is away");
}

#[test]
fn a_removal_is_forgotten_once_all_are_back_that_were_unreachable() {
    let (mut world, id, _, _) = running();
    world.add_agent("cpus:1");
    world.break_link(1);
    world.pass(Duration::from_secs(80));
    assert_eq!(world.call(&id, Call::Teardown), Ok(()));
    let key = world.agents[0].tasks.keys().next().expect("runs").clone();
    world.update(0, &key, TaskState::Killed);
    assert!(world.registry.frameworks[&id].removed.is_some() && world.registry.unconfirmed.is_empty());
    world.connect(1);
    assert!(!world.registry.frameworks.contains_key(&id));
}
