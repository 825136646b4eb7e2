//! The loop around the core: an event in, effects out, in order.

use std::net::IpAddr;
use std::sync::Arc;

use chapada_agent_core::{Agent, Effect, Event, FrameworkRecord, Holding, Record, Update, View};
use chapada_agent_log::LogHandle;
use chapada_model::{AgentId, ContainerId, ExecutorId, Resources, TaskKey, TaskState};
use chapada_network::Networks;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::checks::{Probe, Prober};
use crate::clock::Clock;
use crate::containers::{Containers, End, Order, Request, What};
use crate::error::AgentError;
use crate::executors::{ExecutorCall, Streams, Tokens};
use crate::history::History;
use crate::layout::Layout;
use crate::link::{Outbox, OutboxFull, Presentation, update_message};
use crate::metrics::Counters;
use crate::network_class::NetworkClasses;
use crate::outward::Identity;
use crate::secrets::Secrets;
use crate::sweep::Ages;
use crate::volumes::Volumes;
use crate::waiting::{Reply, Waiting};

/// Messages and questions that may wait for the loop; a full queue makes their senders wait, and with them the link.
pub(crate) const INPUTS: usize = 1024;
/// Events of containers that may wait for the loop; a full queue makes keepers wait.
pub(crate) const CONTAINER_EVENTS: usize = 1024;
/// So many inputs are taken before their records are handed to the log.
const TURN: usize = 128;

/// What the rest of the agent has for the loop.
#[derive(Debug)]
pub(crate) enum Input {
    /// For the core.
    Event(Event),
    /// A link stands; this is its sending half.
    Link(Outbox),
    /// Somebody wants to read.
    View(oneshot::Sender<View>),
    /// An executor of a framework's own calls.
    Executor(Box<ExecutorCall>),
    /// Somebody waits for the end of a container.
    Wait(ContainerId, Reply),
    /// An operator signals a container; the answer is whether there is one.
    Signal(ContainerId, Request, oneshot::Sender<bool>),
    /// Somebody wants to know whether a task may still have processes.
    IsLive(TaskKey, oneshot::Sender<bool>),
}

/// The loop.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) agent: Agent,
    pub(crate) clock: Clock,
    pub(crate) log: LogHandle,
    pub(crate) containers: Containers,
    pub(crate) prober: Prober,
    pub(crate) who: Arc<Presentation>,
    pub(crate) ip: IpAddr,
    pub(crate) volumes: Volumes,
    pub(crate) networks: Networks,
    pub(crate) network_classes: NetworkClasses,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) history: Arc<History>,
    pub(crate) layout: Layout,
    pub(crate) ages: Ages,
    pub(crate) waiting: Waiting,
    pub(crate) link: Option<Outbox>,
    pub(crate) streams: Streams,
    pub(crate) tokens: Tokens,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) unwritten: Vec<(u64, Record)>,
    pub(crate) appended: u64,
}

impl Shell {
    /// Runs until `stop`, or until the log fails.
    pub(crate) async fn run(mut self, first: Event, stop: CancellationToken) -> Result<(), AgentError> {
        self.apply(first);
        self.write().await?;
        self.counters.note_recovered(self.clock.uptime());
        let (mut inputs, mut events) = (Vec::with_capacity(TURN), Vec::with_capacity(TURN));
        loop {
            let due = self.agent.next_deadline().map(|at| self.clock.instant(at));
            let timer = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased; // a stop first; then what lets updates go; then what frees resources; then new work
                () = stop.cancelled() => break,
                progress = self.log.progress() => {
                    let progress = progress.ok_or(AgentError::Ended("log"))?;
                    self.counters.note_log(&progress);
                    self.apply(Event::Logged { through: progress.through });
                }
                _ = self.events.recv_many(&mut events, TURN) => {
                    events.drain(..).for_each(|event| self.apply(event));
                }
                _ = self.inputs.recv_many(&mut inputs, TURN) => {
                    inputs.drain(..).for_each(|input| self.take(input));
                }
                () = timer => self.apply(Event::Tick),
            }
            self.write().await?;
        }
        if let Some(link) = &self.link {
            link.close();
        }
        // Keepers must not wait for a loop that takes nothing any more.
        self.events.close();
        self.containers.let_go().await;
        Ok(())
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Event(event) => {
                if event == Event::LinkLost {
                    self.link = None;
                }
                self.apply(event);
            }
            Input::Link(outbox) => {
                self.link = Some(outbox);
                self.apply(Event::LinkOpened);
            }
            Input::Executor(call) => self.hear_executor(*call),
            Input::View(reply) => drop(reply.send(self.agent.view())),
            Input::Wait(container, reply) => {
                let runs = self.containers.has(&container);
                self.waiting.wait(container, runs, reply);
            }
            Input::Signal(container, request, reply) => {
                let is_there = self.containers.has(&container);
                self.containers.signal(&container, request);
                let _ = reply.send(is_there); // nobody may wait any more
            }
            Input::IsLive(key, reply) => drop(reply.send(self.agent.is_live(&key))),
        }
    }

    pub(crate) fn apply(&mut self, event: Event) {
        match &event {
            Event::ContainerExited { container, exit } => {
                let limitation = self.agent.limitation_at_end(container, exit);
                self.waiting.tell(container, End::of(exit, limitation));
            }
            Event::LaunchFailed { container, message, .. } => {
                self.counters.note_launch_failed();
                let message = Some(message.clone());
                self.waiting.tell(container, End { message, ..End::default() });
            }
            _ => {}
        }
        tracing::trace!(?event, "event");
        for effect in self.agent.apply(self.clock.now(), event) {
            self.execute(effect);
        }
    }

    /// Hands over what the log is to hold.
    async fn write(&mut self) -> Result<(), AgentError> {
        let records = std::mem::take(&mut self.unwritten);
        let mut alive = self.log.append(records).await;
        if alive && self.log.is_long() {
            alive = self.log.rewrite(self.appended, self.agent.records()).await;
        }
        if alive { Ok(()) } else { Err(AgentError::Ended("log")) }
    }

    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Log { sequence, record } => {
                self.note(&record);
                self.appended = sequence;
                self.unwritten.push((sequence, record));
            }
            Effect::Launch { task, framework, pod } => self.launch(What::Task { task, pod }, framework),
            Effect::LaunchExecutor { executor, tasks, framework } => {
                self.launch(What::Executor { executor, tasks }, framework);
            }
            Effect::Resize { executor, tasks } => self.containers.resize(&executor, &tasks),
            Effect::ToExecutor { executor, stream, message } => {
                self.tell_executor(&executor, stream, &message);
            }
            Effect::CloseExecutor { executor, stream } => self.streams.close(&executor, stream),
            Effect::SendMessage { executor, data } => {
                self.send(|link, epoch| link.message(epoch, &executor, &data));
            }
            Effect::SendExecutorGone { executor, status } => {
                tracing::info!(framework_id = %executor.framework, executor_id = %executor.executor, status, "an executor is over");
                self.send(|link, epoch| link.executor_gone(epoch, &executor, status));
            }
            Effect::Signal { container, signal } => {
                tracing::info!(container_id = %container, ?signal, "signal");
                self.containers.signal(&container, Request::End(signal));
            }
            Effect::Probe { task, pid, purpose, timeout } => {
                // Nothing runs before the agent has an id.
                if let Some(agent) = self.agent.id().cloned() {
                    self.prober.ask(Probe { agent, task, pid, purpose, limit: timeout });
                }
            }
            Effect::EndProbes { container } => self.prober.end(&container),
            Effect::Remove { container } => {
                self.waiting.forget(&container);
                self.tokens.revoke(&container);
                self.containers.remove(container);
            }
            Effect::Destroy { container } => {
                tracing::warn!(container_id = %container, "destroying a container that no record knows");
                self.waiting.forget(&container);
                self.tokens.revoke(&container);
                self.containers.remove(container);
            }
            Effect::SendHolding(holding) => self.send_holding(&holding),
            Effect::SendUpdate { task, executor, update, latest } => {
                self.send_update(&task, executor.as_ref(), &update, latest);
            }
            Effect::SendOperation { status } => self.send(|link, epoch| link.operation(epoch, &status)),
            Effect::MakeVolumes { volumes } => self.make_volumes(&volumes),
            Effect::KeepVolumes { volumes, absent } => self.keep_volumes(&volumes, &absent),
            Effect::Refuse { sequence, reason } => {
                tracing::warn!(sequence, reason, "refused a command");
                self.send(|link, epoch| link.refused(epoch, sequence, reason));
            }
            Effect::DropLink { reason } => {
                tracing::warn!(reason, "dropping the link");
                self.drop_link();
            }
            Effect::Registered { agent, epoch, completed } => {
                tracing::info!(agent_id = %agent, epoch, "registered with the master");
                self.counters.note_registered();
                self.send_completed(agent, completed);
            }
            Effect::Forgotten { task, container } => {
                self.networks.forget(container.as_str());
                tracing::debug!(framework_id = %task.framework, task_id = %task.task, container_id = %container, "forgotten");
            }
        }
    }

    fn launch(&mut self, what: What, framework: Arc<FrameworkRecord>) {
        // The core obeys nothing before the agent has an id.
        let Some(agent) = self.agent.id().cloned() else { return };
        let order = Order { what, framework, agent };
        match &order.what {
            What::Task { task, .. } => {
                let key = &task.key;
                tracing::info!(framework_id = %key.framework, task_id = %key.task, container_id = %task.container, "launch");
            }
            What::Executor { executor, .. } => {
                let key = &executor.key;
                tracing::info!(framework_id = %key.framework, executor_id = %key.executor, container_id = %executor.container, "launch of an executor");
            }
        }
        self.containers.launch(order);
    }

    /// A volume without a directory fails the tasks that want it, and is made when the agent is started again.
    fn make_volumes(&self, volumes: &Resources) {
        if let Err(error) = self.volumes.make(volumes) {
            tracing::error!(%error, %volumes, "cannot make the directories of volumes");
        }
    }

    fn keep_volumes(&self, volumes: &Resources, absent: &Resources) {
        self.make_volumes(volumes);
        if let Err(error) = self.volumes.set_others_aside(volumes, absent) {
            return tracing::error!(%error, "ended volumes cannot be taken away");
        }
        let volumes = self.volumes.clone();
        drop(tokio::task::spawn_blocking(move || {
            if let Err(error) = volumes.delete() {
                tracing::warn!(%error, "what was in ended volumes stays until the next time");
            }
        }));
    }

    fn note(&self, record: &Record) {
        self.note_end(record);
        self.history.note(record);
        if self.ends_executor(record) {
            self.counters.note_executor_ended();
        }
        if let Record::Update { task, update } = record {
            self.counters.note_update(update.state);
            let reason = update.reason.map(|reason| reason.name());
            tracing::info!(framework_id = %task.framework, task_id = %task.task, state = %update.state, reason, message = update.message, "update");
        }
    }

    /// A sandbox is kept for a while from when all is over that writes to it. It is known that this begins before anybody can see
    /// that it is over.
    fn note_end(&self, record: &Record) {
        let Some(agent) = self.agent.id() else { return };
        let sandbox = match record {
            Record::ExecutorForgotten(key) => {
                self.history.executor(key).map(|record| self.layout.executor_sandbox(agent, &record))
            }
            Record::Update { task, .. } if self.ends_executor(record) => {
                self.agent.task(task).map(|record| self.layout.sandbox(agent, record))
            }
            _ => None,
        };
        if let Some(sandbox) = sandbox {
            self.ages.begin(sandbox);
        }
    }

    /// Whether an executor is over by this, the built-in one of a command included.
    fn ends_executor(&self, record: &Record) -> bool {
        match record {
            Record::ExecutorForgotten(_) => true,
            Record::Update { task, update } => {
                update.state.is_terminal()
                    && self.agent.task(task).is_some_and(|task| task.executor().is_none())
            }
            _ => false,
        }
    }

    fn send_holding(&mut self, holding: &Holding) {
        let (who, identity) = (self.who.clone(), holding.agent.clone().map(|agent| self.identity(agent)));
        self.history.note_statement();
        self.send(|link, _| link.hello(&who, holding, identity.as_ref()));
    }

    fn send_completed(&mut self, agent: AgentId, most: usize) {
        let (completed, identity) = (self.history.completed(most), self.identity(agent));
        if most > 0 {
            self.send(|link, epoch| link.completed(epoch, &completed, &identity));
        }
    }

    fn identity(&self, agent: AgentId) -> Identity {
        let (networks, classes) = (self.networks.clone(), self.network_classes.clone());
        Identity { agent, ip: self.ip, networks, classes }
    }

    fn send_update(
        &mut self,
        key: &TaskKey,
        executor: Option<&ExecutorId>,
        update: &Update,
        latest: TaskState,
    ) {
        let Some(agent) = self.agent.id().cloned() else { return };
        let identity = self.identity(agent);
        let record = self.agent.task(key).cloned();
        let message = update_message(key, record.as_deref(), executor, update, latest, &identity);
        self.send(|link, epoch| link.update(epoch, message));
    }

    fn send(&mut self, say: impl FnOnce(&Outbox, u64) -> Result<(), OutboxFull>) {
        let Some(link) = &self.link else { return };
        if let Err(error) = say(link, self.agent.epoch()) {
            tracing::warn!(%error, "dropping the link");
            self.drop_link();
        }
    }

    fn drop_link(&mut self) {
        if let Some(link) = self.link.take() {
            link.close();
        }
    }
}
