//! Epochs, registration, and what is stated on connect.

use chapada_model::{ExecutorKind, TaskState as S};

use super::world::*;
use crate::*;

#[test]
fn a_higher_epoch_is_on_disk_before_it_is_obeyed() {
    let mut world = World::registered();
    world.fast_disk = false;
    world.master_says(5, Command::Launch(Box::new(launch_of(&key("t")))));
    assert!(world.containers.is_empty());
    assert_eq!(world.disk.last(), Some(&Record::Epoch(5)));
    world.sync();
    assert_eq!(world.containers.len(), 1);
}

#[test]
fn an_older_epoch_is_never_obeyed() {
    let mut world = World::started();
    world.register(5);
    world.master_says(4, Command::Launch(Box::new(launch_of(&key("t")))));
    assert!(world.containers.is_empty());
    assert_eq!(world.dropped, ["the master's epoch 4 is older than 5"]);
    world.crash(0);
    world.register(4);
    assert!(!world.registered, "nor after a restart");
}

#[test]
fn a_command_before_the_welcome_drops_the_link() {
    let mut world = World::started();
    world.apply(Event::LinkOpened);
    world.master_says(1, Command::Kill { task: key("t"), grace: None });
    assert_eq!(world.dropped.len(), 1);
}

#[test]
fn all_that_is_held_is_stated_once_it_is_on_disk() {
    let mut world = World::registered();
    world.fast_disk = false;
    world.launch("t");
    world.apply(Event::LinkLost);
    world.held = None;
    world.apply(Event::LinkOpened);
    assert_eq!(world.held, None);
    world.sync();
    let held = world.held.clone().unwrap();
    assert_eq!(held.tasks.len(), 1);
    assert_eq!(held.tasks[0].latest.as_ref().map(|update| update.state), Some(S::Starting));
    assert_eq!(held.tasks[0].acknowledged, None);
    assert_eq!(held.frameworks.len(), 1);
    assert_eq!((held.agent.unwrap().as_str(), held.epoch), ("a", 1));
}

#[test]
fn too_many_messages_before_the_epoch_is_on_disk_drop_the_link() {
    let mut world = World::registered();
    world.fast_disk = false;
    for _ in 0..=MAX_HELD_MESSAGES {
        world.master_says(9, Command::Kill { task: key("t"), grace: None });
    }
    assert_eq!(world.dropped.len(), 1);
}

#[test]
fn an_agent_marked_gone_ends_its_tasks_and_comes_back_as_a_new_one() {
    let mut world = World::registered();
    let container = world.run("t");
    world.apply(Event::LinkLost);
    world.apply(Event::LinkOpened);
    world.master_says(2, Command::Gone);
    assert_eq!(world.signals.len(), 1);
    assert!(world.agent.id().is_some(), "the id stays until the tasks have ended");
    world.exit(&container, Exit { cause: ExitCause::Signal(15), memory: None });
    assert_eq!(world.agent.id(), None);
    world.apply(Event::LinkOpened);
    assert_eq!(world.held.clone().unwrap().agent, None);
}

#[test]
fn what_ends_between_the_statement_and_the_welcome_is_said_after_it() {
    let mut world = World::registered();
    world.launch_group(&["t"], ExecutorKind::Custom, true);
    let executor = world.agent.view().executors[0].record.container.clone();
    world.start(&executor);
    let abandoned = world.run("u");
    world.command(Command::ShutdownFramework { framework: framework("f") });
    world.apply(Event::LinkLost);
    world.apply(Event::LinkOpened);
    let held = world.held.clone().unwrap();
    assert_eq!((held.executors.len(), held.tasks.len()), (1, 2), "the master counts all of it");
    world.exit(&executor, exit(0));
    world.exit(&abandoned, exit(0));
    assert_eq!((world.gone.len(), world.sent.len()), (0, 2), "only the first life's words are said so far");
    world.master_says(1, Command::Welcome { agent: "a".parse().unwrap(), completed: 0 });
    assert_eq!(world.gone.len(), 1);
    let ended = world.sent.iter().filter(|(_, update)| update.state.is_terminal());
    assert_eq!(ended.count(), 2, "{:?}", world.sent);
    world.apply(Event::LinkLost);
    world.register(1);
    assert_eq!(world.gone.len(), 1, "the next statement says as much");
}
