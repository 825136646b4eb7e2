//! The leading master: the real books, behind the real codec, on one core, or with a second one for the codec.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chapada_master::edge::{self, AgentMessage, Form, SchedulerCall};
use chapada_master_core::{
    Call, Caller, Effect, Event, EventKind, Held, LinkId, Master, RegistryState, Settings, Snapshot, StreamId,
};
use chapada_model::{AgentId, FrameworkId, MasterDescription, Mono, Now, Wall};
use chapada_wire::Json as _;
use chapada_wire::convert::ReservationFormat;
use chapada_wire::link::{Heartbeat, ToAgent, to_agent};
use chapada_wire::recordio;
use prost::Message as _;

use super::cpu::Meter;
use super::host::Host;
use super::queue::{Arrival, Index};

/// How many inputs the master's loop takes before it looks after readers. Source: its shell.
const BATCH: usize = 256;

/// After so long a turn takes no further input. Source: its shell.
const TURN: Duration = Duration::from_millis(10);

/// How often somebody reads the books, as one who watches the cluster does.
pub(crate) const READING: Duration = Duration::from_secs(1);

/// As fine as the timers of the master's runtime are: what is due within it happens at its end.
const TIMER: u64 = 1_000_000;

/// When the wall clocks begin: 2026-01-01.
const WALL: u64 = 1_767_225_600_000_000_000;

/// The id of the master, as long as a real one.
pub(crate) const MASTER_ID: &str = "3d1c3e5a-7f0b-4d5e-9a65-0c8f6a1f2b3c";

/// Where an agent calls from: each has an address of its own.
fn peer(index: Index) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from_bits(Ipv4Addr::new(10, 1, 0, 0).to_bits() + index).into(), 40_000)
}

/// What the master says about itself.
pub(crate) fn describe_master() -> MasterDescription {
    MasterDescription {
        id: MASTER_ID.into(),
        hostname: "master.example".into(),
        ip: Ipv4Addr::new(10, 0, 0, 1).into(),
        port: 5050,
        version: "0.1.0".into(),
        domain: None,
    }
}

/// The moment by the wall clock.
pub(crate) fn wall(at: Mono) -> Wall {
    Wall(WALL + at.0)
}

/// Something that leaves the master, by where it goes.
pub(crate) enum Outgoing {
    Agent(Index, Vec<u8>),
    Framework(Index, bytes::Bytes),
    Registry(chapada_master_core::Ticket),
}

/// One framework's connection.
struct Stream {
    form: Form,
    id: Option<FrameworkId>,
    format: ReservationFormat,
    name: StreamId,
}

/// One agent's connection.
#[derive(Default)]
struct Link {
    agent: Option<AgentId>,
    sequence: u64,
    /// When the last message came.
    heard: Mono,
}

/// The master's process.
pub(crate) struct MasterHost {
    pub(crate) core: Master,
    settings: Settings,
    pub(crate) host: Host,
    /// What is durable, once what was asked for has been written.
    registry: RegistryState,
    /// By when the books can take it.
    inbox: BTreeMap<(Mono, u64), Input>,
    arrived: u64,
    /// Where messages are read and written beside the books, as the real one's connections do.
    desk: Option<Host>,
    links: Vec<Link>,
    streams: Vec<Option<Stream>>,
    by_stream: HashMap<StreamId, Index>,
    describes: MasterDescription,
    /// What a reader has, from one question to the next: the books as they were after a batch.
    shown: Snapshot,
    /// When it last asked.
    asked: Mono,
    /// The longest turn so far: who asks for the books at its beginning gets them at its end.
    pub(crate) longest_turn: Duration,
    /// How many agents have told of what was over before it led.
    pub(crate) told: usize,
    /// How many changes of the registry it has asked for.
    pub(crate) written: usize,
    /// How long it waits before it asks again; nobody reads when absent.
    pub(crate) reading: Option<Duration>,
    /// When it is to take its next turn.
    pub(crate) turn: Option<Mono>,
    /// Whether what it warns of is no surprise.
    pub(crate) may_warn: bool,
}

impl MasterHost {
    pub(crate) fn new(agents: usize, frameworks: usize) -> Self {
        Self::with_settings(agents, frameworks, Settings::new(MASTER_ID))
    }

    pub(crate) fn with_settings(agents: usize, frameworks: usize, settings: Settings) -> Self {
        let registry = RegistryState { epoch: 1, ..RegistryState::default() };
        Self::elected(Mono(1), registry, (agents, frameworks), settings)
    }

    /// Another master, which leads in the place of this one from this moment on.
    pub(crate) fn succeeded(&self, at: Mono) -> Self {
        let registry = RegistryState { epoch: self.registry.epoch + 1, ..self.registry.clone() };
        let desk = self.desk.map(|_| Host::default());
        let other =
            Self::elected(at, registry, (self.links.len(), self.streams.len()), self.settings.clone());
        Self { desk, ..other }
    }

    /// From now on messages are read and written on a second core.
    pub(crate) fn take_second_core(&mut self) {
        self.desk = Some(Host::default());
    }

    /// The CPU it has used, on all its cores.
    pub(crate) fn used(&self) -> Duration {
        self.host.used + self.desk.map_or(Duration::ZERO, |desk| desk.used)
    }

    fn elected(
        at: Mono,
        registry: RegistryState,
        (agents, frameworks): (usize, usize),
        settings: Settings,
    ) -> Self {
        let (now, kept, meter) = (moment(at), registry.clone(), Meter::start());
        let core = Master::recover(now, settings.clone(), registry);
        let mut host = Host::default();
        host.work(at, meter.spent());
        Self {
            registry: kept,
            shown: core.snapshot(),
            asked: now.mono,
            longest_turn: Duration::ZERO,
            told: 0,
            written: 0,
            reading: Some(READING),
            core,
            settings,
            host,
            inbox: BTreeMap::new(),
            arrived: 0,
            desk: None,
            links: (0..agents).map(|_| Link::default()).collect(),
            streams: (0..frameworks).map(|_| None).collect(),
            by_stream: HashMap::new(),
            describes: describe_master(),
            turn: None,
            may_warn: false,
        }
    }

    /// The way in which a framework will talk.
    pub(crate) fn expect_framework(&mut self, index: Index, form: Form) {
        let name = StreamId(format!("9b1c3e5a-7f0b-4d5e-9a65-{index:012}").into());
        self.by_stream.insert(name.clone(), index);
        let stream = Stream { form, id: None, format: ReservationFormat::Stacked, name };
        self.streams[index as usize] = Some(stream);
    }

    /// Something is there at this moment.
    pub(crate) fn arrive(&mut self, now: Mono, arrival: Arrival) -> Result<()> {
        let (ready, input) = match &arrival {
            Arrival::Recorded(_) | Arrival::Silence(_) => (now, Input::Raw(arrival)),
            _ if self.desk.is_none() => (now, Input::Raw(arrival)),
            _ => {
                let meter = Meter::start();
                let read = self.read(now, arrival)?;
                let ready = self.desk.as_mut().map_or(now, |desk| desk.work(now, meter.spent()));
                (ready, Input::Read(read))
            }
        };
        self.arrived += 1;
        self.inbox.insert((ready, self.arrived), input);
        Ok(())
    }

    /// When the last message of an agent was there.
    pub(crate) fn heard(&self, index: Index) -> Mono {
        self.links[index as usize].heard
    }

    /// When the next turn should be, given this moment; `None` while there is nothing to do.
    pub(crate) fn next_turn(&self, now: Mono) -> Option<Mono> {
        let due = self.core.next_wakeup().map(|at| Mono(at.0.div_ceil(TIMER) * TIMER));
        let ready = self.inbox.keys().map(|(at, _)| *at).next();
        due.into_iter().chain(ready).min().map(|at| self.host.free_at(at.max(now)))
    }

    /// Takes a batch, as the loop of the real one does. What leaves, and when.
    pub(crate) fn take_turn(&mut self, at: Mono) -> Result<Vec<(Mono, Outgoing)>> {
        let meter = Meter::start();
        let begun = self.host.free_at(at);
        let wakeup = self.core.next_wakeup();
        let (mut leaving, mut marks) = (Vec::new(), Vec::new());
        // What was spent when the last input was done, and how much of it on the other core.
        let (mut spent, mut aside) = (Duration::ZERO, Duration::ZERO);
        while marks.len() < BATCH
            && spent - aside < TURN
            && let Some(next) = self.inbox.first_entry().filter(|next| next.key().0 <= begun)
        {
            let input = next.remove();
            let effects = self.take(begun + (spent - aside), input, &mut leaving)?;
            let decided = meter.spent();
            self.execute(effects, &mut leaving)?;
            spent = meter.spent();
            let at = begun + (decided - aside);
            let written = match &mut self.desk {
                Some(desk) => {
                    aside += spent - decided;
                    desk.work(at, spent - decided)
                }
                None => at + (spent - decided),
            };
            marks.push((leaving.len(), written));
        }
        let now = begun + (spent - aside);
        if wakeup.is_some_and(|due| due <= now) {
            let effects = self.core.apply(moment(now), Event::Tick);
            self.execute(effects, &mut leaving)?;
        }
        if self.reading.is_some_and(|wait| self.asked + wait <= now) {
            drop(std::mem::replace(&mut self.shown, self.core.snapshot()));
            self.asked = now;
        }
        let done = self.host.work(at, meter.spent() - aside);
        self.longest_turn = self.longest_turn.max(done.since(begun));
        marks.push((leaving.len(), done));
        Ok(stamp(leaving, marks.into_iter()))
    }

    fn take(&mut self, now: Mono, input: Input, leaving: &mut Vec<Outgoing>) -> Result<Vec<Effect>> {
        let read = match input {
            Input::Raw(arrival) => self.read(now, arrival)?,
            Input::Read(read) => read,
        };
        match read {
            Read::Event(event) => {
                self.told += usize::from(event.kind() == EventKind::CompletedTasks);
                Ok(self.core.apply(moment(now), *event))
            }
            Read::Call(caller, call) => Ok(self.core.apply_call(moment(now), &caller, *call)?),
            Read::SignOfLife(index) => {
                leaving.push(Outgoing::Agent(index, heartbeat(self.registry.epoch)));
                Ok(Vec::new())
            }
        }
    }

    fn read(&mut self, now: Mono, arrival: Arrival) -> Result<Read> {
        match arrival {
            Arrival::Recorded(ticket) => Ok(Read::event(Event::Recorded { ticket })),
            Arrival::Link(index, pages) => {
                self.links[index as usize].heard = now;
                connect(index, &pages)
            }
            Arrival::Silence(index) => {
                let link = &self.links[index as usize];
                let agent = link.agent.clone().context("an agent that was welcome")?;
                Ok(Read::event(Event::LinkClosed { link: link_id(index), agent, last_heard: link.heard }))
            }
            Arrival::Agent(index, message) => {
                let link = &mut self.links[index as usize];
                link.heard = now;
                let agent = link.agent.clone().context("an agent speaks before it is welcome")?;
                match edge::agent_message(&message, link_id(index), &agent, peer(index)) {
                    Ok(AgentMessage::News(event)) => Ok(Read::Event(event)),
                    Ok(AgentMessage::Nothing) => Ok(Read::SignOfLife(index)),
                    other => bail!("an agent says {other:?}"),
                }
            }
            Arrival::Framework(index, body) => self.call(index, &body),
        }
    }

    fn call(&mut self, index: Index, body: &[u8]) -> Result<Read> {
        let stream = self.streams[index as usize].as_mut().context("a framework that was announced")?;
        match edge::scheduler_call(body, stream.form).map_err(anyhow::Error::msg)? {
            SchedulerCall::Subscribe { framework, suppressed, constraints } => {
                stream.format = ReservationFormat::of(&framework);
                let stream = stream.name.clone();
                Ok(Read::event(Event::Subscribe { stream, framework: *framework, suppressed, constraints }))
            }
            SchedulerCall::Call { framework, call } => {
                let caller = Caller { framework, stream: Some(stream.name.clone()), principal: None };
                Ok(Read::Call(caller, call))
            }
        }
    }

    fn execute(&mut self, effects: Vec<Effect>, leaving: &mut Vec<Outgoing>) -> Result<()> {
        for effect in effects {
            match effect {
                Effect::ToFramework { framework, stream, event } => {
                    let index = *self.by_stream.get(&stream).context("a stream that was announced")?;
                    let stream = self.streams[index as usize].as_mut().context("it is announced")?;
                    stream.id.get_or_insert_with(|| framework.clone());
                    let event = edge::scheduler_event(&self.describes, stream.format, &framework, event);
                    let record = match stream.form {
                        Form::Json => event.to_json(),
                        Form::Protobuf => event.encode_to_vec(),
                    };
                    leaving.push(Outgoing::Framework(index, recordio::frame(&record)));
                }
                Effect::ToAgent { link, agent, command } => {
                    let index = Index::try_from(link.0)?;
                    let link = &mut self.links[index as usize];
                    if link.agent.is_none() {
                        link.agent = agent;
                    }
                    link.sequence += 1;
                    let message =
                        edge::agent_command(self.registry.epoch, link.sequence, &command).encode_to_vec();
                    leaving.push(Outgoing::Agent(index, message));
                }
                Effect::Record { ticket, change } => {
                    self.registry.apply(change);
                    self.written += 1;
                    leaving.push(Outgoing::Registry(ticket));
                }
                // As in the shell while nobody follows the cluster.
                Effect::Operator(event) => drop(Arc::new(event)),
                Effect::Warn { what } if !self.may_warn => bail!("the master warns: {what}"),
                Effect::Warn { .. } => {}
                Effect::Dropped { what } => bail!("the master passes over something: {what}"),
                Effect::RefuseStream { message, .. } => bail!("a subscription is refused: {message}"),
                Effect::CloseStream { .. } | Effect::CloseLink { .. } => bail!("a connection is closed"),
            }
        }
        Ok(())
    }
}

/// What the books are to take.
enum Input {
    /// It is to be read first.
    Raw(Arrival),
    /// It was read on the other core.
    Read(Read),
}

/// Something that was read.
enum Read {
    Event(Box<Event>),
    Call(Caller, Box<Call>),
    /// An agent says nothing but that it lives.
    SignOfLife(Index),
}

impl Read {
    fn event(event: Event) -> Self {
        Self::Event(Box::new(event))
    }
}

/// The beginning of a link.
fn connect(index: Index, pages: &[Vec<u8>]) -> Result<Read> {
    let nobody = AgentId::new("-")?;
    let (peer, mut agent, mut held) = (peer(index), None, Held::default());
    for page in pages {
        match edge::agent_message(page, link_id(index), &nobody, peer) {
            Ok(AgentMessage::Hello(hello)) => agent = Some(*hello),
            Ok(AgentMessage::Holding(page)) => {
                held.tasks.extend(page.tasks);
                held.frameworks.extend(page.frameworks);
            }
            other => bail!("an agent begins with {other:?}"),
        }
    }
    let agent = agent.context("an agent begins with a hello")?;
    Ok(Read::event(Event::AgentConnected { link: link_id(index), from: peer.ip(), agent, held }))
}

/// The master's own sign of life, for which a link has a timer of the same period.
fn heartbeat(epoch: u64) -> Vec<u8> {
    let message = to_agent::Message::Heartbeat(Heartbeat {});
    ToAgent { epoch, sequence: 0, message: Some(message) }.encode_to_vec()
}

/// What had left by each mark, with its moment.
fn stamp(leaving: Vec<Outgoing>, marks: impl Iterator<Item = (usize, Mono)>) -> Vec<(Mono, Outgoing)> {
    let mut sent = Vec::with_capacity(leaving.len());
    let mut leaving = leaving.into_iter();
    for (count, at) in marks {
        let part = leaving.by_ref().take(count - sent.len());
        sent.extend(part.map(|outgoing| (at, outgoing)));
    }
    sent
}

fn moment(now: Mono) -> Now {
    Now { mono: now, wall: wall(now) }
}

fn link_id(index: Index) -> LinkId {
    LinkId(index.into())
}

/// How long the registry takes for a change: a transaction of a small ensemble.
pub(crate) const RECORDING: Duration = Duration::from_millis(2);
