//! A master whose records are durable at once, with agents that listen.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use chapada_master::edge::{self, AgentMessage, Form, OperatorChange, SchedulerCall};
use chapada_master_core::{
    Caller, Effect, Event, Held, LinkId, Master, RegistryState, Settings, Snapshot, StreamId, audit,
};
use chapada_model::{AgentDescription, AgentId, MasterDescription, Mono, Now, Wall};
use chapada_wire::Json;
use chapada_wire::convert::ReservationFormat;
use prost::Message;

use super::agent::Machine;
use crate::corpus::listed;

/// What the master sees as the address of every agent.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5051);
/// How often the world ticks until nothing is due any more: a few plans, each of which may make the next one due.
const MAX_TICKS: usize = 20;

/// A master and all around it.
pub(crate) struct World {
    master: Master,
    now: Now,
    /// What is durable.
    pub(crate) registry: RegistryState,
    /// Every message to an agent, as it crosses the link.
    pub(crate) sent: Vec<Vec<u8>>,
    /// Takes what is sent to agents, as the agent's core does.
    machine: Option<Machine>,
    description: MasterDescription,
    links: u64,
    streams: u64,
    hello: Option<AgentDescription>,
}

impl World {
    /// A master that begins to lead with this registry.
    pub(crate) fn leading(registry: RegistryState) -> Self {
        let now = Now { mono: Mono(1), wall: Wall(1_700_000_000_000_000_000) };
        let description = MasterDescription {
            id: "m1".into(),
            hostname: "master".into(),
            ip: Ipv4Addr::LOCALHOST.into(),
            port: 5050,
            version: "1.0.0".into(),
            domain: None,
        };
        let master = Master::recover(now, Settings::new("m1"), registry.clone());
        let (sent, machine) = (Vec::new(), None);
        let world =
            Self { master, now, registry, sent, machine, description, links: 0, streams: 0, hello: None };
        world.check("recovery");
        world
    }

    /// With one agent.
    pub(crate) fn small() -> Self {
        let mut world = Self::leading(RegistryState { epoch: 1, ..RegistryState::default() });
        world.add_agent("cpus:4;mem:4096;disk:1000;ports:[31000-31009]", "rack:a1;level:10;zones:{a,b}");
        world
    }

    /// With agents, frameworks, tasks that run, reservations, offers: what `seeds/setup.jsonl` says.
    pub(crate) fn busy() -> Self {
        let mut world = Self::small();
        world.machine = Some(Machine::recovered(Vec::new()));
        world.add_agent("cpus:8;mem:8192;disk(ops):500;cpus(ops):2;gpus:2", "rack:b1");
        for line in listed("setup.jsonl") {
            let call = edge::scheduler_call(line.as_bytes(), Form::Json);
            world.call(call.unwrap_or_else(|error| panic!("seeds/setup.jsonl: {line}: {error}")));
        }
        assert!(!world.books().offers.is_empty() && !world.books().tasks.is_empty(), "the world is busy");
        world
    }

    /// The books.
    pub(crate) fn books(&self) -> Snapshot {
        self.master.snapshot()
    }

    fn add_agent(&mut self, resources: &str, attributes: &str) {
        let agent = AgentDescription {
            id: None,
            hostname: "host".into(),
            port: 5051,
            address: "127.0.0.1:5051".into(),
            resources: resources.parse().expect("valid resources"),
            attributes: chapada_model::Attribute::parse_list(attributes).expect("valid attributes"),
            domain: None,
            capabilities: Default::default(),
            version: "1.0.0".into(),
        };
        self.connect(agent, Held::default());
    }

    fn connect(&mut self, agent: AgentDescription, held: Held) {
        self.links += 1;
        self.apply(Event::AgentConnected { link: LinkId(self.links), from: PEER.ip(), agent, held });
        self.settle();
    }

    /// Takes a call as the open stream of its framework.
    pub(crate) fn call(&mut self, call: SchedulerCall) {
        match call {
            SchedulerCall::Subscribe { framework, suppressed, constraints } => {
                self.streams += 1;
                let stream = StreamId(format!("stream-{}", self.streams).into());
                let framework = *framework;
                self.apply(Event::Subscribe { stream, framework, suppressed, constraints });
            }
            SchedulerCall::Call { framework, call } => {
                let stream = self.books().frameworks.get(&framework).and_then(|f| f.stream().cloned());
                let caller = Caller { framework, stream, principal: None };
                if let Ok(effects) = self.master.apply_call(self.now, &caller, *call) {
                    self.carry_out(effects);
                }
            }
        }
        self.settle();
    }

    /// Takes a call of an operator.
    pub(crate) fn operate(&mut self, change: OperatorChange) {
        let effects = match change {
            OperatorChange::Roles(call) => {
                self.master.apply_role_call(self.now, call).map(|(effects, _)| effects)
            }
            OperatorChange::Resources(call) => {
                self.master.apply_operator(self.now, call).map(|(effects, _)| effects)
            }
            OperatorChange::Maintenance(call) => {
                self.master.apply_maintenance(self.now, call).map(|(effects, _)| effects)
            }
            OperatorChange::Agents(call) => {
                self.master.apply_agent_call(self.now, call).map(|(effects, _)| effects)
            }
        };
        self.carry_out(effects.unwrap_or_default());
        self.settle();
    }

    /// Takes a message of the first agent, or the hello of another one.
    pub(crate) fn agent_says(&mut self, bytes: &[u8]) {
        let agent = AgentId::new("m1-S0").expect("a valid id");
        match edge::agent_message(bytes, LinkId(1), &agent, PEER) {
            Ok(AgentMessage::Hello(hello)) => self.hello = Some(*hello),
            Ok(AgentMessage::Holding(held)) => {
                if let Some(hello) = self.hello.take() {
                    self.connect(hello, held);
                }
            }
            Ok(AgentMessage::News(event)) => self.apply(*event),
            Ok(AgentMessage::Nothing) | Err(_) => {}
        }
        self.settle();
    }

    /// Lets what is due soon happen, and holds the books against themselves.
    pub(crate) fn settle(&mut self) {
        self.pass(Duration::from_millis(10));
    }

    /// Lets so much time pass; what is due on the way happens when it is due.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        for _ in 0..MAX_TICKS {
            let Some(at) = self.master.next_wakeup().filter(|at| *at <= end) else { break };
            self.now.mono = at.max(self.now.mono);
            self.apply(Event::Tick);
        }
        self.now.mono = end.max(self.now.mono);
        self.check("some time");
    }

    fn apply(&mut self, event: Event) {
        let effects = self.master.apply(self.now, event);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Record { ticket, change } => {
                    self.registry.apply(change);
                    effects.extend(self.master.apply(self.now, Event::Recorded { ticket }));
                }
                Effect::ToFramework { framework, event, .. } => {
                    let format = ReservationFormat::Stacked;
                    let event = edge::scheduler_event(&self.description, format, &framework, event);
                    drop((event.to_json(), event.encode_to_vec()));
                }
                Effect::ToAgent { command, .. } => {
                    let number = self.sent.len() as u64 + 1;
                    let bytes = edge::agent_command(1, number, &command).encode_to_vec();
                    if let Some(machine) = &mut self.machine {
                        machine.receive(&bytes);
                    }
                    self.sent.push(bytes);
                }
                _ => {}
            }
        }
        self.check("an event");
    }

    fn check(&self, after: &str) {
        let violations = audit(&self.master);
        assert!(violations.is_empty(), "after {after}: {violations:#?}");
    }
}
