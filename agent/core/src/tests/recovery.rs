//! kill -9 at the worst moment.

use std::time::Duration;

use chapada_model::{Reason, TaskState as S};

use super::world::*;
use crate::*;

fn back(world: &mut World) {
    world.crash(0);
    world.sent.clear();
    world.register(1);
}

#[test]
fn a_running_task_is_adopted_and_runs_on() {
    let mut world = World::registered();
    let container = world.run("t");
    back(&mut world);
    assert_eq!(world.states("t"), [S::Starting, S::Running], "unacknowledged updates are repeated");
    world.exit(&container, exit(0));
    assert_eq!(world.last().state, S::Finished);
}

#[test]
fn an_end_that_nobody_saw_is_reported_with_its_code() {
    let mut world = World::registered();
    let container = world.run("t");
    world.containers.insert(container, FoundState::Exited(exit(3)));
    back(&mut world);
    assert_eq!(world.states("t"), [S::Starting, S::Running, S::Failed]);
    assert_eq!(world.last().message, "Command exited with status 3");
}

#[test]
fn a_container_whose_start_was_not_written_down_is_reported_running() {
    let mut world = World::registered();
    let container = world.launch("t");
    world.containers.insert(container, FoundState::Running { pid: 7 });
    back(&mut world);
    assert_eq!(world.states("t"), [S::Starting, S::Running]);
}

#[test]
fn a_container_without_a_record_is_destroyed() {
    let mut world = World::registered();
    world.fast_disk = false;
    let container = world.launch("t");
    world.containers.insert(container, FoundState::Running { pid: 7 });
    back(&mut world);
    assert!(world.containers.is_empty());
    assert_eq!(world.held.clone().unwrap().tasks, []);
}

#[test]
fn a_task_that_never_started_is_dropped() {
    let mut world = World::registered();
    world.launch("t");
    back(&mut world);
    assert_eq!((world.last().state, world.last().reason), (S::Dropped, Some(Reason::AgentRestarted)));
}

#[test]
fn a_kill_goes_on_after_a_restart() {
    let mut world = World::registered();
    let container = world.run("t");
    world.kill("t");
    world.signals.clear();
    back(&mut world);
    assert_eq!(world.signals, [(container.clone(), Signal::Terminate)]);
    world.pass(Duration::from_secs(3));
    assert_eq!(world.signals[1], (container.clone(), Signal::Kill));
    world.exit(&container, Exit { cause: ExitCause::Signal(9), memory: None });
    assert_eq!(world.last().state, S::Killed);
}

#[test]
fn a_shut_down_framework_is_ended_after_a_restart() {
    let mut world = World::registered();
    let container = world.run("t");
    world.command(Command::ShutdownFramework { framework: framework("f") });
    world.signals.clear();
    back(&mut world);
    assert_eq!(world.signals, [(container.clone(), Signal::Terminate)]);
    world.exit(&container, exit(0));
    assert!(world.agent.view().frameworks.is_empty());
}

#[test]
fn a_reboot_ends_what_ran_and_trusts_no_old_pid() {
    let mut world = World::registered();
    world.run("t");
    world.boot = "boot-2".into();
    back(&mut world);
    assert_eq!(world.states("t").last(), Some(&S::Gone));
    assert!(world.containers.is_empty());
    let records = world.disk.len();
    back(&mut world);
    assert_eq!(
        world.states("t").iter().filter(|state| **state == S::Gone).count(),
        1,
        "the same update, once"
    );
    assert_eq!(world.disk.len(), records, "nothing new is written");
}

#[test]
fn a_fresh_log_makes_the_same_agent() {
    let mut world = World::registered();
    let done = world.run("t");
    world.exit(&done, exit(3));
    world.run("u");
    world.kill("u");
    let first = world.sent[0].clone();
    world.acknowledge(&first.0, &first.1);
    let mut again = Agent::new(9);
    world.agent.records().into_iter().for_each(|record| again.restore(record));
    assert_eq!(again.records(), world.agent.records());
}
