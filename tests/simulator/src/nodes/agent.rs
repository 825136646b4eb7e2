//! An agent: its machine, its process, its link.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::{
    Agent, AgentDrain, Command, Effect, Event, ExecutorLaunch, FrameworkRecord, FromMaster, GroupLaunch,
    GroupTask, Holding, Operate, TaskLaunch, Update, Watch,
};
use chapada_master_core::{AgentCommand, Held, HeldExecutor, HeldTask, RefusedReason};
use chapada_model::{
    AgentDescription, AgentId, Domain, ExecutorDescription, FrameworkCapability, FrameworkDescription, Milli,
    Mono, Resource, ResourceValue, Resources, Role, TaskDescription, TaskKey, TaskState, TaskStatus,
};

use super::machine::{Disk, Kernel};
use crate::archive::Archive;
use crate::message::Message;
use crate::node::Node;
use crate::queue::Happening;
use crate::sim::Sim;
use crate::tally::Met;

/// Who is not admitted within this time tries again. Source: the agent's shell.
const WELCOME_LIMIT: Duration = Duration::from_secs(30);
/// Time to stop before SIGKILL. Source: the agent's shell.
pub(crate) const KILL_GRACE: Duration = Duration::from_secs(3);

/// A machine with an agent on it.
#[derive(Debug)]
pub(crate) struct AgentNode {
    /// None while its process does not run.
    pub(crate) core: Option<Agent>,
    /// Grows with each start of the process.
    pub(crate) process: u64,
    pub(crate) disk: Disk,
    pub(crate) kernel: Kernel,
    pub(crate) wire: Option<u64>,
    pub(crate) registered: bool,
    /// Since when.
    pub(crate) registered_at: Mono,
    /// Its credentials are wrong: the master's door does not let it in.
    pub(crate) stranger: bool,
    pub(crate) offset: i64,
    pub(crate) description: AgentDescription,
    /// What the machine has when its operator has taken nothing away.
    pub(crate) whole: Resources,
    /// What tasks had at the start of its process that the machine had no more.
    pub(crate) lost: Resources,
    wake: Option<Mono>,
    failures: u32,
}

impl Sim {
    /// One more machine, whose agent is about to start.
    pub fn add_agent(&mut self, resources: &str) -> usize {
        let index = self.agents.len();
        let whole: Resources = resources.parse().expect("a plan names valid resources");
        let description = AgentDescription {
            id: None,
            hostname: format!("host{index}").into(),
            port: 5051,
            address: "".into(),
            resources: whole.clone(),
            attributes: Vec::new(),
            domain: None,
            capabilities: BTreeSet::new(),
            version: "0.1.0".into(),
        };
        self.agents.push(AgentNode {
            core: None,
            process: 0,
            disk: Disk::default(),
            kernel: Kernel::default(),
            wire: None,
            registered: false,
            registered_at: Mono(0),
            stranger: false,
            offset: 0,
            description,
            whole,
            lost: Resources::EMPTY,
            wake: None,
            failures: 0,
        });
        let node = Node::Agent(index);
        let wait = self.rng.between(Duration::from_millis(1), Duration::from_millis(500));
        self.queue.put(self.now + wait, Happening::Restart { node, process: 0 });
        index
    }

    /// One more machine, whose agent has wrong credentials.
    pub fn add_stranger(&mut self, resources: &str) -> usize {
        let index = self.add_agent(resources);
        self.agents[index].stranger = true;
        index
    }

    /// Whether the master's door turns a connection away.
    pub(crate) fn is_stranger(&self, wire: u64) -> bool {
        match self.network.wires.get(&wire).map(|wire| wire.client) {
            Some(Node::Agent(index)) => self.agents[index].stranger,
            _ => false,
        }
    }

    /// The address of the machine at the other end of an agent's connection. Nobody's connection comes from nowhere.
    pub(crate) fn address_of_agent(&self, wire: u64) -> IpAddr {
        let machine = match self.network.wires.get(&wire).map(|wire| wire.client) {
            Some(Node::Agent(index)) => u32::try_from(index).unwrap_or(u32::MAX),
            _ => return Ipv4Addr::UNSPECIFIED.into(),
        };
        Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits().saturating_add(machine)).into()
    }

    pub(crate) fn start_agent(&mut self, index: usize, process: u64) {
        let seed = (u128::from(self.rng.draw()) << 64) | u128::from(self.rng.draw());
        let node = &mut self.agents[index];
        if node.process != process || node.core.is_some() {
            return;
        }
        node.process += 1;
        let mut core = Agent::new(seed);
        for record in node.disk.durable.clone() {
            core.restore(record);
        }
        let in_use = in_use(&core, &self.archive);
        let configured = core.configure(&node.description.resources, &in_use);
        let there = core.resources().intersection(&in_use);
        node.lost = in_use.checked_sub(&there).unwrap_or_default();
        let found = node.kernel.found();
        let event = Event::Recovered { found, boot_id: node.kernel.boot_id() };
        node.core = Some(core);
        node.wake = None;
        let (process, records) = (node.process, node.disk.durable.len());
        self.history.note(self.now, format_args!("a{index} starts with {records} records"));
        if let Err(error) = configured {
            self.fail(|| format!("I3: a{index} cannot have what operations have made of it: {error}"));
        }
        self.apply_to_agent(index, event);
        self.queue.put(self.now, Happening::Connect { node: Node::Agent(index), process });
    }

    /// The process of an agent ends, and starts again after this time. Containers run on.
    pub fn crash_agent(&mut self, index: usize, away: Duration) {
        if self.agents[index].core.take().is_none() {
            return;
        }
        let unsynced = self.agents[index].disk.written.len();
        let chance = self.rng.place(unsynced + 1);
        let planned = self.agents[index].disk.survivors.take();
        let survivors = planned.map_or(chance, |planned| planned.min(unsynced));
        self.tally.met(Met::AgentEnded);
        if 0 < survivors && survivors < unsynced {
            self.tally.met(Met::TornTail);
        }
        let node = &mut self.agents[index];
        let lost = node.disk.tear(survivors);
        node.process += 1;
        node.registered = false;
        let process = node.process;
        self.forget_said(&lost);
        self.history
            .note(self.now, format_args!("a{index} crashes; {survivors} of {unsynced} records are kept"));
        self.close_programs(index);
        if let Some(wire) = self.agents[index].wire.take() {
            match self.rng.once_in(2) {
                true => self.close(wire, true),
                false => {
                    self.break_wire(wire);
                    self.close(wire, true);
                }
            }
        }
        self.queue.put(self.now + away, Happening::Restart { node: Node::Agent(index), process });
    }

    /// An agent is started again with other resources and in another place; its containers run on.
    pub(crate) fn reconfigure_agent(&mut self, index: usize, resources: Resources, away: Duration) {
        self.tally.met(Met::Reconfigured);
        let node = &mut self.agents[index];
        let zone = format!("z{}", node.process).into();
        node.description.domain = Some(Domain { region: "r".into(), zone });
        self.history.note(self.now, format_args!("a{index} is to have {resources}"));
        self.agents[index].description.resources = resources;
        self.crash_agent(index, away);
    }

    /// An operator takes some of its machine from an agent, or gives all of it back.
    pub(crate) fn reconfigure_at_random(&mut self, index: usize, away: Duration) {
        let whole = self.agents[index].whole.clone();
        let mut less = Vec::new();
        for resource in &whole {
            let value = match &resource.value {
                ResourceValue::Scalar(all) => ResourceValue::Scalar(Milli(self.rng.below(all.0 + 1))),
                other => other.clone(),
            };
            less.push(Resource { value, ..resource.clone() });
        }
        let is_whole = self.rng.once_in(2);
        let less = Resources::from_list(less).expect("less of each is resources");
        self.reconfigure_agent(index, if is_whole { whole } else { less }, away);
    }

    /// The whole machine goes down and comes back.
    pub fn reboot_agent(&mut self, index: usize, away: Duration) {
        self.tally.met(Met::Rebooted);
        self.history.note(self.now, format_args!("a{index} reboots"));
        self.crash_agent(index, away);
        let all: Vec<_> = self.agents[index].kernel.containers.keys().cloned().collect();
        all.iter().for_each(|container| self.note_ended(index, container));
        self.agents[index].kernel.reboot();
    }

    pub(crate) fn connect_agent(&mut self, index: usize, process: u64) {
        let node = &self.agents[index];
        if node.process != process || node.wire.is_some() || node.core.is_none() {
            return;
        }
        let leader = self.leader_seen_late();
        let client = Node::Agent(index);
        match leader.and_then(|leader| self.dial(client, leader)) {
            Some(wire) => {
                self.agents[index].wire = Some(wire);
                self.history.note(self.now, format_args!("a{index} dials, wire {wire}"));
                self.queue.put(self.now + WELCOME_LIMIT, Happening::Unanswered { node: client, wire });
                self.apply_to_agent(index, Event::LinkOpened);
            }
            None => self.connect_agent_later(index),
        }
    }

    fn connect_agent_later(&mut self, index: usize) {
        let node = &mut self.agents[index];
        node.failures = (node.failures + 1).min(5);
        let most = Duration::from_millis(500) * 2_u32.pow(node.failures);
        let process = node.process;
        let wait = self.rng.between(Duration::from_millis(100), most);
        self.queue.put(self.now + wait, Happening::Connect { node: Node::Agent(index), process });
    }

    /// The link is gone, as the agent finds.
    pub(crate) fn agent_lost(&mut self, index: usize, wire: u64) {
        let node = &mut self.agents[index];
        if node.wire != Some(wire) {
            return;
        }
        node.wire = None;
        node.registered = false;
        self.apply_to_agent(index, Event::LinkLost);
        self.connect_agent_later(index);
    }

    /// Nobody has answered in time.
    pub(crate) fn on_unanswered(&mut self, node: Node, wire: u64) {
        match node {
            Node::Agent(index) => {
                let agent = &self.agents[index];
                if agent.wire == Some(wire) && !agent.registered {
                    self.close(wire, true);
                    self.agent_lost(index, wire);
                }
            }
            Node::Framework(index) => {
                let framework = &self.frameworks[index];
                if framework.wire == Some(wire) && !framework.subscribed {
                    self.close(wire, true);
                    self.framework_lost(index, wire);
                }
            }
            Node::Master(_) => {}
        }
    }

    /// A message has come in from the master.
    pub(crate) fn client_hears(&mut self, client: Node, wire: u64, message: Message) {
        match (client, message) {
            (Node::Agent(index), Message::Command { epoch, sequence, command })
                if self.agents[index].wire == Some(wire) =>
            {
                self.obey(index, wire, epoch, sequence, *command);
            }
            (Node::Agent(index), Message::Refused(_)) if self.agents[index].wire == Some(wire) => {
                self.close(wire, true);
                self.agent_lost(index, wire);
            }
            (Node::Framework(index), message) => self.framework_hears(index, wire, message),
            _ => {}
        }
    }

    fn obey(&mut self, index: usize, wire: u64, epoch: u64, sequence: u64, command: AgentCommand) {
        let command = match command {
            AgentCommand::Refused { reason: RefusedReason::Gone, .. } => {
                self.checks.told_gone.insert(index);
                Command::Gone
            }
            AgentCommand::Refused { .. } => {
                self.close(wire, true);
                return self.agent_lost(index, wire);
            }
            other => match self.command(other) {
                Some(command) => command,
                None => return,
            },
        };
        self.check_epoch(index, epoch);
        self.apply_to_agent(index, Event::FromMaster(FromMaster { epoch, sequence, command }));
        self.checks.stale = false;
        self.checks.word = None;
    }

    /// As the link's codec would read it.
    fn command(&mut self, command: AgentCommand) -> Option<Command> {
        Some(match command {
            AgentCommand::Welcome { agent, completed } => {
                Command::Welcome { agent, completed: completed as usize }
            }
            AgentCommand::Launch { framework, task, role, is_first } => {
                Command::Launch(Box::new(self.task_launch(&framework, &task, &role, is_first)?))
            }
            AgentCommand::LaunchGroup { framework, executor, tasks, role, is_first } => {
                let parts = tasks.iter().map(|task| &task.resources).chain([&executor.resources]);
                let made = Resources::made_together(parts).ok()?;
                let executor = self.executor_launch(&executor, &role, is_first);
                let launches = tasks.iter().map(|task| self.task_launch(&framework, task, &role, false));
                let launches: Option<Vec<TaskLaunch>> = launches.collect();
                let each = launches?.into_iter();
                let tasks = each.map(|launch| GroupTask {
                    key: launch.key,
                    kill_grace: launch.kill_grace,
                    watch: launch.watch,
                    info: launch.info,
                });
                let tasks = tasks.collect();
                let framework = self.framework_record(&framework)?;
                Command::LaunchGroup(Box::new(GroupLaunch {
                    framework,
                    executor,
                    tasks,
                    made,
                    refusal: None,
                }))
            }
            AgentCommand::Drain { drain } => Command::Drain(drain.map(|drain| AgentDrain {
                max_grace: drain.order.max_grace,
                mark_gone: drain.order.mark_gone,
                since: drain.since,
            })),
            AgentCommand::Kill { framework, task, .. } => {
                Command::Kill { task: TaskKey { framework, task }, grace: None }
            }
            AgentCommand::Acknowledge { framework, task, uuid } => {
                Command::Acknowledge { task: TaskKey { framework, task }, uuid }
            }
            AgentCommand::Operate { operation } => Command::Operate(Box::new(Operate {
                key: operation.key.clone(),
                framework: operation.framework.clone(),
                operation: operation.status.operation.clone(),
                conversion: (**operation.conversion.as_ref()?).clone(),
            })),
            AgentCommand::AcknowledgeOperation { key, uuid } => Command::AcknowledgeOperation { key, uuid },
            AgentCommand::ExecutorMessage { framework, executor, data } => {
                Command::ExecutorMessage { framework, executor, data }
            }
            AgentCommand::ShutdownExecutor { framework, executor } => {
                Command::ShutdownExecutor { framework, executor }
            }
            AgentCommand::ShutdownFramework { framework } => {
                self.checks.shut_down.insert(framework.clone());
                Command::ShutdownFramework { framework }
            }
            AgentCommand::UpdateFramework { framework } => {
                Command::UpdateFramework(self.framework_record(&framework)?)
            }
            _ => return None,
        })
    }

    fn framework_record(&mut self, framework: &Arc<FrameworkDescription>) -> Option<FrameworkRecord> {
        Some(FrameworkRecord {
            id: framework.id.clone()?,
            knows_killing: framework.can(FrameworkCapability::TaskKillingState),
            partition_aware: framework.is_partition_aware(),
            info: self.archive.put_framework(framework),
        })
    }

    fn task_launch(
        &mut self,
        framework: &Arc<FrameworkDescription>,
        task: &TaskDescription,
        role: &Role,
        is_first: bool,
    ) -> Option<TaskLaunch> {
        let record = self.framework_record(framework)?;
        let executor = task.executor.as_ref().map(|own| self.executor_launch(own, role, is_first));
        let task = TaskDescription { resources: task.resources.allocated_to(role), ..task.clone() };
        Some(TaskLaunch {
            key: TaskKey { framework: record.id.clone(), task: task.id.clone() },
            framework: record,
            executor,
            kill_grace: KILL_GRACE,
            watch: Watch::default(),
            made: task.resources.unallocated().made(),
            info: self.archive.put_task(task),
            refusal: None,
        })
    }

    fn executor_launch(
        &mut self,
        executor: &ExecutorDescription,
        role: &Role,
        is_new: bool,
    ) -> ExecutorLaunch {
        let stated =
            ExecutorDescription { resources: executor.resources.allocated_to(role), ..executor.clone() };
        ExecutorLaunch {
            id: executor.id.clone(),
            kind: executor.kind,
            is_new,
            shutdown_grace: None,
            info: self.archive.put_executor(stated),
        }
    }

    pub(crate) fn apply_to_agent(&mut self, index: usize, event: Event) {
        let now = self.clock(self.agents[index].offset);
        let Some(core) = self.agents[index].core.as_mut() else { return };
        let effects = core.apply(now, event);
        self.check_word(index, &effects);
        self.check_pods(index, &effects);
        for effect in effects {
            self.execute_for_agent(index, effect);
        }
        self.plan_wake_of_agent(index);
    }

    fn execute_for_agent(&mut self, index: usize, effect: Effect) {
        match effect {
            Effect::Log { sequence, record } => {
                self.check_record(index, &record);
                self.log(index, sequence, record);
            }
            Effect::Launch { task, pod, .. } => self.launch(index, task, pod),
            Effect::Signal { container, signal } => self.signal(index, &container, signal),
            Effect::Remove { container } | Effect::Destroy { container } => {
                self.note_ended(index, &container);
                self.agents[index].kernel.containers.remove(&container);
            }
            Effect::SendHolding(holding) => self.send_holding(index, &holding),
            Effect::SendUpdate { task, update, latest, .. } => {
                self.send_update(index, &task, &update, latest)
            }
            Effect::SendExecutorGone { executor, status } => {
                if let Some(wire) = self.agents[index].wire {
                    self.send(wire, true, Message::ExecutorGone { executor, status });
                }
            }
            Effect::LaunchExecutor { executor, .. } => self.launch_executor(index, executor),
            Effect::ToExecutor { stream, message, .. } => self.tell_program(index, stream, message),
            Effect::CloseExecutor { stream, .. } => self.close_program(index, stream),
            Effect::SendMessage { executor, data } => {
                if let Some(wire) = self.agents[index].wire {
                    self.send(wire, true, Message::ExecutorSays { executor, data });
                }
            }
            Effect::Resize { .. } | Effect::Probe { .. } | Effect::EndProbes { .. } => {}
            Effect::Refuse { reason, .. } => {
                self.history.note(self.now, format_args!("a{index} refuses: {reason}"));
            }
            Effect::DropLink { reason } => {
                self.history.note(self.now, format_args!("a{index} drops its link: {reason}"));
                if let Some(wire) = self.agents[index].wire.take() {
                    self.agents[index].registered = false;
                    self.close(wire, true);
                    self.connect_agent_later(index);
                }
            }
            Effect::Registered { .. } => {
                self.agents[index].registered = true;
                self.agents[index].registered_at = self.now;
                self.agents[index].failures = 0;
            }
            Effect::Forgotten { task, .. } => self.check_forgotten(index, &task),
            Effect::SendOperation { status } => {
                if let Some(wire) = self.agents[index].wire {
                    self.send(wire, true, Message::Operation(Box::new((*status).clone())));
                }
            }
            Effect::MakeVolumes { volumes } => {
                let kept = volumes.iter().filter_map(volume_id);
                self.agents[index].disk.volumes.extend(kept);
            }
            Effect::KeepVolumes { volumes, absent } => {
                let all = volumes.iter().chain(&absent);
                self.agents[index].disk.volumes = all.filter_map(volume_id).collect();
            }
        }
    }

    fn send_holding(&mut self, index: usize, holding: &Holding) {
        let node = &self.agents[index];
        let Some(wire) = node.wire else { return };
        let resources = holding.resources.clone();
        let agent = AgentDescription { id: holding.agent.clone(), resources, ..node.description.clone() };
        let tasks = holding.tasks.iter().map(|held| HeldTask {
            framework: held.record.key.framework.clone(),
            task: self.archive.task(&held.record.info),
            latest: held
                .latest
                .as_ref()
                .map(|update| status(&held.record.key, update, holding.agent.as_ref())),
            acknowledged: held.acknowledged,
        });
        let tasks = tasks.collect();
        let frameworks =
            holding.frameworks.iter().map(|record| (*self.archive.framework(&record.info)).clone()).collect();
        let operations = holding.operations.iter().map(|status| (**status).clone()).collect();
        let executors = holding.executors.iter().map(|record| HeldExecutor {
            framework: record.key.framework.clone(),
            executor: self.archive.executor(&record.info),
        });
        let held = Held { tasks, frameworks, executors: executors.collect(), operations };
        self.send(wire, true, Message::Hello { agent: Box::new(agent), held: Box::new(held) });
    }

    fn send_update(&mut self, index: usize, key: &TaskKey, update: &Update, latest: TaskState) {
        self.check_durable(index, key, update);
        let node = &self.agents[index];
        let Some(wire) = node.wire else { return };
        let id = node.core.as_ref().and_then(Agent::id);
        let status = Box::new(status(key, update, id));
        self.send(wire, true, Message::Update { framework: key.framework.clone(), status, latest });
    }

    pub(crate) fn wake_agent(&mut self, index: usize) {
        let node = &mut self.agents[index];
        if node.wake.is_some_and(|at| at <= self.now) {
            node.wake = None;
        }
        let due = node.core.as_ref().and_then(Agent::next_deadline);
        match due.is_some_and(|at| at <= self.now) {
            true => self.apply_to_agent(index, Event::Tick),
            false => self.plan_wake_of_agent(index),
        }
    }

    fn plan_wake_of_agent(&mut self, index: usize) {
        let node = &mut self.agents[index];
        let Some(at) = node.core.as_ref().and_then(Agent::next_deadline) else { return };
        let at = at.max(self.now);
        if node.wake.is_none_or(|planned| at < planned) {
            node.wake = Some(at);
            self.queue.put(at, Happening::Wake(Node::Agent(index)));
        }
    }
}

/// What the tasks and executors have that are not over.
fn in_use(core: &Agent, archive: &Archive) -> Resources {
    let view = core.view();
    let tasks = view.tasks.iter().filter(|task| task.phase.is_live());
    let tasks = tasks.map(|task| archive.task(&task.record.info).resources.clone());
    let executors = view.executors.iter().map(|held| archive.executor(&held.record.info).resources);
    let mut all = Resources::EMPTY;
    for resources in tasks.chain(executors) {
        let resources = resources.unallocated();
        let added = all.add(&resources.unshared()).and_then(|()| all.share(&resources));
        added.expect("no two have the same");
    }
    all
}

/// The name of the directory that a volume has.
pub(crate) fn volume_id(resource: &Resource) -> Option<String> {
    Some(resource.disk.as_ref()?.persistence.as_ref()?.id.to_string())
}

/// As the link's codec would write it.
fn status(key: &TaskKey, update: &Update, agent: Option<&AgentId>) -> TaskStatus {
    TaskStatus {
        message: Some(update.message.as_str().into()),
        source: Some(update.source),
        reason: update.reason,
        agent: agent.cloned(),
        timestamp: Some(update.at),
        uuid: Some(update.uuid),
        ..TaskStatus::new(key.task.clone(), update.state)
    }
}
