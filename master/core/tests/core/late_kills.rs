//! A KILL of a task that a new leader has not heard of yet: it waits for whoever may have it.

use std::time::Duration;

use chapada_master_core::{AgentCommand, Call, MAX_LATE_KILLS};
use chapada_model::{FrameworkId, TaskKey, TaskState};

use crate::tasks::running;
use crate::world::World;

fn kill(world: &mut World, framework: &FrameworkId, task: &str, agent: Option<usize>) {
    let agent = agent.map(|index| world.agent_id(index));
    let call = Call::Kill { task: task.parse().expect("a valid id"), agent, policy: None };
    world.call(framework, call).expect("accepted");
}

/// A new leader whose framework is back, and whose agent is not.
fn without_its_agent() -> (World, FrameworkId, chapada_master_core::StreamId, TaskKey) {
    let (mut world, id, _, key) = running();
    let description = (*world.books().frameworks[&id].description).clone();
    world.break_link(0);
    world.fail_over();
    let stream = world.subscribe(description);
    world.settle();
    world.take(&stream);
    (world, id, stream, key)
}

fn kills(world: &World) -> usize {
    let commands = world.agents[0].commands.iter();
    commands.filter(|command| matches!(command, AgentCommand::Kill { .. })).count()
}

#[test]
fn what_was_to_be_killed_is_killed_when_its_agent_says_that_it_has_it() {
    for agent in [None, Some(0)] {
        let (mut world, id, stream, key) = without_its_agent();
        kill(&mut world, &id, key.task.as_str(), agent);
        assert!(world.take_updates(&stream).is_empty(), "nobody knows");
        world.connect(0);
        assert_eq!((kills(&world), world.agents[0].tasks[&key].kills), (1, 1));
        world.break_link(0);
        world.connect(0);
        assert_eq!(world.agents[0].tasks[&key].kills, 2, "known to be killed, it is told again as ever");
    }
}

#[test]
fn who_kills_what_nobody_has_hears_so_when_nobody_can_have_it() {
    let (mut world, id, stream, _) = without_its_agent();
    kill(&mut world, &id, "never-was", None);
    assert!(world.take_updates(&stream).is_empty());
    world.connect(0);
    let said: Vec<_> = world.take_updates(&stream);
    let said = said.iter().filter(|status| status.task.as_str() == "never-was").map(|status| status.state);
    assert_eq!(said.collect::<Vec<_>>(), [TaskState::Unknown]);
    assert_eq!(kills(&world), 0);
    // Nor when the agent is given up.
    let (mut world, id, stream, key) = without_its_agent();
    kill(&mut world, &id, key.task.as_str(), Some(0));
    world.pass(Duration::from_secs(600));
    let said = world.take_updates(&stream);
    assert_eq!(said.last().map(|status| status.state), Some(TaskState::Unreachable));
}

#[test]
fn no_more_are_kept_than_there_is_room_for() {
    let (mut world, id, _, key) = without_its_agent();
    for number in 0..MAX_LATE_KILLS {
        kill(&mut world, &id, &format!("t{number}"), None);
    }
    kill(&mut world, &id, key.task.as_str(), None);
    world.connect(0);
    assert_eq!(kills(&world), 0, "the last one found no room, and the audit holds the bound");
}
