//! A task's plain life.

use chapada_model::{Reason, Source, TaskState as S};

use super::world::*;
use crate::*;

#[test]
fn a_task_starts_runs_and_finishes() {
    let mut world = World::registered();
    let container = world.launch("t");
    assert_eq!(world.states("t"), [S::Starting]);
    world.start(&container);
    world.exit(&container, exit(0));
    assert_eq!(world.states("t"), [S::Starting, S::Running, S::Finished]);
    assert_eq!(world.last().message, "Command exited with status 0");
    assert_eq!(world.last().source, Source::Executor);
    assert_eq!(world.last().pid, Some(7));
    assert!(world.containers.is_empty(), "the container is removed once its end is written down");
}

#[test]
fn what_there_is_to_say_of_a_container_is_said_when_it_runs() {
    let mut world = World::registered();
    let container = world.launch("t");
    world.apply(Event::ContainerStarted { container, pid: 7, note: "its root is the machine's".to_owned() });
    assert_eq!(
        (world.last().state, world.last().message.as_str()),
        (S::Running, "its root is the machine's")
    );
}

#[test]
fn the_way_it_ends_is_told_as_mesos_tells_it() {
    let cases = [
        (ExitCause::Code(3), S::Failed, "Command exited with status 3", None),
        (ExitCause::Signal(9), S::Failed, "Command terminated with signal Killed", None),
        (ExitCause::Unknown { message: "m".into() }, S::Failed, "m", Some(Reason::ExecutorTerminated)),
    ];
    for (cause, state, message, reason) in cases {
        let mut world = World::registered();
        let container = world.run("t");
        world.exit(&container, Exit { cause, memory: None });
        let last = world.last();
        assert_eq!((last.state, last.message.as_str(), last.reason), (state, message, reason));
    }
}

#[test]
fn a_memory_limit_is_told_with_its_figure() {
    let mut world = World::registered();
    let container = world.run("t");
    let memory = MemoryExceeded { limit_bytes: 64 << 20, peak_bytes: 64 << 20 };
    world.exit(&container, Exit { cause: ExitCause::Signal(9), memory: Some(memory) });
    let last = world.last();
    assert_eq!((last.state, last.reason), (S::Failed, Some(Reason::ContainerLimitationMemory)));
    assert_eq!(last.message, "Memory limit exceeded: Requested: 64MB Maximum Used: 64MB");
    assert_eq!(last.exceeded.to_string(), "mem:64");
}

#[test]
fn a_memory_limit_that_the_task_survived_is_no_failure() {
    let mut world = World::registered();
    let container = world.run("t");
    let memory = MemoryExceeded { limit_bytes: 64 << 20, peak_bytes: 64 << 20 };
    world.exit(&container, Exit { cause: ExitCause::Code(0), memory: Some(memory) });
    assert_eq!(world.last().state, S::Finished);
}

#[test]
fn a_container_that_cannot_be_made_fails_the_task() {
    let mut world = World::registered();
    let container = world.launch("t");
    world.apply(Event::LaunchFailed { container, message: "no such user".into() });
    let last = world.last();
    assert_eq!((last.state, last.reason), (S::Failed, Some(Reason::ContainerLaunchFailed)));
    assert_eq!(last.message, "no such user");
}

#[test]
fn what_the_agent_cannot_do_is_an_error_and_starts_nothing() {
    let mut world = World::registered();
    let refusal = LaunchRefusal {
        state: S::Error,
        reason: Reason::TaskInvalid,
        message: "container.docker: no".into(),
    };
    let launch = TaskLaunch { refusal: Some(refusal), ..launch_of(&key("t")) };
    world.command(Command::Launch(Box::new(launch)));
    assert_eq!(world.states("t"), [S::Error]);
    assert!(world.containers.is_empty());
}

#[test]
fn a_second_launch_of_a_held_task_is_refused() {
    let mut world = World::registered();
    world.launch("t");
    world.launch("t");
    assert_eq!(world.states("t"), [S::Starting]);
    assert_eq!(world.refused, ["task t of framework f is held already"]);
}

#[test]
fn an_acknowledged_end_is_forgotten_with_its_framework() {
    let mut world = World::registered();
    let container = world.run("t");
    world.exit(&container, exit(0));
    for (task, update) in world.sent.clone() {
        world.acknowledge(&task, &update);
    }
    let view = world.agent.view();
    assert!(view.tasks.is_empty() && view.frameworks.is_empty());
    assert_eq!(world.agent.next_deadline(), None);
}
