//! The agent's state and the way events enter it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chapada_model::{AgentId, ContainerId, ExecutorKey, FrameworkId, Mono, Now, TaskKey};

use crate::effect::{Effect, Signal};
use crate::event::{AgentDrain, Command, Event};
use crate::executor::{Executor, ExecutorTimeouts};
use crate::executors::Gone;
use crate::ids::Ids;
use crate::link::Link;
use crate::operations::Operations;
use crate::phase::TaskPhase;
use crate::record::Record;
use crate::task::{Framework, Task};
use crate::timers::{Timer, Timers};

/// More tasks than this are not taken on, finished ones whose updates nobody acknowledged included: a thousand
/// containers are a busy machine, and fifty times that many records still fit in a few dozen MiB.
pub const MAX_TASKS: usize = 50_000;

/// All that one agent knows.
#[derive(Clone, Debug)]
pub struct Agent {
    pub(crate) ids: Ids,
    pub(crate) boot_id: Option<String>,
    pub(crate) id: Option<AgentId>,
    pub(crate) epoch: u64,
    /// The id was marked gone: it is given up once every task has ended.
    pub(crate) leaving: bool,
    pub(crate) link: Link,
    /// As the master said last; it says it again whenever it admits the agent.
    pub(crate) drain: Option<AgentDrain>,
    pub(crate) frameworks: BTreeMap<FrameworkId, Framework>,
    pub(crate) tasks: BTreeMap<TaskKey, Task>,
    pub(crate) executors: BTreeMap<ExecutorKey, Executor>,
    pub(crate) containers: BTreeMap<ContainerId, Tenant>,
    pub(crate) timeouts: ExecutorTimeouts,
    pub(crate) operations: Operations,
    pub(crate) timers: Timers,
    /// Number of the last record appended, and of the last that is durable.
    pub(crate) appended: u64,
    pub(crate) durable: u64,
    /// Tasks with updates that are not yet durable, in the order of their records.
    pub(crate) unlogged: VecDeque<(u64, TaskKey)>,
    /// Executors whose end is not yet durable, in the order of their records.
    pub(crate) gone: VecDeque<Gone>,
    pub(crate) effects: Vec<Effect>,
}

/// What a container is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tenant {
    Task(TaskKey),
    /// One of a framework's own, with all its tasks.
    Executor(ExecutorKey),
}

impl Agent {
    /// An agent that knows nothing yet. The seed makes its ids and must differ from process to process.
    ///
    /// Give it every record of the log by [`Agent::restore`], then [`Event::Recovered`], then the rest.
    pub fn new(seed: u128) -> Self {
        Self {
            ids: Ids::new(seed),
            boot_id: None,
            id: None,
            epoch: 0,
            leaving: false,
            link: Link::default(),
            drain: None,
            frameworks: BTreeMap::new(),
            tasks: BTreeMap::new(),
            executors: BTreeMap::new(),
            containers: BTreeMap::new(),
            timeouts: ExecutorTimeouts::default(),
            operations: Operations::default(),
            timers: Timers::default(),
            appended: 0,
            durable: 0,
            unlogged: VecDeque::new(),
            gone: VecDeque::new(),
            effects: Vec::new(),
        }
    }

    /// Takes one event, and says what is to be done, in order.
    pub fn apply(&mut self, now: Now, event: Event) -> Vec<Effect> {
        match event {
            Event::Recovered { found, boot_id } => self.recover(now, found, boot_id),
            Event::Logged { through } => self.on_logged(now, through),
            Event::LinkOpened => self.on_link_opened(),
            Event::LinkLost => self.on_link_lost(),
            Event::FromMaster(message) => self.on_message(now, message),
            Event::ContainerStarted { container, pid, note } => self.on_started(now, &container, pid, note),
            Event::LaunchFailed { container, message } => self.on_launch_failed(now, &container, message),
            Event::ContainerExited { container, exit } => self.on_exited(now, &container, &exit),
            Event::ContainerLimited { container, limitation } => {
                self.on_limited(now, &container, &limitation);
            }
            Event::Probed { container, purpose, answer } => {
                self.on_probed(now, &container, purpose, &answer);
            }
            Event::ExecutorSubscribed(subscription) => self.on_subscribed(now, *subscription),
            Event::ExecutorClosed { executor, stream } => self.on_stream_closed(&executor, stream),
            Event::ExecutorUpdate { executor, report } => self.on_report(now, &executor, *report),
            Event::ExecutorSays { executor, data } => self.pass_on(executor, data),
            Event::Tick => {}
        }
        self.on_time(now);
        std::mem::take(&mut self.effects)
    }

    /// When [`Event::Tick`] is due at the latest, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.timers.next()
    }

    /// The id that a master gave, if one did.
    pub fn id(&self) -> Option<&AgentId> {
        self.id.as_ref()
    }

    /// The highest epoch seen.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn obey(&mut self, now: Now, sequence: u64, command: Command) {
        match command {
            Command::Welcome { agent, completed } => self.on_welcome(now, agent, completed),
            Command::Gone => self.on_gone(now),
            Command::Drain(drain) => self.drain = drain,
            Command::Launch(launch) => self.launch(now, sequence, *launch),
            Command::LaunchGroup(launch) => self.launch_group(now, sequence, *launch),
            Command::Kill { task, grace } => self.kill(now, &task, grace),
            Command::Acknowledge { task, uuid } => self.acknowledge(now, &task, uuid),
            Command::Operate(operate) => self.operate(sequence, *operate),
            Command::AcknowledgeOperation { key, uuid } => self.acknowledge_operation(&key, uuid),
            Command::ShutdownExecutor { framework, executor } => {
                self.shutdown_executor(now, sequence, &framework, &executor);
            }
            Command::ShutdownFramework { framework } => self.shutdown_framework(now, &framework),
            Command::UpdateFramework(record) => self.update_framework(record),
            Command::ExecutorMessage { framework, executor, data } => {
                self.message(sequence, ExecutorKey { framework, executor }, data);
            }
        }
    }

    /// How long executors may take from now on.
    pub fn set_executor_timeouts(&mut self, timeouts: ExecutorTimeouts) {
        self.timeouts = timeouts;
    }

    /// Appends a record and returns its number.
    pub(crate) fn log(&mut self, record: Record) -> u64 {
        self.appended += 1;
        self.effects.push(Effect::Log { sequence: self.appended, record });
        self.appended
    }

    fn on_logged(&mut self, now: Now, through: u64) {
        self.durable = self.durable.max(through.min(self.appended));
        while let Some((sequence, key)) = self.unlogged.front() {
            if *sequence > self.durable {
                break;
            }
            let key = key.clone();
            self.unlogged.pop_front();
            self.on_update_logged(now, &key);
        }
        self.on_executors_logged();
        self.on_operations_logged(now);
        self.state_holding();
        self.obey_held(now);
    }

    fn on_time(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop_due(now.mono) {
            match timer {
                Timer::Force(key) => self.on_force_due(now, &key),
                Timer::Repeat(key) => self.on_repeat_due(now, &key),
                Timer::Probe(key, purpose) => self.on_probe_due(now, &key, purpose),
                Timer::Completion(key) => self.on_completion_due(now, &key),
                Timer::Executor(key) => self.on_executor_due(now, &key),
                Timer::Operations => self.on_operations_due(now),
            }
        }
    }

    fn on_started(&mut self, now: Now, container: &ContainerId, pid: u32, note: String) {
        if let Some(Tenant::Executor(key)) = self.containers.get(container) {
            let key = key.clone();
            return self.on_executor_started(now, &key, pid);
        }
        let Some((key, task)) = self.task_of(container) else {
            return self.effects.push(Effect::Destroy { container: container.clone() });
        };
        task.note = note;
        match task.phase {
            TaskPhase::Launching { kill: None } => {
                task.phase = TaskPhase::Running { pid };
                self.limit_time(now, &key, Duration::ZERO);
                self.announce(now, &key);
            }
            TaskPhase::Launching { kill: Some(_) } => {
                task.phase = TaskPhase::Running { pid };
                self.force(now, &key);
            }
            TaskPhase::Recovering { .. }
            | TaskPhase::Delegated { .. }
            | TaskPhase::Running { .. }
            | TaskPhase::Killing { .. }
            | TaskPhase::Ended(_) => {}
        }
    }

    pub(crate) fn task_of(&mut self, container: &ContainerId) -> Option<(TaskKey, &mut Task)> {
        let Tenant::Task(key) = self.containers.get(container)?.clone() else { return None };
        let task = self.tasks.get_mut(&key)?;
        Some((key, task))
    }

    pub(crate) fn signal(&mut self, container: &ContainerId, signal: Signal) {
        self.effects.push(Effect::Signal { container: container.clone(), signal });
    }
}
