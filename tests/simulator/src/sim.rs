//! The cluster, and the loop that lets things happen.

use std::time::Duration;

use chapada_model::{Mono, Now, Wall};

use crate::archive::Archive;
use crate::checks::Checks;
use crate::coordination::Coordination;
use crate::history::History;
use crate::journal::Journal;
use crate::network::Network;
use crate::node::Node;
use crate::nodes::{AgentNode, FrameworkNode, MasterNode};
use crate::plan::Plan;
use crate::queue::{Happening, Queue};
use crate::random::Rng;
use crate::registry::Registry;
use crate::tally::Tally;

/// 2026-01-01, where every wall clock begins.
const WALL: u64 = 1_767_225_600_000_000_000;

/// More happenings at once than this mean that something feeds itself (I8).
const MAX_QUEUE: usize = 2_000_000;

/// So much happens in a second for each node at most.
const MOST_A_SECOND: u64 = 20_000;

/// The bounds are looked at after so many steps for each event between two audits.
const BOUNDS_EVERY: u64 = 50;

/// A whole cluster in one thread.
#[derive(Debug)]
pub struct Sim {
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    pub(crate) now: Mono,
    pub(crate) queue: Queue,
    pub(crate) network: Network,
    pub(crate) registry: Registry,
    pub(crate) coordination: Coordination,
    pub(crate) masters: Vec<MasterNode>,
    pub(crate) agents: Vec<AgentNode>,
    pub(crate) frameworks: Vec<FrameworkNode>,
    pub(crate) archive: Archive,
    pub(crate) checks: Checks,
    pub(crate) stormy: bool,
    steps: u64,
    /// When a second began, and after how many steps.
    pace: (Mono, u64),
    pub(crate) tally: Tally,
    pub(crate) journal: Journal,
    /// What happened.
    pub history: History,
}

impl Sim {
    /// A cluster at its beginning: a master leads, agents and frameworks are about to connect.
    pub fn new(seed: u64, plan: Plan, keep_history: bool) -> Self {
        let mut sim = Self {
            rng: Rng::new(seed),
            now: Mono(1),
            queue: Queue::default(),
            network: Network::default(),
            registry: Registry::default(),
            coordination: Coordination::default(),
            masters: Vec::new(),
            agents: Vec::new(),
            frameworks: Vec::new(),
            archive: Archive::default(),
            checks: Checks::default(),
            steps: 0,
            pace: (Mono(0), 0),
            tally: Tally::default(),
            journal: Journal::default(),
            stormy: plan.stormy > Duration::ZERO,
            history: History::new(keep_history),
            plan,
        };
        sim.start_masters();
        for resources in sim.plan.agents.clone() {
            sim.add_agent(&resources);
        }
        for manner in sim.plan.frameworks.clone() {
            sim.add_framework(manner);
        }
        if sim.stormy {
            sim.network.slowness = Duration::from_secs(2);
            sim.queue.put(sim.now + Duration::from_secs(5), Happening::Fault);
            if sim.plan.operate_every < Duration::MAX {
                sim.queue.put(sim.now + Duration::from_secs(5), Happening::Operator);
            }
            sim.queue.put(sim.now + sim.plan.stormy, Happening::Calm);
        }
        sim
    }

    /// The virtual time.
    pub fn now(&self) -> Mono {
        self.now
    }

    /// What was found to be wrong, if anything.
    pub fn failure(&self) -> Option<&str> {
        self.checks.failure.as_deref()
    }

    /// Notes that something is wrong; only the first counts.
    pub(crate) fn fail(&mut self, what: impl FnOnce() -> String) {
        if self.checks.failure.is_none() && !self.checks.is_off {
            self.checks.failure = Some(what());
        }
    }

    /// Lets so much time pass, or less when something is found to be wrong.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.failure().is_none() && self.queue.next_at().is_some_and(|at| at <= end) {
            self.step();
        }
        if self.failure().is_none() {
            self.now = end;
        }
    }

    /// Lets time pass until something holds, at most so long; whether it came to hold.
    pub fn run_until(&mut self, most: Duration, mut holds: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + most;
        loop {
            if holds(self) {
                return true;
            }
            if self.failure().is_some() || self.queue.next_at().is_none_or(|at| at > end) {
                return false;
            }
            self.step();
        }
    }

    /// Lets the next thing happen.
    pub(crate) fn step(&mut self) {
        let Some((at, happening)) = self.queue.take() else { return };
        self.now = self.now.max(at);
        if self.queue.len() > MAX_QUEUE {
            self.fail(|| format!("I8: more than {MAX_QUEUE} happenings wait"));
        }
        self.happen(happening);
        self.steps += 1;
        self.check_pace();
        self.check_surplus();
        if self.steps.is_multiple_of(BOUNDS_EVERY * self.plan.audit_every)
            && let Some(grown) = self.grown().pop()
        {
            self.fail(|| grown);
        }
    }

    /// Whoever answers each answer lets no time pass, or hardly any.
    fn check_pace(&mut self) {
        if self.now.since(self.pace.0) > Duration::from_secs(1) {
            self.pace = (self.now, self.steps);
        }
        let most = MOST_A_SECOND * (self.agents.len() + self.frameworks.len() + 1) as u64;
        if self.steps - self.pace.1 > most {
            self.fail(|| format!("I8: more than {most} happenings in a second"));
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Deliver { wire, up, message } => self.on_deliver(wire, up, *message),
            Happening::Learn { wire, at_client } => self.on_learn(wire, at_client),
            Happening::Call { master, caller, call, number } => {
                self.note_arrival(&caller, number);
                self.take_call(master, *caller, *call);
            }
            Happening::Wake(Node::Master(index)) => self.wake_master(index),
            Happening::Wake(Node::Agent(index)) => self.wake_agent(index),
            Happening::Wake(Node::Framework(index)) => self.wake_framework(index),
            Happening::Connect { node: Node::Agent(index), process } => self.connect_agent(index, process),
            Happening::Connect { node: Node::Framework(index), process } => {
                self.connect_framework(index, process);
            }
            Happening::Connect { node: Node::Master(_), .. } => {}
            Happening::Unanswered { node, wire } => self.on_unanswered(node, wire),
            Happening::Synced { agent, process, through } => self.on_synced(agent, process, through),
            Happening::Started { agent, container } => self.on_started(agent, &container),
            Happening::Exited { agent, container, end } => self.on_exited(agent, &container, end),
            Happening::Executor { agent, container, act } => self.on_act(agent, &container, act),
            Happening::StreamLost { agent, process, executor, stream } => {
                self.on_stream_lost(agent, process, executor, stream);
            }
            Happening::Write { master, ticket, change } => self.on_write(master, ticket, *change),
            Happening::Recorded { master, ticket } => self.on_recorded(master, ticket),
            Happening::Elect => self.elect(),
            Happening::StepDown { master } => self.stop_master(master),
            Happening::Restart { node: Node::Agent(index), process } => self.start_agent(index, process),
            Happening::Restart { node: Node::Framework(index), process } => {
                self.start_framework(index, process);
            }
            Happening::Restart { node: Node::Master(_), .. } => {}
            Happening::Crash { agent, process } => self.crash_writer(agent, process),
            Happening::DiskMended { agent } => self.mend_disk(agent),
            Happening::Operator => self.on_operator(),
            Happening::Fault => self.random_fault(),
            Happening::Calm => self.calm_down(),
            Happening::StandInLine { machine } => self.stand_in_line(machine),
            Happening::Expire { machine, session, cut } => self.on_expire(machine, session, cut),
            Happening::Disconnected { machine, cut } => self.on_disconnected(machine, cut),
            Happening::Reconnect { machine, cut } => self.on_reconnect(machine, cut),
            Happening::Continue { machine, cut } => self.on_continue(machine, cut),
            Happening::Unheard { machine, cut, wire } => self.on_unheard(machine, cut, wire),
            Happening::QuorumBack { outage } => self.on_quorum_back(outage),
            Happening::RegistryMended => self.registry.full = false,
        }
    }

    /// The moment by a node's own clocks, of which the wall clock may have jumped.
    pub(crate) fn clock(&self, offset: i64) -> Now {
        let wall = Wall(WALL.saturating_add(self.now.0).saturating_add_signed(offset));
        Now { mono: self.now, wall }
    }
}
