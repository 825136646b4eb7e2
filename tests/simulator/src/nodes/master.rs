//! One leadership of a master.

use std::collections::{BTreeMap, VecDeque};

use chapada_master_core::{
    AgentCommand, AgentState, Call, Caller, Effect, Event, FrameworkState, LinkId, Master, SchedulerEvent,
    Settings, Snapshot, StreamId, Ticket, audit,
};
use chapada_model::{AgentId, FrameworkId, Mono, TaskKey};

use crate::journal::Entry;
use crate::message::{Brief, Message};
use crate::node::Node;
use crate::queue::Happening;
use crate::registry::Unknown;
use crate::sim::Sim;
use crate::tally::Met;

/// A master from its election until it stops.
#[derive(Debug)]
pub(crate) struct MasterNode {
    /// None once it has stopped.
    pub(crate) core: Option<Master>,
    pub(crate) epoch: u64,
    /// How far its wall clock is off, in nanoseconds.
    pub(crate) offset: i64,
    pub(crate) last_write: Mono,
    pub(crate) last_answer: Mono,
    links: BTreeMap<u64, Option<AgentId>>,
    streams: BTreeMap<u64, Option<FrameworkId>>,
    wake: Option<Mono>,
    events: u64,
    sequence: u64,
    /// What waits while it takes nothing, because it is suspended or its process is stopped.
    pub(crate) held: Option<Vec<Held>>,
    /// Writes of which it does not know whether they were carried out.
    pub(crate) unknown: VecDeque<Unknown>,
}

/// Something that has come in and waits.
#[derive(Debug)]
pub(crate) enum Held {
    Heard(u64, Message),
    Lost(u64),
    Called(Caller, Box<Call>),
    Recorded(Ticket),
}

impl MasterNode {
    /// How many connections it has, and how many changes wait for the registry.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let waits = self.core.as_ref().map_or(0, Master::unrecorded);
        (self.links.len() + self.streams.len(), waits)
    }

    /// Who is subscribed on a wire.
    pub(crate) fn framework_on(&self, wire: u64) -> Option<FrameworkId> {
        self.streams.get(&wire).cloned().flatten()
    }
}

impl Sim {
    /// A new leader raises the epoch and reads the registry; its term.
    pub(crate) fn begin_term(&mut self) -> usize {
        self.registry.state.epoch += 1;
        let index = self.masters.len();
        self.registry.leaders.push((self.now, index));
        let epoch = self.registry.state.epoch;
        self.history.note(self.now, format_args!("m{index} leads in epoch {epoch}"));
        let read = Box::new(self.registry.state.clone());
        self.enter(|| Entry::Read { epoch, state: read });
        let settings = Settings { master_id: format!("m{index}").into(), ..self.plan.settings.clone() };
        let offset = self.masters.last().map_or(0, |former| former.offset);
        let core = Master::recover(self.clock(offset), settings, self.registry.state.clone());
        let node = MasterNode {
            core: Some(core),
            epoch,
            offset,
            last_write: self.now,
            last_answer: self.now,
            links: BTreeMap::new(),
            streams: BTreeMap::new(),
            wake: None,
            events: 0,
            sequence: 0,
            held: None,
            unknown: VecDeque::new(),
        };
        self.masters.push(node);
        self.coordination.fence = Some(index);
        self.note_found_agents(index);
        self.check_recovered(index);
        self.audit(index);
        self.plan_wake_of_master(index);
        index
    }

    /// It takes nothing that comes in, nor does it do what is due, until it goes on.
    pub(crate) fn suspend(&mut self, index: usize) {
        self.masters[index].held.get_or_insert_default();
    }

    /// What has waited is done in order, and writes of unknown outcome are looked after.
    pub(crate) fn resume(&mut self, index: usize) {
        let now = self.clock(self.masters[index].offset);
        let is_stopped = self.is_stopped(index);
        if let Some(core) = self.masters[index].core.as_mut().filter(|_| !is_stopped) {
            let effects = core.resume(now);
            self.after_master(index, effects);
        }
        for held in self.masters[index].held.take().unwrap_or_default() {
            match held {
                Held::Heard(wire, message) => self.master_hears(index, wire, message),
                Held::Lost(wire) => self.server_lost(wire),
                Held::Called(caller, call) => self.on_call(index, caller, *call),
                Held::Recorded(ticket) => self.on_recorded(index, ticket),
            }
        }
        let machine = self.coordination.machine_of(index);
        if machine.is_some_and(|machine| self.coordination.machines[machine].connected) {
            self.read_again(index);
        }
        self.wake_master(index);
    }

    /// Keeps something for later when the master takes nothing now; true when it does.
    pub(crate) fn hold(&mut self, index: usize, held: impl FnOnce() -> Held) -> bool {
        let Some(waiting) = &mut self.masters[index].held else { return false };
        waiting.push(held());
        true
    }

    /// A call on a connection of its own: one who is suspended says that it cannot, one whose process is stopped says nothing.
    pub(crate) fn take_call(&mut self, index: usize, caller: Caller, call: Call) {
        let waits = self.masters[index].held.is_some();
        match (waits, self.is_stopped(index)) {
            (true, false) => {
                self.history.note(self.now, format_args!("m{index} is suspended and takes no call"));
            }
            (true, true) => _ = self.hold(index, || Held::Called(caller, Box::new(call))),
            (false, _) => self.on_call(index, caller, call),
        }
    }

    /// The master's process ends; who is connected finds out.
    pub(crate) fn stop_master(&mut self, index: usize) {
        // A process that ends closes its connections; a machine that ends does not.
        let is_clean = self.rng.once_in(2);
        self.end_master(index, is_clean);
    }

    /// The leader gives its place away, another leads from now on, and everyone who is connected to the former one knows at once.
    pub fn hand_over(&mut self) {
        let (Some(former), Some(machine)) = (self.leader(), self.leading_machine()) else { return };
        self.leave_line(machine);
        self.elect();
        self.end_master(former, true);
    }

    fn end_master(&mut self, index: usize, is_clean: bool) {
        if self.masters[index].core.take().is_none() {
            return;
        }
        self.history.note(self.now, format_args!("m{index} stops"));
        self.masters[index].held = None;
        self.masters[index].unknown.clear();
        let wires: Vec<u64> = self
            .network
            .wires
            .iter()
            .filter(|(_, wire)| wire.master == index && wire.server_open)
            .map(|(id, _)| *id)
            .collect();
        for wire in wires {
            match is_clean {
                true => self.close(wire, false),
                false => self.break_wire(wire),
            }
        }
        self.after_term(index);
    }

    pub(crate) fn apply_to_master(&mut self, index: usize, event: Event) {
        let now = self.clock(self.masters[index].offset);
        let Some(core) = self.masters[index].core.as_mut() else { return };
        let effects = core.apply(now, event);
        self.after_master(index, effects);
    }

    pub(super) fn after_master(&mut self, index: usize, effects: Vec<Effect>) {
        for effect in effects {
            self.execute_for_master(index, effect);
        }
        self.masters[index].events += 1;
        if self.masters[index].events.is_multiple_of(self.plan.audit_every) {
            self.audit(index);
        }
        self.plan_wake_of_master(index);
    }

    /// Holds the books of a master against themselves, all of them.
    pub(crate) fn audit(&mut self, index: usize) {
        let Some(core) = &self.masters[index].core else { return };
        let violations = audit(core);
        if !violations.is_empty() {
            self.fail(|| format!("the audit of m{index} finds {violations:?}"));
        }
    }

    fn execute_for_master(&mut self, index: usize, effect: Effect) {
        match effect {
            Effect::ToFramework { framework, stream, event } => {
                self.tell_framework(index, &framework, wire_of(&stream), event);
            }
            Effect::RefuseStream { stream, message, .. } => {
                let wire = wire_of(&stream);
                self.masters[index].streams.remove(&wire);
                self.send(wire, false, Message::Refused(message.to_string()));
                self.close(wire, false);
            }
            Effect::CloseStream { stream } => {
                self.masters[index].streams.remove(&wire_of(&stream));
                self.close(wire_of(&stream), false);
            }
            Effect::ToAgent { link, command, .. } => self.tell_agent(index, link, command),
            Effect::CloseLink { link } => {
                self.masters[index].links.remove(&link.0);
                self.close(link.0, false);
            }
            Effect::Record { ticket, change } => {
                let epoch = self.masters[index].epoch;
                let asked = Box::new(change.clone());
                self.enter(|| Entry::Asked { epoch, ticket, change: asked });
                self.write(index, ticket, change);
            }
            Effect::Dropped { what } => {
                self.history.note(self.now, format_args!("m{index} passes over {what}"));
            }
            Effect::Warn { what } => {
                if what.contains("are not given up") {
                    self.tally.met(Met::HeldByBrake);
                }
                self.history.note(self.now, format_args!("m{index} warns: {what}"));
            }
            Effect::Operator(_) => {}
        }
    }

    fn tell_framework(&mut self, index: usize, framework: &FrameworkId, wire: u64, event: SchedulerEvent) {
        if !self.network.server_open(wire) {
            self.fail(|| format!("m{index} sends {event:?} on stream {wire}, which is closed"));
        }
        if event == SchedulerEvent::Subscribed {
            self.masters[index].streams.insert(wire, Some(framework.clone()));
            self.check_subscribed(index, framework);
        }
        self.send_to_framework(wire, Message::Event(Box::new(event)));
    }

    fn tell_agent(&mut self, index: usize, link: LinkId, command: AgentCommand) {
        if !self.network.server_open(link.0) {
            self.fail(|| format!("m{index} sends {command:?} on link {}, which is closed", link.0));
        }
        if let AgentCommand::Welcome { agent, .. } = &command {
            self.masters[index].links.insert(link.0, Some(agent.clone()));
            self.check_admitted(index, agent);
        }
        if let AgentCommand::Acknowledge { framework, task, uuid } = &command
            && let Some(Some(agent)) = self.masters[index].links.get(&link.0).cloned()
        {
            let task = TaskKey { framework: framework.clone(), task: task.clone() };
            self.check_acknowledged(index, &agent, &task, *uuid);
        }
        let node = &mut self.masters[index];
        node.sequence += 1;
        let (epoch, sequence) = (node.epoch, node.sequence);
        self.send(link.0, false, Message::Command { epoch, sequence, command: Box::new(command) });
    }

    /// A message has come in from an agent or a framework.
    pub(crate) fn master_hears(&mut self, index: usize, wire: u64, message: Message) {
        if self.masters[index].held.is_some() {
            self.hold(index, || Held::Heard(wire, message));
            return;
        }
        match message {
            Message::Hello { .. } if self.is_stranger(wire) => {
                self.checks.rejected += 1;
                self.send(wire, false, Message::Refused("wrong credentials".to_owned()));
                self.close(wire, false);
            }
            Message::Hello { agent, held } => {
                self.masters[index].links.insert(wire, None);
                let (link, from) = (LinkId(wire), self.address_of_agent(wire));
                self.apply_to_master(index, Event::AgentConnected { link, from, agent: *agent, held: *held });
            }
            Message::Update { framework, status, latest } => {
                let Some(Some(agent)) = self.masters[index].links.get(&wire).cloned() else { return };
                let link = LinkId(wire);
                self.apply_to_master(
                    index,
                    Event::Update { link, agent, framework, status: *status, latest },
                );
            }
            Message::ExecutorGone { executor, status } => {
                let Some(Some(agent)) = self.masters[index].links.get(&wire).cloned() else { return };
                self.apply_to_master(index, Event::ExecutorGone { agent, executor, status });
            }
            Message::ExecutorSays { executor, data } => {
                let Some(Some(agent)) = self.masters[index].links.get(&wire).cloned() else { return };
                self.apply_to_master(index, Event::ExecutorMessage { agent, executor, data });
            }
            Message::Operation(status) => {
                let Some(Some(agent)) = self.masters[index].links.get(&wire).cloned() else { return };
                let event = Event::OperationUpdate { link: LinkId(wire), agent, status: *status };
                self.apply_to_master(index, event);
            }
            Message::Subscribe(framework) => {
                self.masters[index].streams.insert(wire, None);
                let event = Event::Subscribe {
                    stream: stream_of(wire),
                    framework: *framework,
                    suppressed: Vec::new(),
                    constraints: Default::default(),
                };
                self.apply_to_master(index, event);
            }
            Message::Call(call) => {
                let Some(Some(framework)) = self.masters[index].streams.get(&wire).cloned() else { return };
                self.on_call(index, caller(framework, wire), *call);
            }
            Message::Command { .. } | Message::Event(_) | Message::Refused(_) | Message::Closed => {}
        }
    }

    pub(crate) fn on_call(&mut self, index: usize, caller: Caller, call: Call) {
        let now = self.clock(self.masters[index].offset);
        let Some(core) = self.masters[index].core.as_mut() else { return };
        // An agent that the registry does not know may still come: nothing is said of it, and a kill waits for it.
        let may_come = |agent: &AgentId| !core.snapshot().agents.contains_key(agent);
        let killed = match &call {
            Call::Kill { task, agent, .. } if !agent.as_ref().is_some_and(may_come) => {
                Some(TaskKey { framework: caller.framework.clone(), task: task.clone() })
            }
            _ => None,
        };
        let (by, what) = (&caller.framework, Brief(&call));
        self.history.note(self.now, format_args!("m{index} is called by {by}: {what}"));
        match core.apply_call(now, &caller, call) {
            Ok(effects) => {
                if let Some(task) = killed {
                    let epoch = self.masters[index].epoch;
                    self.enter(|| Entry::Kill { epoch, task });
                }
                self.after_master(index, effects);
            }
            Err(refused) => self.history.note(self.now, format_args!("m{index} refuses: {refused}")),
        }
    }

    /// A connection is gone, as this master finds.
    pub(crate) fn master_lost(&mut self, index: usize, wire: u64) {
        let Some(core) = &self.masters[index].core else { return };
        let books = core.snapshot();
        let node = &mut self.masters[index];
        if let Some(agent) = node.links.remove(&wire) {
            let last_heard = self.network.last_heard(wire).unwrap_or(self.now);
            if let Some(agent) = agent.or_else(|| linked(&books, LinkId(wire))) {
                self.apply_to_master(index, Event::LinkClosed { link: LinkId(wire), agent, last_heard });
            }
        } else if let Some(framework) = node.streams.remove(&wire) {
            let stream = stream_of(wire);
            if let Some(framework) = framework.or_else(|| subscriber(&books, &stream)) {
                self.apply_to_master(index, Event::StreamClosed { stream, framework });
            }
        }
    }

    pub(crate) fn on_recorded(&mut self, index: usize, ticket: Ticket) {
        if self.hold(index, || Held::Recorded(ticket)) {
            return;
        }
        if self.masters[index].core.is_some() {
            let epoch = self.masters[index].epoch;
            self.enter(|| Entry::Answered { epoch, ticket });
        }
        self.apply_to_master(index, Event::Recorded { ticket });
        self.note_answered(index, ticket);
    }

    pub(crate) fn wake_master(&mut self, index: usize) {
        let node = &mut self.masters[index];
        if node.wake.is_some_and(|at| at <= self.now) {
            node.wake = None;
        }
        if node.held.is_some() {
            return;
        }
        let due = node.core.as_ref().and_then(Master::next_wakeup);
        match due.is_some_and(|at| at <= self.now) {
            true => self.apply_to_master(index, Event::Tick),
            false => self.plan_wake_of_master(index),
        }
    }

    fn plan_wake_of_master(&mut self, index: usize) {
        let node = &mut self.masters[index];
        let Some(at) = node.core.as_ref().and_then(Master::next_wakeup) else { return };
        let at = at.max(self.now);
        if node.wake.is_none_or(|planned| at < planned) {
            node.wake = Some(at);
            self.queue.put(at, Happening::Wake(Node::Master(index)));
        }
    }

    /// How many events the leader has taken.
    pub fn events(&self) -> u64 {
        self.leader().map_or(0, |leader| self.masters[leader].events)
    }

    /// The books of the leader; `None` while nobody leads.
    pub fn books(&self) -> Option<Snapshot> {
        let leader = self.leader()?;
        self.masters[leader].core.as_ref().map(Master::snapshot)
    }
}

pub(crate) fn caller(framework: FrameworkId, wire: u64) -> Caller {
    Caller { framework, stream: Some(stream_of(wire)), principal: None }
}

fn stream_of(wire: u64) -> StreamId {
    StreamId(wire.to_string().into())
}

fn wire_of(stream: &StreamId) -> u64 {
    stream.0.parse().expect("this simulator named the stream")
}

fn linked(books: &Snapshot, link: LinkId) -> Option<AgentId> {
    let holds = |state: &AgentState| match state {
        AgentState::Admitting { link: open } | AgentState::Active { link: open } => *open == link,
        _ => false,
    };
    books.agents.values().find(|agent| holds(&agent.state)).map(|agent| agent.id.clone())
}

fn subscriber(books: &Snapshot, stream: &StreamId) -> Option<FrameworkId> {
    let holds = |state: &FrameworkState| match state {
        FrameworkState::Subscribing { stream: open } | FrameworkState::Active { stream: open } => {
            open == stream
        }
        _ => false,
    };
    books.frameworks.values().find(|framework| holds(&framework.state)).map(|framework| framework.id.clone())
}
