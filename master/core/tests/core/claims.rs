//! Who comes with an id that another has: nothing changes for the one whose link stands.

use chapada_master_core::{AgentCall, AgentCommand, AgentState, RefusedReason, SchedulerEvent, TaskPhase};
use chapada_model::{AgentId, TaskState};

use crate::tasks::running;
use crate::world::{SimAgent, World};

/// A machine that says it is the first agent, hostname and all, and holds nothing; it has not connected yet.
fn claimant(world: &mut World) -> usize {
    let number = world.agents.len();
    let machine = u16::try_from(number).expect("few agents");
    let description = world.agents[0].description.clone();
    world.agents.push(SimAgent::new(machine, description));
    number
}

/// The agent of this number connects and is refused, with the reason and what it is told.
fn refused(world: &mut World, number: usize) -> (RefusedReason, String) {
    world.agents[number].commands.clear();
    world.connect(number);
    assert_eq!(world.agents[number].link, None, "its connection is closed");
    match &world.agents[number].commands[..] {
        [AgentCommand::Refused { reason, message }] => (*reason, message.to_string()),
        other => panic!("not refused: {other:?}"),
    }
}

fn is_active(world: &World, id: &AgentId) -> bool {
    matches!(world.books().agents[id].state, AgentState::Active { .. })
}

#[test]
fn another_machine_with_the_id_and_the_hostname_of_a_connected_agent_is_refused_and_nothing_changes() {
    let (mut world, framework, stream, _) = running();
    world.settle();
    let other = claimant(&mut world);
    world.take(&stream);
    let (before, link, offers) = (world.books(), world.agents[0].link, world.offers(&framework));
    let (registry, heard) = (world.registry.clone(), world.agents[0].commands.clone());
    for _ in 0..3 {
        let (reason, message) = refused(&mut world, other);
        assert_eq!(reason, RefusedReason::IdInUse);
        for part in ["10.0.0.0", "10.0.0.1", "work directory"] {
            assert!(message.contains(part), "{message}");
        }
    }
    let after = world.books();
    assert_eq!((&after.agents, &after.tasks), (&before.agents, &before.tasks));
    assert_eq!((&after.frameworks, &after.counters), (&before.frameworks, &before.counters));
    assert!(!offers.is_empty() && world.offers(&framework) == offers);
    assert_eq!((world.take(&stream), world.registry.clone()), (Vec::new(), registry));
    assert_eq!((world.agents[0].link, world.agents[0].commands.clone()), (link, heard));
}

#[test]
fn an_agent_that_waits_for_the_registry_keeps_its_id_too() {
    let (mut world, _, _, key) = running();
    let other = claimant(&mut world);
    world.break_link(0);
    world.pass(std::time::Duration::from_secs(75));
    world.records_at_once = false;
    world.connect(0);
    assert!(!world.agents[0].is_welcome);
    assert_eq!(refused(&mut world, other).0, RefusedReason::IdInUse);
    world.record_all();
    assert!(world.agents[0].is_welcome);
    assert_eq!(world.books().tasks[&key].phase, TaskPhase::Live);
}

#[test]
fn one_that_an_operator_gives_up_keeps_its_link_until_that_is_durable_whoever_claims_its_id() {
    let (mut world, _, _, _) = running();
    let (id, other) = (world.agent_id(0), claimant(&mut world));
    world.records_at_once = false;
    world.agent_call(AgentCall::MarkGone { agent: id.clone() }).expect("taken");
    assert_eq!(refused(&mut world, other).0, RefusedReason::IdInUse);
    assert!(is_active(&world, &id) && world.agents[0].link.is_some());
    world.record_all();
    assert_eq!(refused(&mut world, other).0, RefusedReason::Gone);
}

#[test]
fn who_comes_from_the_address_of_the_link_takes_its_place() {
    let (mut world, _, stream, key) = running();
    let (id, other) = (world.agent_id(0), claimant(&mut world));
    world.agents[other].from = world.agents[0].from;
    world.take(&stream);
    world.connect(other);
    assert!(world.agents[other].is_welcome && is_active(&world, &id));
    assert_eq!(world.agents[0].link, None, "the former link is closed");
    assert!(!world.books().tasks.contains_key(&key), "it does not have the task");
    let gone =
        |event: &SchedulerEvent| matches!(event, SchedulerEvent::Update(s) if s.state == TaskState::Gone);
    assert!(world.take(&stream).iter().any(gone));
}

#[test]
fn an_agent_that_has_another_address_is_taken_once_its_former_link_has_ended() {
    let (mut world, _, stream, key) = running();
    let (id, link) = (world.agent_id(0), world.agents[0].link);
    let former = world.agents[0].from;
    world.agents[0].from = std::net::Ipv4Addr::new(10, 9, 9, 9).into();
    assert_eq!(refused(&mut world, 0).0, RefusedReason::IdInUse);
    assert!(is_active(&world, &id));
    // Nothing is heard on the former link any more.
    world.agents[0].link = link;
    world.break_link(0);
    world.take(&stream);
    world.connect(0);
    assert!(world.agents[0].is_welcome && is_active(&world, &id));
    assert_eq!(world.books().tasks[&key].phase, TaskPhase::Live);
    assert_eq!(world.take_updates(&stream), []);
    // It is the new address that counts from now on, through all that makes the books of it anew.
    world.connect(0);
    let moved = std::mem::replace(&mut world.agents[0].from, former);
    assert_eq!(refused(&mut world, 0).0, RefusedReason::IdInUse);
    world.agents[0].from = moved;
    world.connect(0);
    assert!(world.agents[0].is_welcome);
}
