//! Operations: written down before they are admitted, repeated until acknowledged, there again after a crash.

use std::time::Duration;

use chapada_model::{
    Conversion, Disk, DiskKind, DiskSource, ExecutorKind, OperationState, Persistence, Reason, Reservation,
    ReservationKind, Resource, Resources, Source, TaskState, Text,
};

use super::world::*;
use crate::*;

pub(crate) fn reserved(mib: u64) -> Resource {
    let disk: Resources = format!("disk:{mib}").parse().unwrap();
    let mut disk = disk.iter().next().unwrap().clone();
    let kind = ReservationKind::Dynamic;
    let role = "ops".parse().unwrap();
    disk.reservations.push(Reservation { kind, role, principal: None, labels: Vec::new() });
    disk
}

pub(crate) fn volume(id: &str, mib: u64) -> Resource {
    let persistence = Persistence { id: id.into(), principal: None };
    Resource { disk: Some(Disk { persistence: Some(persistence), ..Disk::default() }), ..reserved(mib) }
}

pub(crate) fn one(resource: Resource) -> Resources {
    Resources::from_list([resource]).unwrap()
}

fn operate(key: &str, consumed: Resources, converted: Resources) -> Command {
    Command::Operate(Box::new(Operate {
        key: key.parse().unwrap(),
        framework: Some(framework("f")),
        operation: Some("o".parse().unwrap()),
        conversion: Conversion { consumed, converted },
    }))
}

fn configured() -> Resources {
    "cpus:2;disk:100".parse().unwrap()
}

fn with_made(made: &Resources) -> Resources {
    configured().with_made(made, &Resources::EMPTY).unwrap().0
}

fn named(volume: &Resource) -> Option<Text> {
    Some(volume.disk.as_ref()?.persistence.as_ref()?.id.clone())
}

fn world() -> World {
    let mut world = World::registered();
    world.agent.configure(&configured(), &Resources::EMPTY).unwrap();
    world
}

#[test]
fn what_was_made_is_there_after_a_crash_and_its_outcome_is_said_again() {
    let mut world = world();
    world.command(operate("k1", "disk:40".parse().unwrap(), one(reserved(40))));
    world.command(operate("k2", one(reserved(40)), one(volume("v", 40))));
    assert_eq!(world.operations.len(), 2);
    assert_eq!(world.volumes, one(volume("v", 40)));
    let sent = std::mem::take(&mut world.operations);
    world.crash(world.disk.len());
    world.agent.configure(&configured(), &Resources::EMPTY).unwrap();
    assert_eq!(world.volumes, one(volume("v", 40)));
    world.register(2);
    let held = world.held.clone().unwrap();
    assert_eq!(held.resources, with_made(&one(volume("v", 40))));
    assert_eq!(held.operations.len(), 2);
    assert_eq!(world.operations, sent);
}

#[test]
fn an_outcome_is_repeated_until_it_is_acknowledged() {
    let mut world = world();
    world.command(operate("k", "disk:40".parse().unwrap(), one(reserved(40))));
    let status = world.operations[0].clone();
    assert_eq!(status.state, OperationState::Finished);
    world.pass(Duration::from_secs(11));
    world.pass(Duration::from_secs(21));
    assert_eq!(world.operations, vec![status.clone(); 3]);
    let (key, uuid) = (status.key.clone().unwrap(), status.uuid.unwrap());
    world.command(Command::AcknowledgeOperation { key, uuid });
    world.pass(Duration::from_secs(3600));
    assert_eq!(world.operations.len(), 3);
}

#[test]
fn nothing_is_said_or_ended_before_it_is_on_disk() {
    let mut world = world();
    world.command(operate("k1", "disk:40".parse().unwrap(), one(volume("v", 40))));
    world.fast_disk = false;
    world.command(operate("k2", one(volume("v", 40)), "disk:40".parse().unwrap()));
    assert_eq!((world.operations.len(), world.volumes.len()), (1, 1));
    world.sync();
    assert_eq!((world.operations.len(), world.volumes.len()), (2, 0));
}

#[test]
fn an_operation_on_what_is_not_there_fails_and_all_is_stated_afresh() {
    let mut world = world();
    world.command(operate("k", one(reserved(40)), one(volume("v", 40))));
    assert_eq!(world.dropped.len(), 1);
    assert!(world.dropped[0].contains("does not have it"), "{:?}", world.dropped);
    world.register(2);
    let held = world.held.clone().unwrap();
    assert_eq!(held.resources, configured());
    assert_eq!(held.operations[0].state, OperationState::Failed);
}

#[test]
fn a_task_that_uses_what_was_never_made_is_dropped_and_one_that_uses_what_was_runs() {
    for (aware, state) in [(true, TaskState::Dropped), (false, TaskState::Lost)] {
        let mut world = world();
        world.command(operate("k", "disk:40".parse().unwrap(), one(volume("v", 40))));
        let launch = |task: &str, made| {
            let mut launch = TaskLaunch { made, ..launch_of(&key(task)) };
            launch.framework.partition_aware = aware;
            Command::Launch(Box::new(launch))
        };
        world.command(launch("known", one(volume("v", 40))));
        world.command(launch("unknown", one(volume("other", 40))));
        assert_eq!(world.states("known"), [TaskState::Starting]);
        assert_eq!(world.states("unknown"), [state]);
        let last = world.last();
        assert_eq!((last.reason, last.source), (Some(Reason::ResourcesUnknown), Source::Agent));
        assert!(last.message.contains("is unknown to the agent"), "{}", last.message);
    }
}

#[test]
fn a_group_that_uses_what_was_never_made_is_dropped_as_a_whole() {
    for (aware, state) in [(true, TaskState::Dropped), (false, TaskState::Lost)] {
        let mut world = world();
        world.command(operate("k", "disk:40".parse().unwrap(), one(volume("v", 40))));
        let framework = FrameworkRecord { partition_aware: aware, ..framework_record("f") };
        let mut launch = |tasks: &[&str], made| {
            world.launch_group_of(framework.clone(), tasks, ExecutorKind::Default, true, one(made));
        };
        launch(&["a", "b"], volume("other", 40));
        launch(&["c"], volume("v", 40));
        for task in ["a", "b"] {
            assert_eq!(world.states(task), [state]);
        }
        assert_eq!(world.states("c"), [TaskState::Starting]);
        assert!(world.sent.iter().any(|(_, said)| said.reason == Some(Reason::ResourcesUnknown)));
    }
}

#[test]
fn a_shared_volume_is_kept_like_any_other_and_serves_many() {
    let mut world = world();
    let shared = || one(Resource { shared: true, ..volume("v", 40) });
    world.command(operate("k", "disk:40".parse().unwrap(), shared()));
    assert_eq!(world.volumes, shared());
    for task in ["a", "b"] {
        world.command(Command::Launch(Box::new(TaskLaunch { made: shared(), ..launch_of(&key(task)) })));
        assert_eq!(world.states(task), [TaskState::Starting]);
    }
    world.crash(world.disk.len());
    world.agent.configure(&configured(), &Resources::EMPTY).unwrap();
    assert_eq!(world.volumes, shared());
    world.register(2);
    assert_eq!(world.held.clone().unwrap().resources, with_made(&shared()));
}

#[test]
fn a_volume_is_not_made_again_before_what_was_in_it_is_gone() {
    let mut world = world();
    world.command(operate("k1", "disk:40".parse().unwrap(), one(volume("v", 40))));
    world.fast_disk = false;
    world.command(operate("k2", one(volume("v", 40)), "disk:40".parse().unwrap()));
    world.command(operate("k3", "disk:40".parse().unwrap(), one(volume("v", 40))));
    assert!(world.dropped.iter().any(|why| why.contains("is not yet gone")), "{:?}", world.dropped);
    world.sync();
    assert!(world.volumes.is_empty());
    world.fast_disk = true;
    world.register(2);
    world.command(operate("k4", "disk:40".parse().unwrap(), one(volume("v", 40))));
    assert_eq!(world.volumes, one(volume("v", 40)));
}

#[test]
fn volumes_are_made_on_other_disks_and_a_whole_one_is_free_when_what_was_on_it_is_gone() {
    let mut world = World::registered();
    let on = |kind, mut resource: Resource| {
        let root = Some("/mnt".into());
        let (vendor, id, profile, metadata) = (None, None, None, Vec::new());
        let source = Some(Box::new(DiskSource { kind, root, vendor, id, profile, metadata }));
        resource.disk = Some(Disk { source, ..resource.disk.take().unwrap_or_default() });
        one(resource)
    };
    let (path, mount) = (on(DiskKind::Path, reserved(40)), on(DiskKind::Mount, reserved(50)));
    let raw = on(DiskKind::Raw, reserved(60));
    let all = path.checked_add(&mount).unwrap().checked_add(&raw).unwrap();
    world.agent.configure(&all, &Resources::EMPTY).unwrap();
    let on_path = on(DiskKind::Path, volume("p", 10));
    world.command(operate("k1", on(DiskKind::Path, reserved(10)), on_path.clone()));
    let larger = on(DiskKind::Path, volume("p", 20));
    let more = on_path.checked_add(&on(DiskKind::Path, reserved(10))).unwrap();
    world.command(operate("k2", more, larger.clone()));
    let (v, w) = (on(DiskKind::Mount, volume("v", 50)), on(DiskKind::Mount, volume("w", 50)));
    world.command(operate("k3", mount.clone(), v.clone()));
    assert_eq!(world.volumes, larger.checked_add(&v).unwrap());
    world.fast_disk = false;
    world.command(operate("k4", v, mount.clone()));
    world.command(operate("k5", mount.clone(), w.clone()));
    assert!(world.dropped.iter().any(|why| why.contains("on disk /mnt was ended")), "{:?}", world.dropped);
    world.fast_disk = true;
    world.sync();
    world.register(2);
    world.command(operate("k6", mount, w.clone()));
    assert_eq!(world.volumes, larger.checked_add(&w).unwrap());
    world.command(operate("k7", raw, on(DiskKind::Raw, volume("r", 60))));
    assert!(world.dropped.last().unwrap().contains("holds no files"), "{:?}", world.dropped);
}

#[test]
fn volumes_and_outcomes_survive_the_rewriting_of_the_log() {
    let mut world = world();
    world.command(operate("k1", "disk:40".parse().unwrap(), one(volume("v", 40))));
    let mut agent = Agent::new(9);
    world.agent.records().into_iter().for_each(|record| agent.restore(record));
    agent.configure(&configured(), &Resources::EMPTY).unwrap();
    assert_eq!(agent.resources(), world.agent.resources());
    assert_eq!(agent.records(), world.agent.records());
}

#[test]
fn what_was_made_of_lost_resources_is_kept_and_there_again_when_they_are() {
    let mut world = world();
    world.command(operate("k1", "disk:40".parse().unwrap(), one(volume("v", 40))));
    world.command(operate("k2", "disk:30".parse().unwrap(), one(volume("w", 30))));
    world.command(operate("k3", "disk:20".parse().unwrap(), one(reserved(20))));
    let before = world.agent.resources().clone();
    let small: Resources = "cpus:1;disk:50".parse().unwrap();
    for in_use in ["v", "w"] {
        let held = volume(in_use, if in_use == "v" { 40 } else { 30 });
        world.configured = Some((small.clone(), one(held.clone())));
        world.crash(world.disk.len());
        assert!(world.agent.resources().contains(&one(held)), "what is in use stays");
        assert_eq!(world.agent.resources().disk(), small.disk(), "and no more is stated than there is");
        let ids: Vec<Text> = world.volumes.iter().chain(&world.absent).filter_map(named).collect();
        assert_eq!(ids.len(), 2, "the directories of both stay");
        let mut rewritten = Agent::new(9);
        world.agent.records().into_iter().for_each(|record| rewritten.restore(record));
        rewritten.configure(&configured(), &Resources::EMPTY).unwrap();
        assert_eq!(*rewritten.resources(), before, "what was not there is in a rewritten log");
    }
    world.register(2);
    world.command(operate("k4", "disk:10".parse().unwrap(), one(volume("v", 10))));
    let said = world.dropped.last().unwrap();
    assert!(said.contains("volume v is there already"), "{said}");
    world.register(2);
    world.command(operate("k5", "disk:10".parse().unwrap(), one(reserved(10))));
    world.configured = Some(("cpus:2;disk:110".parse().unwrap(), Resources::EMPTY));
    world.crash(world.disk.len());
    assert_eq!(*world.agent.absent(), Resources::EMPTY);
    assert!(world.agent.resources().contains(&one(volume("v", 40))));
    assert!(world.agent.resources().contains(&one(reserved(20))), "{}", world.agent.resources());
}

#[test]
fn an_operators_operation_belongs_to_no_framework() {
    let mut world = world();
    world.command(Command::Operate(Box::new(Operate {
        key: "k".parse().unwrap(),
        framework: None,
        operation: None,
        conversion: Conversion { consumed: "disk:40".parse().unwrap(), converted: one(reserved(40)) },
    })));
    let sent = std::mem::take(&mut world.operations);
    assert_eq!((sent[0].state, &sent[0].framework), (OperationState::Finished, &None));
    world.crash(world.disk.len());
    world.agent.configure(&configured(), &Resources::EMPTY).unwrap();
    world.register(2);
    assert_eq!(world.operations, sent);
}
