//! The cluster, and the loop that lets things happen.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::chance::Chance;
use anyhow::{Context, Result, ensure};
use chapada_master::edge::Form;
use chapada_master_core::{Settings, audit};
use chapada_model::Mono;
use chapada_wire::v1::scheduler::Call;

use super::agent::{AgentHost, Need};
use super::cpu::Meter;
use super::framework::{Demand, FrameworkHost, Manner};
use super::master::{MASTER_ID, MasterHost, Outgoing, RECORDING};
use super::queue::{Arrival, Happening, Index, Queue};
use super::wire;

/// How often each link shows that it lives. Source: the master's default silence limit of 15 s, by 3.
const BEAT: Duration = Duration::from_secs(5);

/// What a cluster is made of.
pub(crate) struct Shape {
    pub(crate) agents: usize,
    /// What each agent has.
    pub(crate) cpus: f64,
    pub(crate) mem: f64,
    /// Agents start within this time, and frameworks after it.
    pub(crate) starting: Duration,
    pub(crate) form: Form,
    pub(crate) frameworks: Vec<(Manner, Demand)>,
}

/// A whole cluster.
pub(crate) struct Cluster {
    pub(crate) now: Mono,
    queue: Queue,
    chance: Chance,
    shape: Shape,
    pub(crate) master: MasterHost,
    pub(crate) agents: Vec<AgentHost>,
    pub(crate) frameworks: Vec<FrameworkHost>,
    by_id: HashMap<Box<str>, Index>,
    /// When tasks were first known to run, by their frameworks.
    pub(crate) running: Vec<Mono>,
    /// From the end of each task, written down at its agent, to the offer of what it freed; in milliseconds.
    pub(crate) freed_to_offer: Vec<f64>,
    /// From each wish of a probe to its task running; in milliseconds.
    pub(crate) probes: Vec<f64>,
    /// When each agent was welcomed, in order.
    pub(crate) welcomed: Vec<Mono>,
    /// When each subscription began, in order.
    pub(crate) subscribed: Vec<Mono>,
    /// How often each link shows that it lives.
    beat: Duration,
    /// After so much silence the master takes a link for dead; nobody looks when absent.
    silence: Option<Duration>,
    /// From an agent's being cut off to the first framework's hearing that it is given up; in seconds.
    pub(crate) given_up: Vec<f64>,
    failed: HashSet<Index>,
}

impl Cluster {
    /// A cluster at its beginning.
    pub(crate) fn new(shape: Shape) -> Result<Self> {
        Self::with_settings(shape, Settings::new(MASTER_ID))
    }

    /// One whose masters are told otherwise.
    pub(crate) fn with_settings(shape: Shape, settings: Settings) -> Result<Self> {
        let frameworks = shape.frameworks.iter().enumerate();
        let frameworks: Vec<FrameworkHost> = frameworks
            .map(|(index, (manner, demand))| {
                FrameworkHost::new(index as Index, shape.form, *manner, demand.clone())
            })
            .collect();
        let mut cluster = Self {
            now: Mono(1),
            queue: Queue::default(),
            chance: Chance::new(1),
            master: MasterHost::with_settings(shape.agents, frameworks.len(), settings),
            agents: (0..shape.agents).map(|_| AgentHost::default()).collect(),
            frameworks,
            by_id: HashMap::new(),
            running: Vec::new(),
            freed_to_offer: Vec::new(),
            probes: Vec::new(),
            welcomed: Vec::new(),
            subscribed: Vec::new(),
            beat: BEAT,
            silence: None,
            given_up: Vec::new(),
            failed: HashSet::new(),
            shape,
        };
        for index in 0..Index::try_from(cluster.agents.len())? {
            let at = cluster.now + cluster.chance.between(Duration::ZERO, cluster.shape.starting);
            cluster.queue.put(at, Happening::AgentStarts(index));
            cluster.queue.put(at + BEAT, Happening::AgentBeats(index));
        }
        for index in 0..Index::try_from(cluster.frameworks.len())? {
            cluster.master.expect_framework(index, cluster.shape.form);
            let at = cluster.now + cluster.shape.starting + Duration::from_millis(100);
            cluster.queue.put(at, Happening::FrameworkStarts(index));
        }
        Ok(cluster)
    }

    /// Lets so much time pass.
    pub(crate) fn run_for(&mut self, time: Duration) -> Result<()> {
        let end = self.now + time;
        while self.queue.next_at().is_some_and(|at| at <= end) {
            self.step()?;
        }
        self.now = end;
        Ok(())
    }

    /// Lets time pass until something holds, which is looked at after each happening; an error when it takes longer.
    pub(crate) fn run_until(&mut self, most: Duration, holds: impl Fn(&Self) -> bool) -> Result<()> {
        let end = self.now + most;
        while !holds(self) {
            ensure!(self.queue.next_at().is_some_and(|at| at <= end), "it did not happen within {most:?}");
            self.step()?;
        }
        Ok(())
    }

    /// The leader falls, and another one has read the registry and leads. Agents and frameworks learn of it within `within`, and come.
    pub(crate) fn fail_over(&mut self, within: Duration) {
        self.queue.forget_master();
        self.master = self.master.succeeded(self.now);
        (self.welcomed, self.subscribed) = (Vec::new(), Vec::new());
        for index in 0..self.agents.len() {
            let agent = &mut self.agents[index];
            (agent.is_linked, agent.up, agent.down) = Default::default();
            if agent.cut_off.is_some() {
                continue;
            }
            let at = self.now + self.chance.between(Duration::ZERO, within);
            self.queue.put(at, Happening::AgentStarts(index as Index));
        }
        for index in 0..self.frameworks.len() {
            let framework = &mut self.frameworks[index];
            (framework.up, framework.down) = Default::default();
            self.master.expect_framework(index as Index, self.shape.form);
            let at = self.now + self.chance.between(Duration::ZERO, within);
            self.queue.put(at, Happening::FrameworkStarts(index as Index));
        }
    }

    /// From now on agents show that they live three times within `silence`, and the master looks whether they do.
    pub(crate) fn watch_links(&mut self, silence: Duration) {
        self.silence = Some(silence);
        self.beat = silence / 3;
        for index in 0..self.agents.len() {
            // By then its last beat of the former kind is over.
            let at = self.now + BEAT + self.chance.between(silence, 2 * silence);
            self.queue.put(at, Happening::LinkChecked(index as Index));
        }
    }

    /// Cuts an agent off: nothing comes from it or reaches it, and no connection says so.
    pub(crate) fn cut_off(&mut self, index: usize) {
        self.agents[index].cut_off = Some(self.now);
    }

    fn check_link(&mut self, index: Index) -> Result<()> {
        let Some(silence) = self.silence.filter(|_| self.agents[index as usize].is_linked) else {
            return Ok(());
        };
        let due = self.master.heard(index) + silence;
        if due > self.now {
            self.queue.put(due, Happening::LinkChecked(index));
            return Ok(());
        }
        self.master.arrive(self.now, Arrival::Silence(index))?;
        self.plan_turn();
        Ok(())
    }

    /// A probe wants its task to run, this long from now.
    pub(crate) fn probe_in(&mut self, wait: Duration, index: usize) {
        self.queue.put(self.now + wait, Happening::FrameworkWakes(index as Index));
    }

    /// The books are right: every sum made afresh from the single records.
    pub(crate) fn check_books(&self) -> Result<()> {
        let found = audit(&self.master.core);
        ensure!(found.is_empty(), "the audit finds {} things, first {:?}", found.len(), found.first());
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        let (at, happening) = self.queue.take().context("something is going to happen")?;
        self.now = self.now.max(at);
        match happening {
            Happening::MasterHears(arrival) => {
                self.master.arrive(self.now, arrival)?;
                self.plan_turn();
                Ok(())
            }
            Happening::MasterTurn => self.master_turn(),
            Happening::Recorded(ticket) => {
                self.master.arrive(self.now, Arrival::Recorded(ticket))?;
                self.plan_turn();
                Ok(())
            }
            Happening::AgentStarts(index) => {
                let resources =
                    vec![wire::scalar("cpus", self.shape.cpus), wire::scalar("mem", self.shape.mem)];
                let agent = &mut self.agents[index as usize];
                let (holding, hostname) = (agent.holding()?, format!("agent-{index:05}.example"));
                let pages = wire::hello(&hostname, resources, agent.id.as_deref(), holding);
                let at = agent.up.arrival(&mut self.chance, self.now);
                self.queue.put(at, Happening::MasterHears(Arrival::Link(index, pages)));
                Ok(())
            }
            Happening::AgentBeats(index) => self.beat(index),
            Happening::LinkChecked(index) => self.check_link(index),
            Happening::AgentHears(index, message) => match self.agents[index as usize].cut_off {
                Some(_) => Ok(()),
                None => self.agent_hears(index, &message),
            },
            Happening::TaskRuns(index, slot) | Happening::TaskEnds(index, slot) => self.enter(index, slot),
            Happening::Written(index, slot) => self.written(index, slot),
            Happening::FrameworkStarts(index) => {
                let call = self.frameworks[index as usize].subscribe();
                self.send_calls(index, self.now, &[call]);
                Ok(())
            }
            Happening::FrameworkHears(index, record) => self.framework_hears(index, &record),
            Happening::FrameworkWakes(index) => {
                let call = self.frameworks[index as usize].wake(self.now)?;
                self.send_calls(index, self.now, call.as_slice());
                Ok(())
            }
        }
    }

    fn plan_turn(&mut self) {
        let Some(at) = self.master.next_turn(self.now) else { return };
        if self.master.turn.is_none_or(|planned| at < planned) {
            self.master.turn = Some(at);
            self.queue.put(at, Happening::MasterTurn);
        }
    }

    fn master_turn(&mut self) -> Result<()> {
        if self.master.turn != Some(self.now) {
            return Ok(());
        }
        self.master.turn = None;
        for (leaves, outgoing) in self.master.take_turn(self.now)? {
            match outgoing {
                Outgoing::Agent(index, message) => {
                    let at = self.agents[index as usize].down.arrival(&mut self.chance, leaves);
                    self.queue.put(at, Happening::AgentHears(index, message));
                }
                Outgoing::Framework(index, record) => {
                    let at = self.frameworks[index as usize].down.arrival(&mut self.chance, leaves);
                    self.queue.put(at, Happening::FrameworkHears(index, record));
                }
                Outgoing::Registry(ticket) => {
                    self.queue.put(leaves + RECORDING, Happening::Recorded(ticket));
                }
            }
        }
        self.plan_turn();
        Ok(())
    }

    fn agent_hears(&mut self, index: Index, message: &[u8]) -> Result<()> {
        let agent = &mut self.agents[index as usize];
        let (was_known, was_linked) = (agent.id.is_some(), agent.is_linked);
        let (begun, meter) = (agent.host.free_at(self.now), Meter::start());
        let need = agent.obey(begun, message)?;
        let done = agent.host.work(self.now, meter.spent());
        if agent.is_linked && !was_linked {
            self.welcomed.push(done);
        }
        if let Some(id) = agent.id.as_ref().filter(|_| !was_known) {
            self.by_id.insert(id.clone(), index);
        }
        self.see_to(index, done, need)
    }

    fn enter(&mut self, index: Index, slot: u32) -> Result<()> {
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&self.chance.draw().to_be_bytes());
        uuid[8..].copy_from_slice(&self.chance.draw().to_be_bytes());
        let needs = self.agents[index as usize].enter(self.now, slot, uuid)?;
        self.see_to(index, self.now, needs)
    }

    fn written(&mut self, index: Index, slot: u32) -> Result<()> {
        let agent = &mut self.agents[index as usize];
        let meter = Meter::start();
        let need = agent.written(self.now, slot)?;
        let done = agent.host.work(self.now, meter.spent());
        self.see_to(index, done, [need])
    }

    fn beat(&mut self, index: Index) -> Result<()> {
        let agent = &self.agents[index as usize];
        let speaks = agent.is_linked && agent.cut_off.is_none();
        let need = speaks.then(|| Need::Send(agent.beat()));
        self.queue.put(self.now + self.beat, Happening::AgentBeats(index));
        self.see_to(index, self.now, need)
    }

    fn see_to(&mut self, index: Index, now: Mono, needs: impl IntoIterator<Item = Need>) -> Result<()> {
        for need in needs {
            match need {
                Need::Run(at, slot) => self.queue.put(at, Happening::TaskRuns(index, slot)),
                Need::End(at, slot) => self.queue.put(at, Happening::TaskEnds(index, slot)),
                Need::Write(at, slot) => self.queue.put(at, Happening::Written(index, slot)),
                Need::Send(message) => {
                    let at = self.agents[index as usize].up.arrival(&mut self.chance, now);
                    self.queue.put(at, Happening::MasterHears(Arrival::Agent(index, message)));
                }
            }
        }
        Ok(())
    }

    fn framework_hears(&mut self, index: Index, record: &[u8]) -> Result<()> {
        let framework = &mut self.frameworks[index as usize];
        let (begun, meter) = (framework.host.free_at(self.now), Meter::start());
        let heard = framework.hear(begun, &mut self.chance, record)?;
        let done = framework.host.work(self.now, meter.spent());
        for (agent, room) in heard.offered {
            let agent = *self.by_id.get(agent.as_str()).context("an offer of a known agent")?;
            let freed = &mut self.agents[agent as usize].freed;
            for since in freed.drain(..room.min(freed.len())) {
                self.freed_to_offer.push(self.now.since(since).as_secs_f64() * 1_000.0);
            }
        }
        for agent in heard.failed {
            let agent = *self.by_id.get(agent.as_str()).context("a known agent is given up")?;
            let since = self.agents[agent as usize].cut_off.context("only who was cut off is given up")?;
            if self.failed.insert(agent) {
                self.given_up.push(self.now.since(since).as_secs_f64());
            }
        }
        self.subscribed.extend(heard.is_subscribed.then_some(done));
        self.running.extend((0..heard.running).map(|_| self.now));
        self.probes.extend(heard.probed.map(|took| took.as_secs_f64() * 1_000.0));
        self.send_calls(index, done, &heard.calls);
        Ok(())
    }

    /// Each call leaves when it is encoded.
    fn send_calls(&mut self, index: Index, begin: Mono, calls: &[Call]) {
        let framework = &mut self.frameworks[index as usize];
        for call in calls {
            let meter = Meter::start();
            let body = wire::body(framework.form, call);
            let leaves = framework.host.work(begin, meter.spent());
            let at = framework.up.arrival(&mut self.chance, leaves);
            self.queue.put(at, Happening::MasterHears(Arrival::Framework(index, body)));
        }
    }
}
