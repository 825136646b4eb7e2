//! Ends that were asked for.

use std::time::Duration;

use chapada_model::{Reason, TaskState as S};

use super::world::*;
use crate::*;

fn signals(world: &World) -> Vec<Signal> {
    world.signals.iter().map(|(_, signal)| *signal).collect()
}

#[test]
fn a_kill_asks_first_and_forces_after_the_grace() {
    let mut world = World::registered();
    let container = world.run("t");
    world.kill("t");
    assert_eq!(signals(&world), [Signal::Terminate]);
    world.pass(Duration::from_millis(2_999));
    assert_eq!(signals(&world), [Signal::Terminate]);
    world.pass(Duration::from_millis(1));
    assert_eq!(signals(&world), [Signal::Terminate, Signal::Kill]);
    world.pass(Duration::from_secs(1));
    assert_eq!(signals(&world)[2..], [Signal::Kill], "repeated until it is gone");
    world.exit(&container, Exit { cause: ExitCause::Signal(9), memory: None });
    assert_eq!(world.states("t"), [S::Starting, S::Running, S::Killing, S::Killed]);
    assert_eq!(world.last().message, "Command terminated with signal Killed");
}

#[test]
fn only_who_knows_killing_hears_of_it() {
    let mut world = World::registered();
    let mut launch = launch_of(&key("t"));
    launch.framework.knows_killing = false;
    world.command(Command::Launch(Box::new(launch)));
    let container = world.container(&key("t"));
    world.start(&container);
    world.kill("t");
    assert_eq!(world.states("t"), [S::Starting, S::Running]);
}

#[test]
fn a_kill_that_ends_well_is_finished() {
    let mut world = World::registered();
    let container = world.run("t");
    world.kill("t");
    world.exit(&container, exit(0));
    assert_eq!(world.last().state, S::Finished);
}

#[test]
fn a_second_kill_can_only_hurry() {
    let mut world = World::registered();
    world.run("t");
    world.kill("t");
    world.command(Command::Kill { task: key("t"), grace: Some(Duration::from_secs(60)) });
    world.command(Command::Kill { task: key("t"), grace: Some(Duration::from_secs(1)) });
    world.pass(Duration::from_secs(1));
    assert_eq!(signals(&world), [Signal::Terminate, Signal::Kill]);
    assert_eq!(world.states("t").iter().filter(|state| **state == S::Killing).count(), 1);
}

#[test]
fn a_kill_before_the_start_ends_it_as_soon_as_it_can_be() {
    let mut world = World::registered();
    let container = world.launch("t");
    world.kill("t");
    assert_eq!(signals(&world), [Signal::Kill], "there is no command yet that could end gently");
    world.start(&container);
    assert_eq!(signals(&world).len(), 3, "and again once there is one: it may have come too early");
    assert_eq!(signals(&world).last(), Some(&Signal::Kill));
    world.exit(&container, Exit { cause: ExitCause::Signal(9), memory: None });
    assert_eq!(world.last().state, S::Killed);
    assert!(!world.states("t").contains(&S::Running));
}

#[test]
fn a_kill_of_a_launch_that_then_fails_is_killed() {
    let mut world = World::registered();
    let container = world.launch("t");
    world.kill("t");
    world.apply(Event::LaunchFailed { container, message: "x".into() });
    assert_eq!((world.last().state, world.last().reason), (S::Killed, Some(Reason::TaskKilledDuringLaunch)));
}

#[test]
fn a_kill_of_an_unknown_task_is_answered() {
    let mut world = World::registered();
    world.kill("nope");
    assert_eq!((world.last().state, world.last().reason), (S::Dropped, Some(Reason::ExecutorTerminated)));
}

#[test]
fn a_framework_that_is_shut_down_leaves_nothing() {
    let mut world = World::registered();
    let running = world.run("t");
    let ended = world.run("u");
    world.exit(&ended, exit(0));
    world.command(Command::ShutdownFramework { framework: framework("f") });
    assert_eq!(world.signals, [(running.clone(), Signal::Terminate)]);
    world.register(1);
    let held = world.held.clone().unwrap().tasks;
    assert_eq!(held.len(), 1, "what still runs is stated, what has ended is not");
    assert_eq!(held[0].record.container, running);
    world.exit(&running, Exit { cause: ExitCause::Signal(15), memory: None });
    assert_eq!(
        (world.sent.last().unwrap().0.clone(), world.last().state),
        (key("t"), S::Killed),
        "the master is told"
    );
    assert!(world.agent.view().tasks.is_empty() && world.agent.view().frameworks.is_empty());
    assert!(world.containers.is_empty());
}

#[test]
fn an_end_that_is_not_on_disk_is_said_when_the_framework_is_shut_down() {
    let mut world = World::registered();
    let running = world.run("t");
    world.fast_disk = false;
    world.exit(&running, exit(0));
    assert_eq!(world.states("t").last(), Some(&S::Running));
    world.command(Command::ShutdownFramework { framework: framework("f") });
    assert_eq!(world.states("t").last(), Some(&S::Finished));
    assert!(world.agent.view().tasks.is_empty());
}

#[test]
fn the_executor_of_a_command_task_has_its_name() {
    let mut world = World::registered();
    world.run("t");
    world.command(Command::ShutdownExecutor { framework: framework("f"), executor: "t".parse().unwrap() });
    assert_eq!(signals(&world), [Signal::Terminate]);
    world.command(Command::ShutdownExecutor { framework: framework("f"), executor: "u".parse().unwrap() });
    assert_eq!(world.refused, ["framework f has no executor u here"]);
}
