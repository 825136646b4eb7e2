//! Random histories with crashes anywhere: updates in order, one end each, nothing said before it is durable, nothing
//! lost.

mod executors;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chapada_model::{
    Conversion, Milli, OperationKey, OperationStatus, Resource, ResourceValue, Resources, TaskKey, TaskState,
    Text, UpdateUuid,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use self::executors::{Act, Executors, acts};
use super::operations::{one, reserved, volume};
use super::world::*;
use crate::*;

#[derive(Clone, Debug)]
enum Step {
    Launch(u8),
    Start(u8),
    Fail(u8),
    Exit(u8, u8),
    /// Ends while the agent does not look; it learns of it at its next start.
    ExitUnseen(u8),
    Kill(u8),
    Acknowledge(u8),
    Sync,
    Pass(u8),
    LinkLost,
    Register,
    Crash(u8),
    Compact,
    /// One of the six operations, on one of two volumes.
    Operate(u8, bool),
    AcknowledgeOperation(u8),
    /// A probe that is out is answered, well or not.
    Answer(u8, bool),
    /// A link stands, and all is stated; the master's word comes later, if it comes.
    Open,
    /// Something about executors.
    Executor(Act),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let task = 0..6u8;
    let step = prop_oneof![
        4 => task.clone().prop_map(Step::Launch),
        5 => task.clone().prop_map(Step::Start),
        1 => task.clone().prop_map(Step::Fail),
        3 => (task.clone(), 0..3u8).prop_map(|(task, code)| Step::Exit(task, code)),
        1 => task.clone().prop_map(Step::ExitUnseen),
        2 => task.prop_map(Step::Kill),
        5 => any::<u8>().prop_map(Step::Acknowledge),
        6 => Just(Step::Sync),
        1 => any::<u8>().prop_map(Step::Pass),
        1 => Just(Step::LinkLost),
        4 => Just(Step::Register),
        2 => (0..6u8).prop_map(Step::Crash),
        1 => Just(Step::Compact),
        5 => (0..6u8, any::<bool>()).prop_map(|(kind, which)| Step::Operate(kind, which)),
        3 => any::<u8>().prop_map(Step::AcknowledgeOperation),
        4 => (any::<u8>(), any::<bool>()).prop_map(|(probe, well)| Step::Answer(probe, well)),
        1 => Just(Step::Open),
        14 => acts().prop_map(Step::Executor),
    ];
    prop::collection::vec(step, 1..120)
}

struct History {
    world: World,
    launched: u32,
    /// Task number to the name of its latest launch.
    names: BTreeMap<u8, TaskKey>,
    /// Every launch that was durable at some point, as the disk tells.
    admitted: Vec<TaskKey>,
    acknowledged: Vec<(TaskKey, UpdateUuid)>,
    operated: u32,
    /// What was ever said of each operation.
    finished: BTreeMap<OperationKey, Arc<OperationStatus>>,
    executors: Executors,
}

impl History {
    fn take(&mut self, step: Step) {
        match step {
            Step::Launch(n) if self.world.registered => {
                let key = self.name(n);
                let watch = if n % 2 == 0 { super::checks::health() } else { Watch::default() };
                self.world.command(Command::Launch(Box::new(TaskLaunch { watch, ..launch_of(&key) })));
            }
            Step::Start(n) => self.in_state(n, FoundState::Dead, |world, container| world.start(&container)),
            Step::Fail(n) => self.in_state(n, FoundState::Dead, |world, container| {
                world.apply(Event::LaunchFailed { container, message: "no".into() });
            }),
            Step::Exit(n, code) => {
                self.in_state(n, RUNNING, |world, container| world.exit(&container, exit(code)));
            }
            Step::ExitUnseen(n) => {
                self.in_state(n, RUNNING, |world, container| {
                    world.containers.insert(container, FoundState::Exited(exit(1)));
                    world.crash(0);
                    configure(world);
                });
                self.streams_end();
            }
            Step::Kill(n) if self.world.registered => {
                if let Some(key) = self.names.get(&n) {
                    self.world.command(Command::Kill { task: key.clone(), grace: None });
                }
            }
            Step::Acknowledge(n) if self.world.registered && !self.world.sent.is_empty() => {
                let (task, update) = self.world.sent[usize::from(n) % self.world.sent.len()].clone();
                self.world.acknowledge(&task, &update);
                self.acknowledged.push((task, update.uuid));
            }
            Step::Sync => self.world.sync(),
            Step::Pass(seconds) => self.world.pass(Duration::from_secs(seconds.into())),
            Step::LinkLost => self.world.apply(Event::LinkLost),
            Step::Register if !self.world.registered => self.world.register(1),
            Step::Crash(survivors) => {
                self.world.crash(survivors.into());
                configure(&mut self.world);
                self.streams_end();
            }
            Step::Open if !self.world.registered => self.world.apply(Event::LinkOpened),
            Step::Executor(act) => self.act(act),
            Step::Operate(kind, which) if self.world.registered => self.operate(kind, which),
            Step::AcknowledgeOperation(n) if self.world.registered && !self.world.operations.is_empty() => {
                let status = self.world.operations[usize::from(n) % self.world.operations.len()].clone();
                self.acknowledge_operation(&status);
            }
            Step::Compact => self.compact(),
            Step::Answer(n, well) if !self.world.probes.is_empty() => {
                let probe = usize::from(n) % self.world.probes.len();
                let (container, purpose) = self.world.probes.remove(probe);
                let answer = Answer::Connected(well);
                self.world.apply(Event::Probed { container, purpose, answer });
            }
            Step::Launch(_) | Step::Kill(_) | Step::Acknowledge(_) | Step::Register | Step::Open => {}
            Step::Operate(..) | Step::AcknowledgeOperation(_) | Step::Answer(..) => {}
        }
        self.hear();
        self.note_admitted();
        self.check_operations();
    }

    /// A new task, known by this number from now on.
    fn name(&mut self, n: u8) -> TaskKey {
        self.launched += 1;
        let key = key(&format!("t{}", self.launched));
        self.names.insert(n, key.clone());
        key
    }

    /// An operation as the master sends it: on what the agent has, as far as the master knows.
    fn operate(&mut self, kind: u8, which: bool) {
        let id = if which { "v" } else { "w" };
        let has = self.world.agent.resources().clone();
        let volumes = has.filter(Resource::is_volume);
        let of_id = |one: &&Resource| {
            let disk = one.disk.as_ref().and_then(|disk| disk.persistence.as_ref());
            disk.is_some_and(|kept| &*kept.id == id)
        };
        let here = volumes.iter().find(of_id).cloned();
        let conversion = match (kind, here) {
            (0, _) => (plain(10), one(reserved(10))),
            (1, _) => (one(reserved(10)), plain(10)),
            (2, None) => (one(reserved(10)), one(Resource { shared: which, ..volume(id, 10) })),
            (3, Some(volume)) => (one(volume.clone()), one(volume.without_volume())),
            (4, Some(grown)) if !grown.shared => {
                let size = grown.value.clone();
                let more = size.checked_add(&ResourceValue::Scalar(Milli::whole(10))).expect("a number");
                let both = one(grown.clone()).checked_add(&one(reserved(10))).expect("different kinds");
                (both, one(Resource { value: more, ..grown }))
            }
            (5, Some(large)) if !large.shared && large.value != ResourceValue::Scalar(Milli::whole(10)) => {
                let less =
                    large.value.checked_sub(&ResourceValue::Scalar(Milli::whole(10))).expect("more than ten");
                let both = one(Resource { value: less, ..large.clone() }).checked_add(&one(reserved(10)));
                (one(large), both.expect("different kinds"))
            }
            _ => return,
        };
        self.operated += 1;
        self.world.command(Command::Operate(Box::new(Operate {
            key: format!("k{}", self.operated).parse().expect("valid"),
            framework: Some(framework("f")),
            operation: format!("o{}", self.operated).parse().ok(),
            conversion: Conversion { consumed: conversion.0, converted: conversion.1 },
        })));
    }

    fn acknowledge_operation(&mut self, status: &OperationStatus) {
        let (key, uuid) =
            (status.key.clone().expect("named"), status.uuid.expect("repeated until acknowledged"));
        self.world.command(Command::AcknowledgeOperation { key, uuid });
    }

    /// Whatever was made or lost on the way: nothing appears or vanishes, and volumes that are admitted have their directories.
    fn check_operations(&mut self) {
        let has = self.world.agent.resources();
        assert_eq!(has.disk(), configured().disk(), "{has}");
        for status in &self.world.operations {
            let key = status.key.clone().expect("named");
            let said = self.finished.entry(key).or_insert_with(|| status.clone());
            assert_eq!(said, status, "an operation has one outcome");
        }
        let directories = |volumes: &Resources| volumes.iter().filter_map(named).collect::<BTreeSet<_>>();
        let missing = directories(&has.filter(Resource::is_volume));
        assert!(missing.is_subset(&directories(&self.world.volumes)), "{has} {}", self.world.volumes);
    }

    /// In the end only what there is has a directory, and nothing waits for an acknowledgement.
    fn check_outcomes(&self) {
        let has = self.world.agent.resources().filter(Resource::is_volume);
        let (has, kept): (BTreeSet<_>, BTreeSet<_>) =
            (has.iter().filter_map(named).collect(), self.world.volumes.iter().filter_map(named).collect());
        assert_eq!(has, kept);
        let open = self.world.agent.records().into_iter();
        let open = open.filter(|record| matches!(record, Record::Operation { .. })).count();
        assert_eq!(open, 0, "an outcome is never acknowledged");
    }

    fn in_state(
        &mut self,
        n: u8,
        wanted: FoundState,
        act: impl FnOnce(&mut World, chapada_model::ContainerId),
    ) {
        let Some(key) = self.names.get(&n) else { return };
        let view = self.world.agent.view();
        let Some(task) = view.tasks.iter().find(|task| task.record.key == *key) else { return };
        let container = task.record.container.clone();
        if self.world.containers.get(&container) == Some(&wanted) {
            act(&mut self.world, container);
        }
    }

    /// What a fresh log would hold makes the same agent as the old one does.
    fn compact(&mut self) {
        self.world.sync();
        let (mut old, mut fresh) = (Agent::new(0), Agent::new(0));
        self.world.disk.iter().for_each(|record| old.restore(record.clone()));
        self.world.agent.records().into_iter().for_each(|record| fresh.restore(record));
        assert_eq!(without_grace(&old), without_grace(&fresh));
    }

    fn note_admitted(&mut self) {
        for record in &self.world.disk[..self.world.durable] {
            if let Record::Task(record) = record
                && !self.admitted.contains(&record.key)
            {
                self.admitted.push(record.key.clone());
            }
        }
    }

    /// Faults stop: everything ends and is acknowledged.
    fn settle(&mut self) {
        self.world.fast_disk = true;
        self.world.sync();
        self.world.apply(Event::LinkLost);
        self.world.register(1);
        self.hear();
        for (container, state) in self.world.containers.clone() {
            if state == FoundState::Dead {
                self.world.start(&container);
            }
        }
        for (container, state) in self.world.containers.clone() {
            if matches!(state, FoundState::Running { .. }) {
                self.world.exit(&container, exit(0));
            }
        }
        for (task, update) in self.world.sent.clone() {
            self.world.acknowledge(&task, &update);
        }
        for status in self.world.operations.clone() {
            self.acknowledge_operation(&status);
        }
        // What would be repeated is acknowledged by now.
        self.world.pass(Duration::from_secs(3_600));
        self.hear();
        self.note_admitted();
    }
}

/// The grace period is counted afresh, and what is left of it may be less than what was asked for.
fn without_grace(agent: &Agent) -> Vec<Record> {
    let mut records = agent.records();
    for record in &mut records {
        if let Record::Kill { grace, .. } = record {
            *grace = Duration::ZERO;
        }
    }
    records
}

fn configured() -> Resources {
    "cpus:2;disk:100".parse().unwrap()
}

fn configure(world: &mut World) {
    world.agent.configure(&configured(), &Resources::EMPTY).expect("records do not contradict themselves");
    assert!(world.agent.absent().is_empty(), "what was made is of what there is");
}

fn plain(mib: u64) -> Resources {
    format!("disk:{mib}").parse().unwrap()
}

fn named(volume: &Resource) -> Option<Text> {
    Some(volume.disk.as_ref()?.persistence.as_ref()?.id.clone())
}

const RUNNING: FoundState = FoundState::Running { pid: 7 };

fn check_order(history: &History, key: &TaskKey) {
    let mut seen: Vec<(UpdateUuid, TaskState)> = Vec::new();
    for (_, update) in history.world.sent.iter().filter(|(task, _)| task == key) {
        if update.state == TaskState::Dropped && update.message.starts_with("Cannot find") {
            continue;
        }
        if !seen.iter().any(|(uuid, _)| *uuid == update.uuid) {
            assert!(
                seen.last().is_none_or(|(_, state)| !state.is_terminal()),
                "{key}: {seen:?} then {update:?}"
            );
            seen.push((update.uuid, update.state));
        }
    }
    let ends = seen.iter().filter(|(_, state)| state.is_terminal()).count();
    assert_eq!(ends, 1, "{key} was admitted and must end once, not {ends} times: {seen:?}");
    let ranks: Vec<u8> = seen.iter().map(|(_, state)| rank(*state)).collect();
    let in_order = |a: &u8, b: &u8| a < b || (a == b && *a == rank(TaskState::Running));
    assert!(ranks.is_sorted_by(in_order), "{key}: out of order: {seen:?}");
}

fn rank(state: TaskState) -> u8 {
    match state {
        TaskState::Starting => 0,
        TaskState::Running => 1,
        TaskState::Killing => 2,
        _ => 3,
    }
}

/// The whole of a history, with its end.
fn run(steps: Vec<Step>) -> History {
    let mut world = World::registered();
    world.fast_disk = false;
    let mut history = History {
        world,
        launched: 0,
        names: BTreeMap::new(),
        admitted: Vec::new(),
        acknowledged: Vec::new(),
        operated: 0,
        finished: BTreeMap::new(),
        executors: Executors::default(),
    };
    configure(&mut history.world);
    steps.into_iter().for_each(|step| history.take(step));
    history.settle();
    history
}

proptest! {
    #[test]
    fn no_history_loses_or_swaps_an_update(steps in steps()) {
        let history = run(steps);
        for key in &history.admitted {
            check_order(&history, key);
        }
        history.check_outcomes();
        let view = history.world.agent.view();
        prop_assert!(view.tasks.is_empty(), "{:?}", view.tasks);
        prop_assert!(view.frameworks.is_empty());
        prop_assert!(view.executors.is_empty());
        prop_assert!(history.executors.counted.is_empty(), "held for ever: {:?}", history.executors.counted);
        prop_assert!(history.world.containers.is_empty());
        prop_assert_eq!(history.world.agent.next_deadline(), None);
    }
}

#[test]
fn executors_are_told_all_there_is_to_tell() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut told = BTreeMap::new();
    for _ in 0..300 {
        let tree = steps().new_tree(&mut runner).expect("steps are always to be had");
        let history = run(tree.current());
        for (_, message) in &history.world.told {
            *told.entry(executors::name(message)).or_insert(0) += 1;
        }
        *told.entry("over").or_insert(0) += history.world.gone.len();
    }
    for name in ["subscribed", "launch", "group", "kill", "acknowledged", "message", "shutdown", "over"] {
        assert!(told.get(name).is_some_and(|times| *times > 5), "{name} hardly ever happens: {told:?}");
    }
}
