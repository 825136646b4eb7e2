//! Agents that are given up for good, seen by the leader after the one that was asked for it.

use std::time::Duration;

use chapada_master_core::{AgentCall, AgentState, Call, DrainOrder, StreamId};
use chapada_model::{
    AgentId, FrameworkCapability, FrameworkDescription, FrameworkId, Reason, TaskKey, TaskState,
};

use crate::tasks::running;
use crate::world::{World, framework};

pub(crate) fn come_back(world: &mut World, id: &FrameworkId, is_aware: bool) -> StreamId {
    let mut description = FrameworkDescription { id: Some(id.clone()), ..framework("f", &["*"]) };
    match is_aware {
        true => drop(description.capabilities.insert(FrameworkCapability::PartitionAware)),
        false => drop(description.capabilities.remove(&FrameworkCapability::PartitionAware)),
    }
    world.subscribe(description)
}

pub(crate) fn said(world: &mut World, stream: &StreamId) -> Vec<(TaskState, Option<Reason>)> {
    world.take_updates(stream).iter().map(|status| (status.state, status.reason)).collect()
}

fn ask(world: &mut World, key: &TaskKey, agent: Option<AgentId>) {
    let call = Call::Reconcile { tasks: vec![(key.task.clone(), agent)] };
    world.call(&key.framework, call).expect("accepted");
}

fn acknowledge_all(world: &mut World, key: &TaskKey) {
    while let Some(task) = world.books().tasks.get(key).cloned() {
        let Some(uuid) = task.unacknowledged.front().copied() else { return };
        let call = Call::Acknowledge { agent: task.agent.clone(), task: key.task.clone(), uuid };
        world.call(&key.framework, call).expect("accepted");
    }
}

/// One task that runs, and its framework knows.
fn heard() -> (World, FrameworkId, StreamId, TaskKey) {
    let (mut world, id, stream, key) = running();
    acknowledge_all(&mut world, &key);
    world.take(&stream);
    (world, id, stream, key)
}

/// The registry has it, and the leader falls before it can say so to anyone.
#[test]
fn tasks_that_only_the_former_leader_knew_are_gone_by_operator_for_whoever_names_their_agent() {
    for (is_aware, expected) in [(true, TaskState::GoneByOperator), (false, TaskState::Lost)] {
        let (mut world, id, _, key) = running();
        let agent = world.agent_id(0);
        world.records_at_once = false;
        world.agent_call(AgentCall::MarkGone { agent: agent.clone() }).expect("taken");
        for (_, change) in std::mem::take(&mut world.tickets) {
            world.registry.apply(change);
        }
        world.fail_over();
        world.records_at_once = true;
        let stream = come_back(&mut world, &id, is_aware);
        assert_eq!(said(&mut world, &stream), [], "nobody tells a new leader of it");
        ask(&mut world, &key, Some(agent.clone()));
        assert_eq!(said(&mut world, &stream), [(expected, Some(Reason::Reconciliation))]);
        // Source: so does Mesos, where a kill says which agent.
        let call = Call::Kill { task: key.task.clone(), agent: Some(agent), policy: None };
        world.call(&id, call).expect("accepted");
        assert_eq!(said(&mut world, &stream), [(expected, Some(Reason::Reconciliation))]);
        ask(&mut world, &key, None);
        let unknown = if is_aware { TaskState::Unknown } else { TaskState::Lost };
        assert_eq!(said(&mut world, &stream), [(unknown, Some(Reason::Reconciliation))]);
        world.connect(0);
        assert!(world.agents[0].link.is_none(), "it is not taken back");
    }
}

#[test]
fn what_a_drain_has_killed_for_good_is_said_the_same_by_the_next_leader() {
    let (mut world, id, stream, key) = heard();
    let agent = world.agent_id(0);
    let order = DrainOrder { mark_gone: true, ..DrainOrder::default() };
    world.agent_call(AgentCall::Drain { agent: agent.clone(), order }).expect("taken");
    world.update(0, &key, TaskState::Killed);
    let gone = (TaskState::GoneByOperator, Some(Reason::AgentDraining));
    assert_eq!(said(&mut world, &stream), [gone]);
    world.fail_over();
    world.connect(0);
    let stream = come_back(&mut world, &id, true);
    // The agent repeats what was not acknowledged.
    world.update(0, &key, TaskState::Killed);
    let repeated = said(&mut world, &stream);
    assert!(!repeated.is_empty() && repeated.iter().all(|one| *one == gone), "{repeated:?}");
    ask(&mut world, &key, Some(agent.clone()));
    assert_eq!(said(&mut world, &stream), [(TaskState::GoneByOperator, Some(Reason::Reconciliation))]);
    acknowledge_all(&mut world, &key);
    assert!(matches!(world.books().agents[&agent].state, AgentState::Gone { .. }));
    ask(&mut world, &key, Some(agent));
    assert_eq!(said(&mut world, &stream), [(TaskState::GoneByOperator, Some(Reason::Reconciliation))]);
}

#[test]
fn an_end_that_a_leader_only_hears_of_when_the_agent_is_back_is_the_drain_s_all_the_same() {
    let (mut world, _, stream, key) = heard();
    let agent = world.agent_id(0);
    let order = DrainOrder { mark_gone: true, ..DrainOrder::default() };
    world.agent_call(AgentCall::Drain { agent, order }).expect("taken");
    world.break_link(0);
    // It ends while nobody listens.
    let now = world.now.wall;
    world.agents[0].say(&key, TaskState::Killed, now);
    world.connect(0);
    world.update(0, &key, TaskState::Killed);
    let gone = (TaskState::GoneByOperator, Some(Reason::AgentDraining));
    assert_eq!(said(&mut world, &stream).last(), Some(&gone));
}

#[test]
fn what_ended_before_the_drain_began_to_kill_stays_killed_for_the_next_leader() {
    for notice in [None, Some(Duration::from_secs(600))] {
        let (mut world, id, stream, key) = running();
        world.take(&stream);
        let agent = world.agent_id(0);
        let order = DrainOrder { mark_gone: true, notice, ..DrainOrder::default() };
        if notice.is_some() {
            world.agent_call(AgentCall::Drain { agent: agent.clone(), order }).expect("taken");
            world.pass(Duration::from_secs(1));
        }
        world.update(0, &key, TaskState::Killed);
        let killed = said(&mut world, &stream);
        assert!(matches!(killed[..], [(TaskState::Killed, reason)] if reason != Some(Reason::AgentDraining)));
        world.pass(Duration::from_secs(1));
        if notice.is_none() {
            world.agent_call(AgentCall::Drain { agent, order }).expect("taken");
        }
        world.pass(Duration::from_secs(601));
        world.fail_over();
        world.connect(0);
        let stream = come_back(&mut world, &id, true);
        world.update(0, &key, TaskState::Killed);
        let repeated = said(&mut world, &stream);
        assert!(!repeated.is_empty() && repeated.iter().all(|(state, _)| *state == TaskState::Killed));
    }
}

/// An operator says again how an agent is drained, or says it otherwise, once and twice.
#[test]
fn an_end_told_before_a_drain_was_ordered_anew_is_said_the_same_by_the_next_leader() {
    let plain = DrainOrder::default();
    let gone = DrainOrder { mark_gone: true, ..plain };
    let gone_later = DrainOrder { notice: Some(Duration::from_secs(600)), ..gone };
    for (orders, expected) in [
        (vec![gone, gone], TaskState::GoneByOperator),
        (vec![gone, gone, gone], TaskState::GoneByOperator),
        (vec![gone, gone_later], TaskState::GoneByOperator),
        (vec![gone, gone_later, gone_later], TaskState::GoneByOperator),
        (vec![gone, plain], TaskState::GoneByOperator),
        (vec![plain, gone], TaskState::Killed),
    ] {
        let (mut world, id, stream, key) = heard();
        let agent = world.agent_id(0);
        let order = |world: &mut World, order| {
            world.agent_call(AgentCall::Drain { agent: agent.clone(), order }).expect("taken");
            world.pass(Duration::from_secs(1));
        };
        order(&mut world, orders[0]);
        world.update(0, &key, TaskState::Killed);
        let told = (expected, Some(Reason::AgentDraining));
        assert_eq!(said(&mut world, &stream), [told]);
        world.pass(Duration::from_secs(1));
        orders[1..].iter().for_each(|one| order(&mut world, *one));
        // The agent repeats it to the same leader, and states it to the next.
        world.update(0, &key, TaskState::Killed);
        assert_eq!(said(&mut world, &stream), [told], "{orders:?}");
        world.fail_over();
        world.connect(0);
        let stream = come_back(&mut world, &id, true);
        world.update(0, &key, TaskState::Killed);
        let repeated = said(&mut world, &stream);
        assert!(!repeated.is_empty() && repeated.iter().all(|one| *one == told), "{orders:?} {repeated:?}");
    }
}

/// Nobody was told then that it was the drain's.
#[test]
fn an_end_in_the_notice_of_a_drain_that_was_ordered_anew_stays_killed_for_the_next_leader() {
    let (mut world, id, stream, key) = heard();
    let agent = world.agent_id(0);
    let gone = DrainOrder { mark_gone: true, ..DrainOrder::default() };
    for order in [gone, DrainOrder { notice: Some(Duration::from_secs(600)), ..gone }] {
        world.agent_call(AgentCall::Drain { agent: agent.clone(), order }).expect("taken");
        world.pass(Duration::from_secs(1));
    }
    world.update(0, &key, TaskState::Killed);
    let told = said(&mut world, &stream);
    assert!(matches!(told[..], [(TaskState::Killed, _)]), "{told:?}");
    world.fail_over();
    world.connect(0);
    let stream = come_back(&mut world, &id, true);
    world.update(0, &key, TaskState::Killed);
    let repeated = said(&mut world, &stream);
    assert!(!repeated.is_empty() && repeated.iter().all(|(state, _)| *state == TaskState::Killed));
}
