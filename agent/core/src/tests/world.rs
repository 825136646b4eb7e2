//! A machine around the core: a log with a durable part, containers, and what was said on the link.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chapada_model::{
    ContainerId, ExecutorKey, ExecutorKind, FrameworkId, Mono, Now, OperationStatus, Payload, Resource,
    Resources, TaskKey, TaskState, UpdateUuid, Wall,
};

use crate::*;

pub(crate) fn framework(name: &str) -> FrameworkId {
    name.parse().unwrap()
}

pub(crate) fn key(task: &str) -> TaskKey {
    TaskKey { framework: framework("f"), task: task.parse().unwrap() }
}

pub(crate) fn framework_record(name: &str) -> FrameworkRecord {
    FrameworkRecord {
        id: framework(name),
        knows_killing: true,
        partition_aware: true,
        info: Payload::default(),
    }
}

pub(crate) fn launch_of(key: &TaskKey) -> TaskLaunch {
    TaskLaunch {
        framework: framework_record(key.framework.as_str()),
        key: key.clone(),
        executor: None,
        kill_grace: Duration::from_secs(3),
        watch: Watch::default(),
        made: Resources::EMPTY,
        info: Payload::default(),
        refusal: None,
    }
}

/// Executor `name` of a launch.
pub(crate) fn executor_launch(name: &str, kind: ExecutorKind, is_new: bool) -> ExecutorLaunch {
    ExecutorLaunch { id: name.parse().unwrap(), kind, is_new, shutdown_grace: None, info: Payload::default() }
}

/// What an executor says, in an update of this name.
pub(crate) fn report(task: &str, name: u8, state: TaskState) -> Report {
    Report {
        task: task.parse().unwrap(),
        uuid: UpdateUuid([name; 16]),
        state,
        reason: None,
        message: String::new(),
        at: None,
        details: Payload::default(),
    }
}

pub(crate) fn exit(code: u8) -> Exit {
    Exit { cause: ExitCause::Code(code), memory: None }
}

/// A pretend machine. Containers start and end only when a test says so.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) agent: Agent,
    pub(crate) now: Now,
    pub(crate) disk: Vec<Record>,
    pub(crate) durable: usize,
    /// Records of earlier processes: sequence numbers start after them.
    base: usize,
    pub(crate) containers: BTreeMap<ContainerId, FoundState>,
    pub(crate) signals: Vec<(ContainerId, Signal)>,
    pub(crate) sent: Vec<(TaskKey, Arc<Update>)>,
    pub(crate) held: Option<Holding>,
    pub(crate) operations: Vec<Arc<OperationStatus>>,
    pub(crate) volumes: Resources,
    pub(crate) absent: Resources,
    /// What the machine has when its agent starts again, and what of it is in use.
    pub(crate) configured: Option<(Resources, Resources)>,
    pub(crate) registered: bool,
    pub(crate) refused: Vec<String>,
    pub(crate) dropped: Vec<String>,
    /// What executors were told, by stream.
    pub(crate) told: Vec<(u64, ToExecutor)>,
    pub(crate) closed: Vec<u64>,
    pub(crate) messages: Vec<Payload>,
    pub(crate) gone: Vec<(ExecutorKey, i32)>,
    /// For how many tasks the container that was resized last has room.
    pub(crate) room: usize,
    /// Probes that are out.
    pub(crate) probes: Vec<(ContainerId, Purpose)>,
    pub(crate) boot: String,
    starts: u128,
    /// Set: every record is durable at once.
    pub(crate) fast_disk: bool,
}

impl World {
    /// Recovered, and registered at epoch 1 as agent `a`.
    pub(crate) fn registered() -> Self {
        let mut world = Self::started();
        world.register(1);
        world
    }

    pub(crate) fn started() -> Self {
        let mut world = Self {
            agent: Agent::new(1),
            now: Now { mono: Mono(1_000_000_000), wall: Wall(1_700_000_000_000_000_000) },
            disk: Vec::new(),
            durable: 0,
            base: 0,
            containers: BTreeMap::new(),
            signals: Vec::new(),
            sent: Vec::new(),
            held: None,
            operations: Vec::new(),
            volumes: Resources::EMPTY,
            absent: Resources::EMPTY,
            configured: None,
            registered: false,
            refused: Vec::new(),
            dropped: Vec::new(),
            told: Vec::new(),
            closed: Vec::new(),
            messages: Vec::new(),
            gone: Vec::new(),
            room: 0,
            probes: Vec::new(),
            boot: "boot-1".to_owned(),
            starts: 1,
            fast_disk: true,
        };
        world.recover();
        world
    }

    pub(crate) fn register(&mut self, epoch: u64) {
        self.apply(Event::LinkOpened);
        self.master_says(epoch, Command::Welcome { agent: "a".parse().unwrap(), completed: 0 });
    }

    pub(crate) fn master_says(&mut self, epoch: u64, command: Command) {
        self.apply(Event::FromMaster(FromMaster { epoch, sequence: 1, command }));
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.master_says(self.agent.epoch(), command);
    }

    pub(crate) fn launch(&mut self, task: &str) -> ContainerId {
        let key = key(task);
        self.command(Command::Launch(Box::new(launch_of(&key))));
        self.container(&key)
    }

    /// These tasks as a group on executor `e`.
    pub(crate) fn launch_group(&mut self, tasks: &[&str], kind: ExecutorKind, is_new: bool) {
        self.launch_group_of(framework_record("f"), tasks, kind, is_new, Resources::EMPTY);
    }

    /// The same of this framework, and with so much of what operations have made.
    pub(crate) fn launch_group_of(
        &mut self,
        framework: FrameworkRecord,
        tasks: &[&str],
        kind: ExecutorKind,
        is_new: bool,
        made: Resources,
    ) {
        let task = |name: &&str| {
            let launch = launch_of(&key(name));
            GroupTask {
                key: launch.key,
                kill_grace: launch.kill_grace,
                watch: launch.watch,
                info: launch.info,
            }
        };
        let launch = GroupLaunch {
            framework,
            executor: executor_launch("e", kind, is_new),
            tasks: tasks.iter().map(task).collect(),
            made,
            refusal: None,
        };
        self.command(Command::LaunchGroup(Box::new(launch)));
    }

    /// Executor `e` subscribes, and knows of these tasks.
    pub(crate) fn subscribe(&mut self, stream: u64, tasks: &[&str]) {
        let executor = ExecutorKey { framework: framework("f"), executor: "e".parse().unwrap() };
        let tasks = tasks.iter().map(|task| task.parse().unwrap()).collect();
        let subscription = Subscription { executor, stream, tasks, updates: Vec::new() };
        self.apply(Event::ExecutorSubscribed(Box::new(subscription)));
    }

    /// Executor `e` says something of a task.
    pub(crate) fn report(&mut self, task: &str, name: u8, state: TaskState) {
        let executor = ExecutorKey { framework: framework("f"), executor: "e".parse().unwrap() };
        let report = Box::new(report(task, name, state));
        self.apply(Event::ExecutorUpdate { executor, report });
    }

    pub(crate) fn run(&mut self, task: &str) -> ContainerId {
        let container = self.launch(task);
        self.start(&container);
        container
    }

    pub(crate) fn container(&self, key: &TaskKey) -> ContainerId {
        let view = self.agent.view();
        view.tasks.iter().find(|task| task.record.key == *key).unwrap().record.container.clone()
    }

    pub(crate) fn start(&mut self, container: &ContainerId) {
        self.containers.insert(container.clone(), FoundState::Running { pid: 7 });
        self.apply(Event::ContainerStarted { container: container.clone(), pid: 7, note: String::new() });
    }

    pub(crate) fn exit(&mut self, container: &ContainerId, exit: Exit) {
        self.containers.insert(container.clone(), FoundState::Exited(exit.clone()));
        self.apply(Event::ContainerExited { container: container.clone(), exit });
    }

    pub(crate) fn kill(&mut self, task: &str) {
        self.command(Command::Kill { task: key(task), grace: None });
    }

    pub(crate) fn acknowledge(&mut self, task: &TaskKey, update: &Update) {
        self.command(Command::Acknowledge { task: task.clone(), uuid: update.uuid });
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now.mono = self.now.mono + time;
        self.now.wall = self.now.wall + time;
        self.apply(Event::Tick);
    }

    pub(crate) fn sync(&mut self) {
        if self.durable < self.disk.len() {
            self.durable = self.disk.len();
            self.apply(Event::Logged { through: (self.durable - self.base) as u64 });
        }
    }

    /// The process dies; of what was not durable yet, so many records made it to the disk.
    pub(crate) fn crash(&mut self, survivors: usize) {
        self.disk.truncate((self.durable + survivors).min(self.disk.len()));
        self.durable = self.disk.len();
        self.base = self.disk.len();
        self.starts += 1;
        self.agent = Agent::new(self.starts);
        self.probes.clear();
        self.registered = false;
        for record in self.disk.clone() {
            self.agent.restore(record);
        }
        if let Some((resources, in_use)) = &self.configured {
            self.agent.configure(resources, in_use).unwrap();
        }
        self.recover();
    }

    fn recover(&mut self) {
        let found = self.containers.iter();
        let found = found
            .map(|(container, state)| FoundContainer { container: container.clone(), state: state.clone() });
        let found = found.collect();
        self.apply(Event::Recovered { found, boot_id: self.boot.clone() });
    }

    pub(crate) fn apply(&mut self, event: Event) {
        if event == Event::LinkLost {
            self.registered = false;
        }
        for effect in self.agent.apply(self.now, event) {
            self.execute(effect);
        }
        if self.fast_disk {
            self.sync();
        }
    }

    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Log { sequence, record } => {
                self.disk.push(record);
                assert_eq!(
                    sequence as usize,
                    self.disk.len() - self.base,
                    "records are numbered without a gap"
                );
            }
            Effect::Launch { task, .. } => {
                self.containers.insert(task.container.clone(), FoundState::Dead);
            }
            Effect::Signal { container, signal } => self.signals.push((container, signal)),
            Effect::Remove { container } | Effect::Destroy { container } => {
                self.containers.remove(&container);
            }
            Effect::Probe { task, purpose, .. } => self.probes.push((task.container.clone(), purpose)),
            Effect::EndProbes { container } => self.probes.retain(|(probed, _)| *probed != container),
            Effect::SendHolding(holding) => {
                assert_eq!(self.durable, self.disk.len(), "nothing is stated before it is durable");
                self.held = Some(holding);
            }
            Effect::SendUpdate { task, update, .. } => {
                self.check_durable(&task, &update);
                self.sent.push((task, update));
            }
            Effect::SendOperation { status } => {
                let stands =
                    |record: &Record| matches!(record, Record::Operation { status: s, .. } if *s == status);
                assert!(
                    self.disk[..self.durable].iter().any(stands),
                    "{status:?} was sent before it was durable"
                );
                self.operations.push(status);
            }
            Effect::MakeVolumes { volumes } => {
                // One that grew is there already, under its old size.
                let id = |volume: &Resource| {
                    volume.disk.as_ref()?.persistence.as_ref().map(|kept| kept.id.clone())
                };
                self.volumes = self.volumes.filter(|old| !volumes.iter().any(|new| id(new) == id(old)));
                self.volumes.add(&volumes).unwrap();
            }
            Effect::KeepVolumes { volumes, absent } => (self.volumes, self.absent) = (volumes, absent),
            Effect::Refuse { reason, .. } => self.refused.push(reason),
            Effect::DropLink { reason } => {
                self.registered = false;
                self.dropped.push(reason);
            }
            Effect::Registered { .. } => self.registered = true,
            Effect::Forgotten { .. } => {}
            Effect::LaunchExecutor { executor, .. } => {
                self.containers.insert(executor.container.clone(), FoundState::Dead);
            }
            Effect::Resize { tasks, .. } => self.room = tasks.len(),
            Effect::ToExecutor { stream, message, .. } => self.told.push((stream, message)),
            Effect::CloseExecutor { stream, .. } => self.closed.push(stream),
            Effect::SendMessage { data, .. } => self.messages.push(data),
            Effect::SendExecutorGone { executor, status } => self.gone.push((executor, status)),
        }
    }

    /// What is said of a task that is not held, or is held no more, stands nowhere.
    fn check_durable(&self, task: &TaskKey, sent: &Arc<Update>) {
        let stands = |record: &Record| matches!(record, Record::Update { update, .. } if update == sent);
        let retained = self.disk[..self.durable].iter().any(stands);
        assert!(retained || self.agent.task(task).is_none(), "{sent:?} was sent before it was durable");
    }

    pub(crate) fn states(&self, task: &str) -> Vec<TaskState> {
        let key = key(task);
        self.sent.iter().filter(|(sent, _)| *sent == key).map(|(_, update)| update.state).collect()
    }

    pub(crate) fn last(&self) -> &Update {
        &self.sent.last().unwrap().1
    }
}
