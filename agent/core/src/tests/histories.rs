//! Random histories with crashes anywhere: updates in order, one end each, nothing said before it is durable, nothing
//! lost.

use std::collections::BTreeMap;
use std::time::Duration;

use chapada_model::{TaskKey, TaskState, UpdateUuid};
use proptest::prelude::*;

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
        2 => Just(Step::Register),
        2 => (0..6u8).prop_map(Step::Crash),
        1 => Just(Step::Compact),
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
}

impl History {
    fn take(&mut self, step: Step) {
        match step {
            Step::Launch(n) if self.world.registered => {
                self.launched += 1;
                let key = key(&format!("t{}", self.launched));
                self.names.insert(n, key.clone());
                self.world.command(Command::Launch(Box::new(launch_of(&key))));
            }
            Step::Start(n) => self.in_state(n, FoundState::Dead, |world, container| world.start(&container)),
            Step::Fail(n) => self.in_state(n, FoundState::Dead, |world, container| {
                world.apply(Event::LaunchFailed { container, message: "no".into() });
            }),
            Step::Exit(n, code) => {
                self.in_state(n, RUNNING, |world, container| world.exit(&container, exit(code)));
            }
            Step::ExitUnseen(n) => self.in_state(n, RUNNING, |world, container| {
                world.containers.insert(container, FoundState::Exited(exit(1)));
                world.crash(0);
            }),
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
            Step::Crash(survivors) => self.world.crash(survivors.into()),
            Step::Compact => self.compact(),
            Step::Launch(_) | Step::Kill(_) | Step::Acknowledge(_) | Step::Register => {}
        }
        self.note_admitted();
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
    assert!(ranks.is_sorted_by(|a, b| a < b), "{key}: out of order: {seen:?}");
}

fn rank(state: TaskState) -> u8 {
    match state {
        TaskState::Starting => 0,
        TaskState::Running => 1,
        TaskState::Killing => 2,
        _ => 3,
    }
}

proptest! {
    #[test]
    fn no_history_loses_or_swaps_an_update(steps in steps()) {
        let mut world = World::registered();
        world.fast_disk = false;
        let mut history = History {
            world,
            launched: 0,
            names: BTreeMap::new(),
            admitted: Vec::new(),
            acknowledged: Vec::new(),
        };
        steps.into_iter().for_each(|step| history.take(step));
        history.settle();
        for key in &history.admitted {
            check_order(&history, key);
        }
        prop_assert!(history.world.agent.view().tasks.is_empty(), "{:?}", history.world.agent.view().tasks);
        prop_assert!(history.world.agent.view().frameworks.is_empty());
        prop_assert!(history.world.containers.is_empty());
        prop_assert_eq!(history.world.agent.next_deadline(), None);
    }
}
