//! Executors of frameworks' own: subscribed, told what to run, heard, ended, found again.

use std::time::Duration;

use chapada_model::{ExecutorKey, ExecutorKind, Reason, TaskState as S, UpdateUuid};

use super::world::*;
use crate::*;

fn executor() -> ExecutorKey {
    ExecutorKey { framework: framework("f"), executor: "e".parse().unwrap() }
}

fn launch(world: &mut World, task: &str, is_new: bool) {
    let launch = TaskLaunch {
        executor: Some(executor_launch("e", ExecutorKind::Custom, is_new)),
        ..launch_of(&key(task))
    };
    world.command(Command::Launch(Box::new(launch)));
}

/// An executor with task `t`, whose program runs.
fn started() -> World {
    let mut world = World::registered();
    launch(&mut world, "t", true);
    let container = world.container(&key("t"));
    world.start(&container);
    world
}

/// The same, and it has subscribed on stream 1.
fn running() -> World {
    let mut world = started();
    world.subscribe(1, &[]);
    world
}

fn names(world: &World, stream: u64) -> Vec<String> {
    let name = |message: &ToExecutor| match message {
        ToExecutor::Subscribed { .. } => "subscribed".to_owned(),
        ToExecutor::Launch(task) => format!("launch {}", task.key.task),
        ToExecutor::LaunchGroup(tasks) => {
            format!(
                "group {}",
                tasks.iter().map(|task| task.key.task.to_string()).collect::<Vec<_>>().join(" ")
            )
        }
        ToExecutor::Kill { task, .. } => format!("kill {task}"),
        ToExecutor::Acknowledged { task, uuid } => format!("acknowledged {task} {}", uuid.0[0]),
        ToExecutor::Message(data) => format!("message {}", data.len()),
        ToExecutor::Shutdown => "shutdown".to_owned(),
    };
    world.told.iter().filter(|(to, _)| *to == stream).map(|(_, message)| name(message)).collect()
}

#[test]
fn tasks_wait_for_the_subscription_and_what_is_said_of_them_is_the_executors() {
    let mut world = started();
    launch(&mut world, "u", false);
    assert!(world.told.is_empty() && world.sent.is_empty());
    let queued = |world: &World| world.agent.view().tasks.iter().filter(|task| task.is_queued).count();
    assert_eq!(queued(&world), 2);
    world.subscribe(1, &[]);
    assert_eq!(queued(&world), 0);
    assert_eq!(names(&world, 1), ["subscribed", "launch t", "launch u"]);
    assert_eq!(world.room, 2);
    world.report("t", 1, S::Running);
    assert_eq!(names(&world, 1).last().unwrap(), "acknowledged t 1");
    assert_eq!((world.last().uuid, world.last().pid), (UpdateUuid([1; 16]), Some(7)));
    world.report("t", 2, S::Finished);
    assert_eq!(world.states("t"), [S::Running, S::Finished]);
    assert_eq!(world.room, 1, "an ended task needs no room");
    assert_eq!(world.containers.len(), 1, "the container is the executor's");
}

#[test]
fn nothing_of_an_update_is_said_to_anyone_before_it_is_on_disk() {
    let mut world = running();
    world.fast_disk = false;
    launch(&mut world, "u", false);
    world.report("t", 1, S::Running);
    assert_eq!(names(&world, 1), ["subscribed", "launch t"]);
    assert!(world.sent.is_empty());
    world.sync();
    assert_eq!(names(&world, 1)[2..], ["acknowledged t 1", "launch u"]);
    assert_eq!(world.states("t"), [S::Running]);
}

#[test]
fn an_update_that_comes_again_is_acknowledged_and_said_once() {
    let mut world = running();
    for _ in 0..2 {
        world.report("t", 1, S::Running);
    }
    assert_eq!(names(&world, 1)[2..], ["acknowledged t 1", "acknowledged t 1"]);
    assert_eq!(world.states("t"), [S::Running]);
    world.report("t", 2, S::Finished);
    world.report("t", 3, S::Running);
    assert_eq!(names(&world, 1).last().unwrap(), "acknowledged t 3", "it is to stop repeating that");
    assert_eq!(world.states("t"), [S::Running, S::Finished]);
    world.report("unknown", 4, S::Running);
    assert_eq!(names(&world, 1).last().unwrap(), "acknowledged unknown 4");
}

#[test]
fn a_kill_and_a_message_are_passed_on() {
    let mut world = running();
    world.command(Command::Kill { task: key("t"), grace: Some(Duration::from_secs(9)) });
    let message = Command::ExecutorMessage {
        framework: framework("f"),
        executor: "e".parse().unwrap(),
        data: vec![1, 2].into(),
    };
    world.command(message);
    assert_eq!(names(&world, 1)[2..], ["kill t", "message 2"]);
    assert!(world.told.iter().any(|(_, said)| matches!(said, ToExecutor::Kill { grace: Some(grace), .. } if *grace == Duration::from_secs(9))));
    assert!(world.signals.is_empty() && world.sent.is_empty(), "what becomes of it is the executor's to say");
    world.apply(Event::ExecutorSays { executor: executor(), data: vec![3].into() });
    assert_eq!(world.messages.len(), 1);
}

#[test]
fn a_task_that_its_executor_never_got_is_killed_here() {
    let mut world = started();
    world.kill("t");
    assert_eq!((world.last().state, world.last().reason), (S::Killed, Some(Reason::TaskKilledDuringLaunch)));
    world.subscribe(1, &[]);
    assert_eq!(names(&world, 1), ["subscribed"]);
}

#[test]
fn an_executor_that_ends_takes_its_tasks_along_and_its_end_comes_last() {
    let mut world = running();
    world.report("t", 1, S::Running);
    let container = world.container(&key("t"));
    world.exit(&container, exit(3));
    assert_eq!((world.last().state, world.last().reason), (S::Failed, Some(Reason::ExecutorTerminated)));
    assert_eq!(world.last().message, "Executor exited with status 3");
    assert_eq!(world.gone, [(executor(), 3 << 8)]);
    assert!(world.containers.is_empty());
    assert_eq!(world.closed, [1]);
    launch(&mut world, "u", false);
    assert_eq!((world.last().state, world.last().reason), (S::Dropped, Some(Reason::ExecutorTerminated)));
    assert_eq!(world.gone.len(), 1, "the master knows of that one");
}

#[test]
fn an_executor_that_cannot_start_fails_its_tasks() {
    let mut world = World::registered();
    launch(&mut world, "t", true);
    let container = world.container(&key("t"));
    world.apply(Event::LaunchFailed { container, message: "no such user".into() });
    assert_eq!((world.last().state, world.last().reason), (S::Failed, Some(Reason::ContainerLaunchFailed)));
    assert_eq!(world.gone, [(executor(), -1)]);
}

#[test]
fn a_description_that_cannot_be_is_an_error_and_the_master_hears_that_no_executor_runs() {
    let mut world = World::registered();
    let refusal = LaunchRefusal { state: S::Error, reason: Reason::TaskInvalid, message: "no".into() };
    let launch = TaskLaunch {
        executor: Some(executor_launch("e", ExecutorKind::Custom, true)),
        refusal: Some(refusal),
        ..launch_of(&key("t"))
    };
    world.command(Command::Launch(Box::new(launch)));
    assert_eq!(world.states("t"), [S::Error]);
    assert_eq!(world.gone, [(executor(), -1)]);
    assert!(world.containers.is_empty());
}

#[test]
fn an_executor_that_does_not_subscribe_in_time_is_given_up() {
    let mut world = started();
    world.pass(ExecutorTimeouts::default().registration);
    let container = world.container(&key("t"));
    assert_eq!(world.signals, [(container.clone(), Signal::Kill)]);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.signals.len(), 2, "SIGKILL is repeated");
    world.exit(&container, Exit { cause: ExitCause::Signal(9), memory: None });
    assert_eq!(
        (world.last().state, world.last().reason),
        (S::Failed, Some(Reason::ExecutorRegistrationTimeout))
    );
    assert_eq!(world.gone, [(executor(), 9)]);
    assert!(world.agent.next_deadline().is_some(), "only updates wait");
}

#[test]
fn shutdown_is_said_and_then_enforced() {
    let mut world = running();
    let shutdown = Command::ShutdownExecutor { framework: framework("f"), executor: "e".parse().unwrap() };
    world.command(shutdown.clone());
    world.command(shutdown);
    assert_eq!(names(&world, 1).iter().filter(|name| *name == "shutdown").count(), 1);
    launch(&mut world, "u", false);
    assert_eq!(world.states("u"), [S::Dropped], "it takes no more tasks");
    assert!(world.signals.is_empty());
    world.pass(ExecutorTimeouts::default().shutdown);
    let container = world.container(&key("t"));
    assert_eq!(world.signals, [(container.clone(), Signal::Kill)]);
    world.exit(&container, Exit { cause: ExitCause::Signal(9), memory: None });
    assert_eq!(world.states("t"), [S::Gone]);
    assert_eq!(world.gone, [(executor(), 9)]);
}

#[test]
fn a_new_stream_takes_the_place_of_the_old_and_hears_again_what_it_may_have_missed() {
    let mut world = running();
    world.report("t", 1, S::Running);
    world.apply(Event::ExecutorClosed { executor: executor(), stream: 1 });
    world.kill("t");
    world.subscribe(2, &["t", "stranger"]);
    assert_eq!(names(&world, 2), ["subscribed", "kill stranger", "kill t"]);
    world.subscribe(3, &["t"]);
    assert_eq!(world.closed, [2]);
    world.apply(Event::ExecutorClosed { executor: executor(), stream: 2 });
    world.report("t", 2, S::Killed);
    assert_eq!(
        names(&world, 3).last().unwrap(),
        "acknowledged t 2",
        "the end of the old stream is not that of the new"
    );
}

#[test]
fn after_a_restart_the_executor_comes_back_with_what_it_knows() {
    let mut world = running();
    launch(&mut world, "u", false);
    launch(&mut world, "v", false);
    world.report("t", 1, S::Running);
    world.crash(0);
    world.register(1);
    let held = world.held.clone().unwrap();
    assert_eq!((held.executors.len(), held.tasks.len()), (1, 3));
    let again = report("u", 5, S::Running);
    world.apply(Event::ExecutorSubscribed(Box::new(Subscription {
        executor: executor(),
        stream: 1,
        tasks: vec!["t".parse().unwrap(), "u".parse().unwrap()],
        updates: vec![again],
    })));
    assert_eq!(world.states("u"), [S::Running], "what it had not heard of is taken");
    assert_eq!(world.states("v"), [S::Dropped], "whether that reached it nobody knows");
    world.pass(Duration::from_secs(5));
    assert!(world.signals.is_empty(), "it is back");
}

#[test]
fn an_executor_that_does_not_come_back_is_given_up() {
    let mut world = running();
    world.crash(0);
    world.register(1);
    world.pass(ExecutorTimeouts::default().reregistration);
    let container = world.container(&key("t"));
    assert_eq!(world.signals.last(), Some(&(container.clone(), Signal::Kill)));
    world.exit(&container, Exit { cause: ExitCause::Signal(9), memory: None });
    assert_eq!(
        (world.last().state, world.last().reason),
        (S::Failed, Some(Reason::ExecutorReregistrationTimeout))
    );
}

#[test]
fn tasks_of_an_executor_that_never_subscribed_are_sent_after_a_restart() {
    let mut world = started();
    world.crash(0);
    world.register(1);
    world.subscribe(1, &[]);
    assert_eq!(names(&world, 1), ["subscribed", "launch t"]);
}

#[test]
fn an_executor_that_ended_while_nobody_looked_is_told_with_its_status() {
    let mut world = running();
    let container = world.container(&key("t"));
    world.containers.insert(container, FoundState::Exited(exit(1)));
    world.crash(0);
    world.register(1);
    assert_eq!((world.last().state, world.last().reason), (S::Failed, Some(Reason::ExecutorTerminated)));
    assert!(world.agent.view().executors.is_empty() && world.containers.is_empty());
}

#[test]
fn a_framework_that_goes_takes_its_executors_along() {
    let mut world = running();
    world.report("t", 1, S::Running);
    world.command(Command::ShutdownFramework { framework: framework("f") });
    assert_eq!(names(&world, 1).last().unwrap(), "shutdown");
    world.report("t", 2, S::Killed);
    assert_eq!(world.states("t"), [S::Running, S::Killed], "the master hears what is free");
    let container = world.agent.view().executors[0].record.container.clone();
    world.exit(&container, exit(0));
    assert_eq!(world.gone, [(executor(), 0)]);
    let view = world.agent.view();
    assert!(view.frameworks.is_empty() && view.tasks.is_empty() && view.executors.is_empty());
    assert_eq!(world.agent.next_deadline(), None);
}

#[test]
fn calls_are_taken_from_whom_the_agent_knows() {
    let world = started();
    let agent = &world.agent;
    assert_eq!(agent.check_executor(&executor(), true), Ok(()));
    assert_eq!(agent.check_executor(&executor(), false), Err(ExecutorRefused::NotSubscribed));
    let other = ExecutorKey { executor: "x".parse().unwrap(), ..executor() };
    assert_eq!(agent.check_executor(&other, true), Err(ExecutorRefused::UnknownExecutor));
    let stranger = ExecutorKey { framework: framework("x"), ..executor() };
    assert_eq!(agent.check_executor(&stranger, true), Err(ExecutorRefused::UnknownFramework));
    assert_eq!(running().agent.check_executor(&executor(), false), Ok(()));
}

#[test]
fn a_group_on_an_own_executor_is_launched_and_killed_as_one() {
    let mut world = World::registered();
    world.launch_group(&["a", "b"], ExecutorKind::Custom, true);
    let container = world.container(&key("a"));
    assert_eq!(container, world.container(&key("b")));
    world.start(&container);
    world.subscribe(1, &[]);
    assert_eq!(names(&world, 1), ["subscribed", "group a b"]);
    world.launch_group(&["c", "d"], ExecutorKind::Custom, false);
    assert_eq!(names(&world, 1).last().unwrap(), "group c d");
    let mut world = World::registered();
    world.launch_group(&["a", "b"], ExecutorKind::Custom, true);
    world.kill("b");
    assert_eq!((world.states("a"), world.states("b")), (vec![S::Killed], vec![S::Killed]));
}
