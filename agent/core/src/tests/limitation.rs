use std::time::Duration;

use chapada_model::{ContainerId, ExecutorKind, Reason, TaskState as S};

use super::world::*;
use crate::*;

fn disk() -> Limitation {
    Limitation {
        reason: Reason::ContainerLimitationDisk,
        message: "Disk usage (12MB) exceeds quota (10MB)".to_owned(),
        resources: "disk:12".parse().unwrap(),
    }
}

fn limit(world: &mut World, container: &ContainerId) {
    let (container, limitation) = (container.clone(), Box::new(disk()));
    world.apply(Event::ContainerLimited { container, limitation });
}

fn killed() -> Exit {
    Exit { cause: ExitCause::Signal(9), memory: None }
}

#[test]
fn a_task_over_its_limit_is_killed_at_once_and_fails_with_the_figure() {
    let mut world = World::registered();
    let container = world.run("t");
    limit(&mut world, &container);
    assert!(world.signals.contains(&(container.clone(), Signal::Kill)), "{:?}", world.signals);
    limit(&mut world, &container);
    assert_eq!(world.agent.limitation_at_end(&container, &killed()), Some(disk()));
    assert_eq!(world.agent.limitation_at_end(&container, &exit(0)), None);
    world.exit(&container, killed());
    let last = world.last().clone();
    assert_eq!((last.state, last.reason), (S::Failed, Some(Reason::ContainerLimitationDisk)));
    assert_eq!(
        (last.message.as_str(), last.exceeded.to_string().as_str()),
        (disk().message.as_str(), "disk:12")
    );
    limit(&mut world, &container);
    assert_eq!(world.last().uuid, last.uuid);
}

#[test]
fn one_in_the_making_ends_too_and_one_that_finished_has_finished() {
    let mut world = World::registered();
    let container = world.launch("t");
    limit(&mut world, &container);
    world.start(&container);
    world.exit(&container, killed());
    assert_eq!(world.last().reason, Some(Reason::ContainerLimitationDisk));
    let container = world.run("u");
    limit(&mut world, &container);
    world.exit(&container, exit(0));
    assert_eq!(world.last().state, S::Finished);
}

#[test]
fn who_asked_for_the_end_first_is_told_of_it() {
    let mut world = World::registered();
    let container = world.run("t");
    world.command(Command::Kill { task: key("t"), grace: Some(Duration::from_secs(60)) });
    assert!(!world.signals.contains(&(container.clone(), Signal::Kill)));
    limit(&mut world, &container);
    assert!(world.signals.contains(&(container.clone(), Signal::Kill)), "{:?}", world.signals);
    world.exit(&container, killed());
    assert_eq!((world.last().state, world.last().reason), (S::Killed, None));
}

#[test]
fn all_of_a_pod_fails_and_so_do_the_tasks_of_an_executor() {
    let mut world = World::registered();
    world.launch_group(&["a", "b"], ExecutorKind::Default, true);
    let tasks = ["a", "b"].map(|task| world.container(&key(task)));
    tasks.iter().for_each(|container| world.start(container));
    let pod = world.agent.view().executors[0].record.container.clone();
    limit(&mut world, &pod);
    tasks.iter().for_each(|container| world.exit(container, killed()));
    let of_disk = |world: &World| {
        let ends = world.sent.iter().filter(|(_, update)| update.state == S::Failed);
        ends.filter(|(_, update)| update.reason == Some(Reason::ContainerLimitationDisk)).count()
    };
    assert_eq!(of_disk(&world), 2);

    let mut world = World::registered();
    world.launch_group(&["a", "b"], ExecutorKind::Custom, true);
    let executor = world.agent.view().executors[0].record.container.clone();
    world.start(&executor);
    world.subscribe(1, &[]);
    limit(&mut world, &executor);
    assert!(world.signals.contains(&(executor.clone(), Signal::Kill)), "{:?}", world.signals);
    world.exit(&executor, killed());
    assert_eq!(of_disk(&world), 2);
}
