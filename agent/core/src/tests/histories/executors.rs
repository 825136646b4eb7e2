//! Executors in random histories: one pod and one of the framework's own, with a program that subscribes, says how its tasks are,
//! breaks off and ends.

use std::collections::BTreeSet;

use chapada_model::{ContainerId, ExecutorKey, ExecutorKind, Resources, TaskId, TaskState, UpdateUuid};
use proptest::prelude::*;

use super::History;
use crate::tests::world::*;
use crate::*;

#[derive(Clone, Debug)]
pub(super) enum Act {
    /// One or two tasks on the pod, or on the other executor, there as a group or not.
    Launch {
        first: u8,
        pod: bool,
        two: bool,
        group: bool,
    },
    Subscribe,
    Report(u8, TaskState),
    Break,
    Shutdown {
        pod: bool,
    },
    Say,
}

pub(super) fn acts() -> impl Strategy<Value = Act> {
    let states = [TaskState::Running, TaskState::Finished, TaskState::Failed];
    prop_oneof![
        4 => (0..6u8, any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(first, pod, two, group)| Act::Launch { first, pod, two, group }),
        5 => Just(Act::Subscribe),
        4 => (any::<u8>(), prop::sample::select(states.to_vec()))
            .prop_map(|(task, state)| Act::Report(task, state)),
        1 => Just(Act::Break),
        1 => any::<bool>().prop_map(|pod| Act::Shutdown { pod }),
        2 => Just(Act::Say),
    ]
}

/// What a master and the program know.
#[derive(Default)]
pub(super) struct Executors {
    /// Executors that the master counts: it had them started or was stated them, and was not told that they are over.
    pub(super) counted: BTreeSet<ExecutorKey>,
    /// How many ends, and words to the program, were looked at.
    gone: usize,
    told: usize,
    streams: u64,
    said: u128,
    program: Program,
}

/// The program of the framework's own executor, in this container.
#[derive(Default)]
struct Program {
    container: Option<ContainerId>,
    stream: Option<u64>,
    live: BTreeSet<TaskId>,
    silent: BTreeSet<TaskId>,
    unheard: Vec<Report>,
}

fn executor(pod: bool) -> ExecutorKey {
    let id = if pod { "pod" } else { "own" };
    ExecutorKey { framework: framework("f"), executor: id.parse().unwrap() }
}

impl History {
    pub(super) fn act(&mut self, act: Act) {
        match act {
            Act::Launch { first, pod, two, group } if self.world.registered => {
                self.launch_on(first, pod, two, group || pod);
            }
            Act::Subscribe => self.subscribe(),
            Act::Report(n, state) => {
                let live = &self.executors.program.live;
                if let Some(task) = live.iter().nth(usize::from(n) % live.len().max(1)).cloned() {
                    self.report(task, state);
                }
            }
            Act::Break => {
                if let Some(stream) = self.executors.program.stream.take() {
                    self.world.apply(Event::ExecutorClosed { executor: executor(false), stream });
                }
            }
            Act::Shutdown { pod } if self.world.registered => {
                let ExecutorKey { framework, executor } = executor(pod);
                self.world.command(Command::ShutdownExecutor { framework, executor });
            }
            Act::Say if self.world.registered => {
                let ExecutorKey { framework, executor } = executor(false);
                let data = chapada_model::Payload::default();
                self.world.command(Command::ExecutorMessage { framework, executor, data });
            }
            Act::Launch { .. } | Act::Shutdown { .. } | Act::Say => {}
        }
    }

    fn launch_on(&mut self, first: u8, pod: bool, two: bool, is_group: bool) {
        let key = executor(pod);
        let kind = if pod { ExecutorKind::Default } else { ExecutorKind::Custom };
        let launch = executor_launch(key.executor.as_str(), kind, !self.executors.counted.contains(&key));
        let keys: Vec<_> = (0..1 + u8::from(two)).map(|n| self.name((first + n) % 6)).collect();
        self.executors.counted.insert(key);
        if is_group {
            let tasks = keys.into_iter().map(|key| GroupTask {
                key,
                kill_grace: std::time::Duration::from_secs(3),
                watch: Watch::default(),
                info: chapada_model::Payload::default(),
            });
            let (framework, made, refusal) = (framework_record("f"), Resources::EMPTY, None);
            let tasks = tasks.collect();
            let launch = GroupLaunch { framework, executor: launch, tasks, made, refusal };
            return self.world.command(Command::LaunchGroup(Box::new(launch)));
        }
        for (number, key) in keys.into_iter().enumerate() {
            let executor = Some(ExecutorLaunch { is_new: launch.is_new && number == 0, ..launch.clone() });
            self.world.command(Command::Launch(Box::new(TaskLaunch { executor, ..launch_of(&key) })));
        }
    }

    /// The program, if it runs; another one in another container knows nothing.
    fn runs(&mut self) -> bool {
        let container = self.world.agent.executor_container(&executor(false)).cloned();
        let runs = container.as_ref().and_then(|container| self.world.containers.get(container));
        let runs = runs.is_some_and(|state| matches!(state, FoundState::Running { .. }));
        if !runs || self.executors.program.container != container {
            self.executors.program = Program { container, ..Program::default() };
        }
        runs
    }

    /// The program, which is started for it if need be, looks for its agent.
    fn subscribe(&mut self) {
        let container = self.world.agent.executor_container(&executor(false)).cloned();
        let waits = |container: &ContainerId| self.world.containers.get(container) == Some(&FoundState::Dead);
        if let Some(container) = container.filter(waits) {
            self.world.start(&container);
        }
        if !self.runs() || self.world.agent.check_executor(&executor(false), true).is_err() {
            return;
        }
        self.executors.streams += 1;
        let (stream, program) = (self.executors.streams, &mut self.executors.program);
        program.stream = Some(stream);
        let (tasks, updates) = (program.silent.iter().cloned().collect(), program.unheard.clone());
        let subscription = Subscription { executor: executor(false), stream, tasks, updates };
        self.world.apply(Event::ExecutorSubscribed(Box::new(subscription)));
    }

    /// The program says something of a task of its; without a stream it says it again with the next one.
    fn report(&mut self, task: TaskId, state: TaskState) {
        self.executors.said += 1;
        let uuid = UpdateUuid(self.executors.said.to_le_bytes());
        let report = Report { uuid, ..report(task.as_str(), 0, state) };
        let program = &mut self.executors.program;
        program.unheard.push(report.clone());
        if state.is_terminal() {
            program.live.remove(&task);
        }
        if program.stream.is_some() {
            let event = Event::ExecutorUpdate { executor: executor(false), report: Box::new(report) };
            self.world.apply(event);
        }
    }

    /// The agent's process has ended, and with it all streams.
    pub(super) fn streams_end(&mut self) {
        self.executors.program.stream = None;
    }

    /// The master hears what is stated and which executors are over, and the program what it is told.
    pub(super) fn hear(&mut self) {
        if let Some(held) = self.world.held.take() {
            self.executors.counted = held.executors.iter().map(|record| record.key.clone()).collect();
        }
        for (key, _) in &self.world.gone[self.executors.gone..] {
            self.executors.counted.remove(key);
        }
        self.executors.gone = self.world.gone.len();
        let is_running = self.runs();
        while let Some((stream, message)) = self.world.told.get(self.executors.told).cloned() {
            self.executors.told += 1;
            if is_running && self.executors.program.stream == Some(stream) {
                self.program_hears(message);
            }
        }
    }

    fn program_hears(&mut self, message: ToExecutor) {
        let program = &mut self.executors.program;
        let begin = |program: &mut Program, task: &TaskRecord| {
            let is_new = program.live.insert(task.key.task.clone());
            assert!(is_new, "{} is launched twice", task.key);
            program.silent.insert(task.key.task.clone());
        };
        match message {
            ToExecutor::Launch(task) => begin(program, &task),
            ToExecutor::LaunchGroup(tasks) => tasks.iter().for_each(|task| begin(program, task)),
            ToExecutor::Kill { task, .. } => {
                if program.live.contains(&task) {
                    self.report(task, TaskState::Killed);
                }
            }
            ToExecutor::Acknowledged { task, uuid } => {
                program.silent.remove(&task);
                program.unheard.retain(|report| report.uuid != uuid);
            }
            ToExecutor::Shutdown => {
                if let Some(container) = program.container.clone() {
                    self.world.exit(&container, exit(0));
                }
            }
            ToExecutor::Subscribed { .. } | ToExecutor::Message(_) => {}
        }
    }
}

/// What kind of word it is.
pub(super) fn name(message: &ToExecutor) -> &'static str {
    match message {
        ToExecutor::Subscribed { .. } => "subscribed",
        ToExecutor::Launch(_) => "launch",
        ToExecutor::LaunchGroup(_) => "group",
        ToExecutor::Kill { .. } => "kill",
        ToExecutor::Acknowledged { .. } => "acknowledged",
        ToExecutor::Message(_) => "message",
        ToExecutor::Shutdown => "shutdown",
    }
}
