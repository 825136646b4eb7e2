//! Task groups under the built-in default executor.

use std::time::Duration;

use chapada_model::{ExecutorKey, ExecutorKind, Reason, TaskState as S};

use super::world::*;
use crate::*;

const POD: ExecutorKind = ExecutorKind::Default;

fn executor() -> ExecutorKey {
    ExecutorKey { framework: framework("f"), executor: "e".parse().unwrap() }
}

/// A group of `a` and `b`, whose commands run.
fn running() -> World {
    let mut world = World::registered();
    world.launch_group(&["a", "b"], POD, true);
    for task in ["a", "b"] {
        let container = world.container(&key(task));
        world.start(&container);
    }
    world
}

fn end(world: &mut World, task: &str, code: u8) {
    let container = world.container(&key(task));
    world.exit(&container, exit(code));
}

fn acknowledge_all(world: &mut World) {
    for (task, update) in world.sent.clone() {
        world.acknowledge(&task, &update);
    }
}

#[test]
fn a_group_is_said_to_run_when_all_of_it_does() {
    let mut world = World::registered();
    world.launch_group(&["a", "b"], POD, true);
    assert_eq!((world.states("a"), world.states("b")), (vec![S::Starting], vec![S::Starting]));
    let (a, b) = (world.container(&key("a")), world.container(&key("b")));
    assert_ne!(a, b, "each has a container of its own");
    world.start(&b);
    assert_eq!(world.states("b"), [S::Starting]);
    world.start(&a);
    assert_eq!(world.states("a"), [S::Starting, S::Running]);
    assert_eq!(world.states("b"), [S::Starting, S::Running]);
    let order: Vec<_> = world.sent.iter().map(|(task, _)| task.task.to_string()).collect();
    assert_eq!(order, ["a", "b", "a", "b"]);
}

#[test]
fn a_pod_is_over_when_its_ends_are_acknowledged() {
    let mut world = running();
    end(&mut world, "a", 0);
    assert_eq!(world.states("b"), [S::Starting, S::Running], "a success ends nobody else");
    end(&mut world, "b", 0);
    assert!(world.gone.is_empty());
    acknowledge_all(&mut world);
    assert_eq!(world.gone, [(executor(), 0)]);
    let view = world.agent.view();
    assert!(view.executors.is_empty() && view.frameworks.is_empty() && world.containers.is_empty());
    assert_eq!(world.agent.next_deadline(), None);
}

#[test]
fn a_pod_whose_ends_nobody_acknowledges_is_over_after_a_minute() {
    let mut world = running();
    end(&mut world, "a", 0);
    end(&mut world, "b", 0);
    world.pass(Duration::from_secs(59));
    assert!(world.gone.is_empty());
    world.pass(Duration::from_secs(1));
    assert_eq!(world.gone, [(executor(), 0)]);
    assert_eq!(world.agent.view().tasks.len(), 2, "the ends are still said");
    acknowledge_all(&mut world);
    assert!(world.agent.view().frameworks.is_empty());
}

#[test]
fn a_failure_ends_the_group_and_no_other_group_of_the_pod() {
    let mut world = running();
    world.launch_group(&["c"], POD, false);
    let c = world.container(&key("c"));
    world.start(&c);
    end(&mut world, "a", 1);
    let b = world.container(&key("b"));
    assert_eq!(world.signals, [(b.clone(), Signal::Terminate)]);
    assert_eq!(world.states("b").last(), Some(&S::Killing));
    world.exit(&b, Exit { cause: ExitCause::Signal(15), memory: None });
    assert_eq!((world.states("a").last(), world.states("b").last()), (Some(&S::Failed), Some(&S::Killed)));
    assert_eq!(world.states("c"), [S::Starting, S::Running]);
}

#[test]
fn a_kill_of_one_ends_the_group() {
    let mut world = running();
    world.kill("a");
    let (a, b) = (world.container(&key("a")), world.container(&key("b")));
    assert_eq!(world.signals, [(a.clone(), Signal::Terminate)], "the others wait for its end");
    world.exit(&a, Exit { cause: ExitCause::Signal(15), memory: None });
    assert_eq!(world.signals.last(), Some(&(b, Signal::Terminate)));
}

#[test]
fn if_one_cannot_start_none_runs() {
    let mut world = World::registered();
    world.launch_group(&["a", "b", "c"], POD, true);
    let (a, b, c) = (world.container(&key("a")), world.container(&key("b")), world.container(&key("c")));
    world.start(&a);
    world.apply(Event::LaunchFailed { container: b, message: "no such user".into() });
    let (_, failed) = world.sent.iter().find(|(_, update)| update.state == S::Failed).unwrap();
    assert_eq!(
        (failed.reason, failed.message.as_str()),
        (Some(Reason::ContainerLaunchFailed), "no such user")
    );
    assert!(world.signals.contains(&(a.clone(), Signal::Terminate)));
    assert!(world.signals.contains(&(c.clone(), Signal::Kill)));
    world.exit(&a, Exit { cause: ExitCause::Signal(15), memory: None });
    world.apply(Event::LaunchFailed { container: c, message: "killed".into() });
    for task in ["a", "c"] {
        assert!(!world.states(task).contains(&S::Running), "{task}");
        assert_eq!(world.states(task).last(), Some(&S::Killed));
    }
}

#[test]
fn one_that_ends_before_the_others_run_is_said_to_have_run() {
    let mut world = World::registered();
    world.launch_group(&["a", "b"], POD, true);
    let (a, b) = (world.container(&key("a")), world.container(&key("b")));
    world.start(&a);
    world.exit(&a, exit(0));
    assert_eq!(world.states("a"), [S::Starting, S::Running, S::Finished]);
    world.start(&b);
    assert_eq!(world.states("b"), [S::Starting, S::Running]);
}

#[test]
fn shutdown_kills_the_tasks_and_ends_the_pod() {
    let mut world = running();
    world.command(Command::ShutdownExecutor { framework: framework("f"), executor: "e".parse().unwrap() });
    for task in ["a", "b"] {
        let container = world.container(&key(task));
        assert!(world.signals.contains(&(container.clone(), Signal::Terminate)));
        world.exit(&container, Exit { cause: ExitCause::Signal(15), memory: None });
        assert_eq!(world.states(task).last(), Some(&S::Killed));
    }
    assert_eq!(world.gone, [(executor(), 0)]);
    world.launch_group(&["c"], POD, false);
    assert_eq!(world.states("c"), [S::Dropped]);
}

#[test]
fn a_pod_runs_on_after_a_restart() {
    let mut world = running();
    world.crash(0);
    world.register(1);
    let held = world.held.clone().unwrap();
    assert_eq!((held.executors.len(), held.tasks.len()), (1, 2));
    assert!(world.signals.is_empty());
    end(&mut world, "a", 1);
    let b = world.container(&key("b"));
    assert_eq!(world.signals, [(b, Signal::Terminate)], "the group is still one");
}

#[test]
fn what_ended_while_nobody_looked_ends_the_group_after_the_restart() {
    for (lost, left) in [("a", "b"), ("b", "a")] {
        let mut world = running();
        let container = world.container(&key(lost));
        world.containers.insert(container, FoundState::Exited(exit(1)));
        world.crash(0);
        world.register(1);
        let left = world.container(&key(left));
        assert_eq!(world.signals, [(left, Signal::Terminate)], "{lost} failed");
    }
}

#[test]
fn a_group_of_which_not_all_is_on_disk_never_started() {
    // The framework, the executor and two tasks were written; so many of those records made it to the disk.
    for survivors in 0..=4 {
        let mut world = World::registered();
        world.fast_disk = false;
        world.launch_group(&["a", "b"], POD, true);
        for task in ["a", "b"] {
            let container = world.container(&key(task));
            world.start(&container);
        }
        world.crash(survivors);
        world.fast_disk = true;
        world.sync();
        world.register(1);
        for task in ["a", "b"] {
            let said = world.states(task);
            assert!(said.is_empty() || said == [S::Dropped], "{survivors} records: {task} is {said:?}");
        }
        assert!(world.containers.is_empty(), "{survivors} records: nothing of it runs");
    }
}

#[test]
fn a_second_group_cannot_be_the_first_of_its_executor() {
    let mut world = running();
    world.launch_group(&["c"], POD, true);
    assert_eq!(world.states("c"), [S::Dropped]);
    assert!(world.gone.is_empty(), "the executor that runs is not over");
    let mut world = World::registered();
    world.launch_group(&["c"], POD, false);
    assert_eq!((world.last().state, world.last().reason), (S::Dropped, Some(Reason::ExecutorTerminated)));
}
