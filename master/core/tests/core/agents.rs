//! How agents come, break off, are given up and return; and what a new leader makes of what they state.

use std::time::Duration;

use chapada_master_core::{
    AgentCommand, AgentState, Event, RefusedReason, SchedulerEvent, Standing, TaskPhase,
};
use chapada_model::{Milli, Reason, TaskKey, TaskState};

use crate::tasks::{launch, running};
use crate::world::{World, framework};

#[test]
fn an_agent_is_welcome_once_the_registry_has_it() {
    let mut world = World::new();
    world.records_at_once = false;
    world.add_agent("cpus:1");
    assert!(!world.agents[0].is_welcome);
    world.record_all();
    assert_eq!(world.agent_id(0).as_str(), "m1-S0");
    assert_eq!(world.registry.agents[&world.agent_id(0)].standing, Standing::Admitted);
    world.add_agent("cpus:1");
    world.record_all();
    assert_eq!(world.agent_id(1).as_str(), "m1-S1");
    assert_eq!(world.books().counters.agent_registrations, 2);
}

#[test]
fn one_that_goes_before_it_heard_its_id_leaves_nothing() {
    let mut world = World::new();
    world.records_at_once = false;
    world.add_agent("cpus:1");
    world.break_link(0);
    world.record_all();
    assert!(world.books().agents.is_empty() && world.registry.agents.is_empty());
}

#[test]
fn a_broken_link_takes_offers_back_and_leaves_tasks() {
    let (mut world, id, stream, key) = running();
    world.settle();
    let offer = world.offers(&id)[0].clone();
    world.take(&stream);
    world.break_link(0);
    assert_eq!(world.take(&stream), [SchedulerEvent::Rescind(offer)]);
    world.pass(Duration::from_secs(74));
    assert_eq!(world.books().tasks[&key].phase, TaskPhase::Live);
    world.connect(0);
    assert!(world.take_updates(&stream).is_empty(), "nothing has changed for the task");
    world.settle();
    assert_eq!(world.offers(&id).len(), 1);
}

#[test]
fn one_that_stays_away_is_unreachable_and_may_come_back() {
    let (mut world, id, stream, key) = running();
    world.take(&stream);
    world.break_link(0);
    world.pass(Duration::from_secs(75));
    let agent = world.agent_id(0);
    assert!(matches!(world.registry.agents[&agent].standing, Standing::Unreachable { .. }));
    assert!(matches!(world.books().agents[&agent].state, AgentState::Unreachable { .. }));
    let events = world.take(&stream);
    let said = |events: &[SchedulerEvent]| {
        events.iter().find_map(|event| match event {
            SchedulerEvent::Update(status) => Some((status.state, status.reason, status.uuid)),
            _ => None,
        })
    };
    assert_eq!(said(&events), Some((TaskState::Unreachable, Some(Reason::AgentRemoved), None)));
    assert!(events.contains(&SchedulerEvent::Failure { agent: agent.clone(), executor: None, status: None }));
    assert!(world.books().total.is_empty());
    world.connect(0);
    assert_eq!(world.registry.agents[&agent].standing, Standing::Admitted);
    let task = world.books().tasks[&key].clone();
    assert_eq!((task.phase, task.state), (TaskPhase::Live, TaskState::Running));
    let back = said(&world.take(&stream));
    assert_eq!(back, Some((TaskState::Running, Some(Reason::AgentReregistered), None)));
    world.settle();
    assert_eq!(world.offers(&id).len(), 1);
}

#[test]
fn a_return_while_it_is_being_given_up_waits_for_the_registry() {
    let (mut world, _, _, key) = running();
    world.records_at_once = false;
    world.break_link(0);
    world.pass(Duration::from_secs(75));
    assert_eq!(world.books().agents[&world.agent_id(0)].state, AgentState::Leaving);
    world.connect(0);
    assert!(!world.agents[0].is_welcome);
    world.record_all();
    assert!(world.agents[0].is_welcome);
    assert_eq!(world.registry.agents[&world.agent_id(0)].standing, Standing::Admitted);
    assert_eq!(world.books().tasks[&key].phase, TaskPhase::Live);
}

#[test]
fn a_launch_that_was_never_delivered_is_dropped() {
    let (mut world, id, stream, _) = running();
    world.settle();
    let key = launch(&mut world, &id, "lost", "cpus:0.1");
    world.agents[0].tasks.remove(&key);
    world.take(&stream);
    world.break_link(0);
    world.connect(0);
    let updates = world.take_updates(&stream);
    assert_eq!((updates[0].state, updates[0].reason), (TaskState::Dropped, Some(Reason::Reconciliation)));
    assert!(!world.books().tasks.contains_key(&key));
}

#[test]
fn a_running_task_that_its_agent_does_not_have_is_gone() {
    let (mut world, _, stream, key) = running();
    world.agents[0].tasks.clear();
    world.take(&stream);
    world.break_link(0);
    world.connect(0);
    assert_eq!(world.take_updates(&stream)[0].state, TaskState::Gone);
    assert!(!world.books().tasks.contains_key(&key));
}

#[test]
fn one_that_returns_with_less_than_it_runs_is_overcommitted_by_name() {
    let (mut world, _, _, key) = running();
    world.break_link(0);
    world.agents[0].description.resources = "cpus:0.2;mem:1024".parse().expect("valid");
    world.connect(0);
    let agent = world.books().agents[&world.agent_id(0)].clone();
    assert_eq!((agent.overcommit.cpus(), agent.free.cpus()), (Milli(300), Milli(0)));
    world.update(0, &key, TaskState::Finished);
    let agent = world.books().agents[&world.agent_id(0)].clone();
    assert_eq!((agent.overcommit.cpus(), agent.free.cpus()), (Milli(0), Milli(200)));
}

#[test]
fn a_new_leader_learns_everything_from_agents_and_frameworks() {
    let (mut world, id, _, key) = running();
    let description = (*world.books().frameworks[&id].description).clone();
    world.fail_over();
    assert!(matches!(world.books().agents[&world.agent_id(0)].state, AgentState::Recovered { .. }));
    world.connect(0);
    let task = world.books().tasks[&key].clone();
    assert_eq!(
        (task.phase, task.state, task.launched),
        (TaskPhase::Live, TaskState::Running, world.now.wall)
    );
    assert_eq!(world.books().agents[&world.agent_id(0)].used.cpus(), Milli(500));
    let launches = |world: &World| {
        world.agents[0]
            .commands
            .iter()
            .filter(|command| matches!(command, AgentCommand::Launch { .. }))
            .count()
    };
    assert_eq!(launches(&world), 1, "nothing is launched again");
    let stream = world.subscribe(description);
    world.settle();
    assert_eq!(world.take(&stream)[0], SchedulerEvent::Subscribed);
    assert_eq!(world.books().epoch, 2);
    let (other, _) = world.framework(framework("g", &["*"]));
    assert_eq!(other.as_str(), "m2-0000");
}

#[test]
fn agents_that_do_not_come_back_to_a_new_leader_are_given_up_in_full_time() {
    let (mut world, _, _, _) = running();
    world.fail_over();
    world.pass(Duration::from_secs(599));
    assert!(matches!(world.books().agents[&world.agent_id(0)].state, AgentState::Recovered { .. }));
    world.pass(Duration::from_secs(1));
    assert!(matches!(world.books().agents[&world.agent_id(0)].state, AgentState::Unreachable { .. }));
}

/// A new leader that has not heard of the first agent yet, and on a second one the task that still runs on the first.
fn launched_again_elsewhere() -> (World, TaskKey) {
    let (mut world, id, _, key) = running();
    let description = (*world.books().frameworks[&id].description).clone();
    world.break_link(0);
    world.fail_over();
    world.add_agent("cpus:2;mem:1024");
    world.subscribe(description);
    world.settle();
    assert_eq!(launch(&mut world, &id, "t", "cpus:1"), key);
    (world, key)
}

#[test]
fn a_task_that_lives_twice_is_ended_where_it_came_second() {
    let (mut world, key) = launched_again_elsewhere();
    world.connect(0);
    assert_eq!(world.agents[0].tasks[&key].kills, 1);
    assert_eq!(world.agents[1].tasks[&key].kills, 0);
    assert_eq!(
        world.books().agents[&world.agent_id(0)].used.cpus(),
        Milli(500),
        "it holds until it has ended"
    );
    world.update(0, &key, TaskState::Killed);
    assert_eq!(world.books().agents[&world.agent_id(0)].used.cpus(), Milli(0));
    assert_eq!(world.books().tasks[&key].agent, world.agent_id(1));
}

#[test]
fn a_task_that_has_ended_does_not_live_again_where_it_came_second() {
    let (mut world, key) = launched_again_elsewhere();
    world.update(1, &key, TaskState::Finished);
    world.connect(0);
    let books = world.books();
    assert_eq!(books.tasks[&key].state, TaskState::Finished, "its last update is not acknowledged yet");
    assert_eq!(books.tasks[&key].agent, world.agent_id(1));
    assert_eq!(world.agents[0].tasks[&key].kills, 1);
    world.update(0, &key, TaskState::Killed);
    assert_eq!(world.books().agents[&world.agent_id(0)].used.cpus(), Milli(0));
    assert_eq!(world.books().tasks[&key].state, TaskState::Finished);
}

#[test]
fn an_id_that_lives_elsewhere_and_holdings_that_cannot_be_are_refused() {
    let (mut world, _, _, _) = running();
    let mut thief = crate::world::description("elsewhere", "cpus:1".parse().expect("valid"));
    thief.id = Some(world.agent_id(0));
    world.agents.push(crate::world::SimAgent::new(1, thief));
    let refused = |world: &World, index: usize| match world.agents[index].commands.last() {
        Some(AgentCommand::Refused { reason, .. }) => Some(*reason),
        _ => None,
    };
    let is_refused = |world: &mut World| {
        world.agents[1].commands.clear();
        world.connect(1);
        assert_eq!(refused(world, 1), Some(RefusedReason::IdInUse));
    };
    is_refused(&mut world);
    world.break_link(0);
    is_refused(&mut world);
    world.pass(Duration::from_secs(100));
    is_refused(&mut world);
    world.connect(0);
    world.break_link(0);
    world.agents[0].frameworks.clear();
    world.fail_over();
    world.registry.frameworks.clear();
    world.fail_over();
    world.connect(0);
    assert_eq!(refused(&world, 0), Some(RefusedReason::Invalid));
}

#[test]
fn a_leader_that_was_suspended_gives_those_who_are_away_their_time() {
    let mut world = World::new();
    for _ in 0..3 {
        world.add_agent("cpus:4;mem:1024");
    }
    let (away, stream) = world.framework(framework("f", &["*"]));
    world.close(&stream);
    world.break_link(0);
    let last_heard = world.now.mono;
    // Nobody could come back, and nothing was heard, for longer than anyone has.
    world.suspend(Duration::from_secs(14 * 24 * 3600));
    let (link, agent) = (world.agents[1].link.take().expect("it was connected"), world.agent_id(1));
    world.agents[1].is_welcome = false;
    world.apply(Event::LinkClosed { link, agent, last_heard });
    for index in [0, 1] {
        let state = world.books().agents[&world.agent_id(index)].state.clone();
        assert!(matches!(state, AgentState::Disconnected { .. }), "{state:?}");
    }
    assert!(world.books().frameworks.contains_key(&away), "its failover timeout begins anew");
    world.connect(0);
    world.connect(1);
    world.pass(Duration::from_secs(100));
    assert_eq!(world.books().counters.agents_unreachable, 0);
    // Time that passes while it leads counts.
    world.break_link(0);
    world.pass(Duration::from_secs(100));
    assert_eq!(world.books().counters.agents_unreachable, 1);
}
