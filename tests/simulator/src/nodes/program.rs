//! The program of an executor of a framework's own: it subscribes with its agent, runs tasks and says how they are, and comes
//! back when its stream breaks. It lives in a container, so it outlives its agent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::{Event, ExecutorRecord, Report, Subscription, TaskRecord, ToExecutor};
use chapada_model::{ContainerId, ExecutorKey, Payload, TaskId, TaskState, UpdateUuid};

use super::machine::Tenant;
use crate::journal::Entry;
use crate::queue::{End, Happening};
use crate::sim::Sim;
use crate::tally::Met;

/// What a program does next, or what reaches it or leaves it.
#[derive(Debug)]
pub(crate) enum Act {
    /// It looks for its agent.
    Dial,
    /// It hears something on a stream.
    Hear(u64, Box<ToExecutor>),
    /// It finds that a stream is gone.
    Learn(u64),
    /// What it said on a stream arrives at this process of its agent.
    Say { stream: u64, process: u64, event: Box<Event> },
    /// A task of its ends.
    End(TaskId, TaskState),
}

/// One on the machine itself takes so long; what is said in one direction stays in order.
const NEAR: Duration = Duration::from_micros(100);

/// What such a program knows.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) record: Arc<ExecutorRecord>,
    /// What it runs.
    pub(crate) tasks: BTreeMap<TaskId, Arc<TaskRecord>>,
    stream: Option<u64>,
    /// Tasks of which it has heard nothing since it was sent them.
    silent: BTreeSet<TaskId>,
    /// What it said and was not told to be on disk.
    unheard: Vec<Report>,
}

impl Program {
    pub(crate) fn new(record: Arc<ExecutorRecord>) -> Self {
        let (tasks, silent) = (BTreeMap::new(), BTreeSet::new());
        Self { record, tasks, stream: None, silent, unheard: Vec::new() }
    }
}

impl Sim {
    fn program(&mut self, agent: usize, container: &ContainerId) -> Option<&mut Program> {
        let found = self.agents[agent].kernel.containers.get_mut(container)?;
        let is_live = found.is_live();
        match &mut found.tenant {
            Tenant::Program(program) if is_live => Some(program),
            Tenant::Program(_) | Tenant::Task { .. } => None,
        }
    }

    /// The container of the program that has this stream.
    fn on_stream(&self, agent: usize, stream: u64) -> Option<ContainerId> {
        let has = |tenant: &Tenant| matches!(tenant, Tenant::Program(one) if one.stream == Some(stream));
        let mut all = self.agents[agent].kernel.containers.iter();
        all.find(|(_, found)| has(&found.tenant)).map(|(id, _)| id.clone())
    }

    pub(crate) fn act_later(&mut self, agent: usize, container: &ContainerId, wait: Duration, act: Act) {
        let container = container.clone();
        self.queue.put(self.now + wait, Happening::Executor { agent, container, act });
    }

    pub(crate) fn on_act(&mut self, agent: usize, container: &ContainerId, act: Act) {
        match act {
            Act::Dial => self.dial_agent(agent, container),
            Act::Hear(stream, message) => self.program_hears(agent, container, stream, *message),
            Act::Learn(stream) => self.program_lost(agent, container, stream),
            Act::Say { stream, process, event } => {
                self.agent_is_told(agent, container, stream, process, *event)
            }
            Act::End(task, state) => self.end_task_of_program(agent, container, &task, state),
        }
    }

    fn dial_agent(&mut self, agent: usize, container: &ContainerId) {
        let (process, is_up) = (self.agents[agent].process, self.agents[agent].core.is_some());
        let stream = self.agents[agent].kernel.next_stream();
        let Some(program) = self.program(agent, container).filter(|program| program.stream.is_none()) else {
            return;
        };
        if !is_up {
            return self.dial_agent_later(agent, container);
        }
        program.stream = Some(stream);
        let subscription = Subscription {
            executor: program.record.key.clone(),
            stream,
            tasks: program.silent.iter().cloned().collect(),
            updates: program.unheard.clone(),
        };
        let event = Box::new(Event::ExecutorSubscribed(Box::new(subscription)));
        self.act_later(agent, container, NEAR, Act::Say { stream, process, event });
    }

    fn dial_agent_later(&mut self, agent: usize, container: &ContainerId) {
        let wait = self.rng.between(Duration::from_millis(50), Duration::from_millis(900));
        self.act_later(agent, container, wait, Act::Dial);
    }

    /// Something of a program arrives, if the process it was said to still runs and takes it.
    fn agent_is_told(
        &mut self,
        agent: usize,
        container: &ContainerId,
        stream: u64,
        process: u64,
        event: Event,
    ) {
        let is_same = self.agents[agent].process == process;
        let Some(core) = self.agents[agent].core.as_ref().filter(|_| is_same) else {
            return self.act_later(agent, container, NEAR, Act::Learn(stream));
        };
        let (key, subscribes) = match &event {
            Event::ExecutorSubscribed(subscription) => (subscription.executor.clone(), true),
            Event::ExecutorUpdate { executor, .. } | Event::ExecutorSays { executor, .. } => {
                (executor.clone(), false)
            }
            _ => return,
        };
        match core.check_executor(&key, subscribes) {
            Ok(()) => {
                if subscribes {
                    self.history
                        .note(self.now, format_args!("a{agent} has executor {key} on stream {stream}"));
                }
                self.apply_to_agent(agent, event);
            }
            Err(refused) => {
                self.history.note(self.now, format_args!("a{agent} refuses executor {key}: {refused}"));
                self.act_later(agent, container, NEAR, Act::Learn(stream));
            }
        }
    }

    /// The agent says something on the stream of an executor.
    pub(crate) fn tell_program(&mut self, agent: usize, stream: u64, message: ToExecutor) {
        if let Some(container) = self.on_stream(agent, stream) {
            self.act_later(agent, &container, NEAR, Act::Hear(stream, Box::new(message)));
        }
    }

    /// The agent ends the stream of an executor.
    pub(crate) fn close_program(&mut self, agent: usize, stream: u64) {
        if let Some(container) = self.on_stream(agent, stream) {
            self.act_later(agent, &container, NEAR, Act::Learn(stream));
        }
    }

    /// The streams of a process of the agent that has ended are gone, and the programs find out.
    pub(crate) fn close_programs(&mut self, agent: usize) {
        for (container, stream) in self.streams_of(agent) {
            let wait = self.rng.between(NEAR, Duration::from_millis(500));
            self.act_later(agent, &container, wait, Act::Learn(stream));
        }
    }

    fn streams_of(&self, agent: usize) -> Vec<(ContainerId, u64)> {
        let all = self.agents[agent].kernel.containers.iter().filter(|(_, found)| found.is_live());
        let streams = all.filter_map(|(id, found)| match &found.tenant {
            Tenant::Program(program) => program.stream.map(|stream| (id.clone(), stream)),
            Tenant::Task { .. } => None,
        });
        streams.collect()
    }

    /// A stream breaks: what is under way is lost, and either end learns late.
    pub(crate) fn break_program(&mut self, agent: usize) {
        let streams = self.streams_of(agent);
        let Some((container, stream)) = self.rng.pick(&streams).cloned() else { return };
        let Some(program) = self.program(agent, &container) else { return };
        let executor = program.record.key.clone();
        program.stream = None;
        self.tally.met(Met::ExecutorCut);
        self.history
            .note(self.now, format_args!("stream {stream} of executor {executor} on a{agent} breaks"));
        let (wait, process) =
            (self.rng.between(NEAR, Duration::from_millis(500)), self.agents[agent].process);
        self.queue.put(self.now + wait, Happening::StreamLost { agent, process, executor, stream });
        self.dial_agent_later(agent, &container);
    }

    pub(crate) fn on_stream_lost(&mut self, agent: usize, process: u64, executor: ExecutorKey, stream: u64) {
        if self.agents[agent].process == process {
            self.apply_to_agent(agent, Event::ExecutorClosed { executor, stream });
        }
    }

    fn program_lost(&mut self, agent: usize, container: &ContainerId, stream: u64) {
        let Some(program) = self.program(agent, container) else { return };
        if program.stream == Some(stream) {
            program.stream = None;
            self.dial_agent_later(agent, container);
        }
    }

    fn program_hears(&mut self, agent: usize, container: &ContainerId, stream: u64, message: ToExecutor) {
        let Some(program) = self.program(agent, container).filter(|one| one.stream == Some(stream)) else {
            return;
        };
        match message {
            ToExecutor::Subscribed { .. } => {}
            ToExecutor::Launch(task) => self.run_in_program(agent, container, task),
            ToExecutor::LaunchGroup(tasks) => {
                self.check_group(agent, &tasks);
                tasks.into_iter().for_each(|task| self.run_in_program(agent, container, task));
            }
            ToExecutor::Kill { task, .. } => {
                let wait = self.rng.between(NEAR, Duration::from_secs(2));
                self.act_later(agent, container, wait, Act::End(task, TaskState::Killed));
            }
            ToExecutor::Acknowledged { task, uuid } => {
                program.silent.remove(&task);
                program.unheard.retain(|report| report.uuid != uuid);
            }
            ToExecutor::Message(data) => {
                let executor = program.record.key.clone();
                self.say(agent, container, Event::ExecutorSays { executor, data });
            }
            ToExecutor::Shutdown => self.shut_down_program(agent, container),
        }
    }

    /// Some take their time, and some do not listen: then SIGKILL comes.
    fn shut_down_program(&mut self, agent: usize, container: &ContainerId) {
        if self.agents[agent].kernel.containers.get(container).is_none_or(|found| found.stubborn) {
            return;
        }
        let Some(program) = self.program(agent, container) else { return };
        for task in program.tasks.keys().cloned().collect::<Vec<_>>() {
            self.end_task_of_program(agent, container, &task, TaskState::Killed);
        }
        let wait = self.rng.between(NEAR, Duration::from_secs(1));
        let (container, end) = (container.clone(), End::Code(0));
        self.queue.put(self.now + wait, Happening::Exited { agent, container, end });
    }

    fn run_in_program(&mut self, agent: usize, container: &ContainerId, task: Arc<TaskRecord>) {
        let id = task.key.task.clone();
        self.history.note(self.now, format_args!("a{agent} has {} run by its executor", task.key));
        self.check_launch(agent, &task);
        let Some(program) = self.program(agent, container) else { return };
        program.tasks.insert(id.clone(), task.clone());
        program.silent.insert(id.clone());
        self.check_room(agent, &task.key);
        if self.rng.once_in(2) {
            self.report(agent, container, &id, TaskState::Starting);
        }
        self.report(agent, container, &id, TaskState::Running);
        if let Some((wait, end)) = self.fate(&task.key) {
            let state = if end == End::Code(0) { TaskState::Finished } else { TaskState::Failed };
            self.act_later(agent, container, wait, Act::End(id, state));
        }
    }

    fn end_task_of_program(
        &mut self,
        agent: usize,
        container: &ContainerId,
        task: &TaskId,
        state: TaskState,
    ) {
        let Some(program) = self.program(agent, container) else { return };
        let Some(ended) = program.tasks.remove(task) else { return };
        let is_idle = program.tasks.is_empty();
        self.enter(|| Entry::Ended { agent, task: ended.key.clone() });
        self.report(agent, container, task, state);
        if is_idle && self.rng.once_in(2) {
            // It may be given another task meanwhile, which ends with it.
            let wait = self.rng.between(NEAR, Duration::from_secs(20));
            let (container, end) = (container.clone(), End::Code(u8::from(self.rng.once_in(4))));
            self.queue.put(self.now + wait, Happening::Exited { agent, container, end });
        }
    }

    fn report(&mut self, agent: usize, container: &ContainerId, task: &TaskId, state: TaskState) {
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&self.rng.draw().to_le_bytes());
        uuid[8..].copy_from_slice(&self.rng.draw().to_le_bytes());
        let report = Report {
            task: task.clone(),
            uuid: UpdateUuid(uuid),
            state,
            reason: None,
            message: String::new(),
            at: None,
            details: Payload::default(),
        };
        let Some(program) = self.program(agent, container) else { return };
        program.unheard.push(report.clone());
        let executor = program.record.key.clone();
        self.say(agent, container, Event::ExecutorUpdate { executor, report: Box::new(report) });
    }

    /// What is said without a stream is said again with the next one.
    fn say(&mut self, agent: usize, container: &ContainerId, event: Event) {
        let process = self.agents[agent].process;
        let Some(stream) = self.program(agent, container).and_then(|program| program.stream) else { return };
        self.act_later(agent, container, NEAR, Act::Say { stream, process, event: Box::new(event) });
    }
}
