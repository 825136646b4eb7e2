//! What breaks, at random.

use std::time::Duration;

use crate::actors::Trouble;
use crate::node::Node;
use crate::queue::{End, Happening};
use crate::sim::Sim;
use crate::tally::Met;

impl Sim {
    pub(crate) fn random_fault(&mut self) {
        if !self.stormy {
            return;
        }
        self.break_something();
        let wait = self.rng.between(Duration::from_millis(100), self.plan.fault_every);
        self.queue.put(self.now + wait, Happening::Fault);
    }

    fn break_something(&mut self) {
        let agent = self.rng.place(self.agents.len());
        let framework = self.rng.place(self.frameworks.len());
        let soon = self.rng.between(Duration::from_millis(50), Duration::from_secs(20));
        match self.rng.below(25) {
            0 => self.break_client(Node::Agent(agent)),
            1 => self.break_client(Node::Framework(framework)),
            2 => self.crash_agent(agent, soon),
            3 => self.reboot_agent(agent, soon * 2),
            4 => self.crash_leader(soon),
            5 => self.depose_leader(),
            6 | 7 => self.partition_from_leader(Node::Agent(agent)),
            8 => self.partition_from_leader(Node::Framework(framework)),
            9 => self.jump_clock(agent),
            10 => self.slow_disk(agent, soon),
            11 => {
                self.agents[agent].disk.full = true;
                self.queue.put(self.now + soon, Happening::DiskMended { agent });
            }
            12 => self.crash_framework(framework, Some(soon)),
            13 => self.kill_container(agent),
            14 => {
                let trouble = if self.rng.once_in(2) { Trouble::Refuses } else { Trouble::AnswerLost };
                self.frameworks[framework].store.trouble = trouble;
            }
            15 => self.break_program(agent),
            16 => self.agents[agent].disk.doom = 1 + self.rng.below(6),
            17 => self.reconfigure_at_random(agent, soon),
            18 => match self.rng.once_in(2) {
                true => self.registry.lose_answer = true,
                false => self.registry.slowness = Duration::from_millis(self.rng.below(2_000)),
            },
            19 => self.break_switch(),
            _ => self.break_coordination(soon),
        }
    }

    /// Most agents and the leader no longer reach each other; long enough for them to be given up, now and then.
    fn break_switch(&mut self) {
        let Some(leader) = self.leader() else { return };
        self.tally.met(Met::SwitchBroken);
        let most = if self.rng.once_in(2) { 180 } else { 30 };
        let time = self.rng.between(Duration::from_secs(5), Duration::from_secs(most));
        for agent in 0..self.agents.len() {
            if !self.rng.once_in(4) {
                self.partition(Node::Agent(agent), Node::Master(leader), true, time);
            }
        }
    }

    /// Something of the ensemble, or of the machines that are its clients.
    fn break_coordination(&mut self, soon: Duration) {
        let machine = match (self.leading_machine(), self.rng.once_in(3)) {
            (Some(machine), false) => machine,
            _ => self.rng.place(self.coordination.machines.len()),
        };
        match self.rng.below(6) {
            0 => self.cut_from_ensemble(machine, soon * 2),
            1 => self.stop_process(machine, soon * 2),
            2 => self.lose_quorum(soon * 3),
            3 => self.crash_machine(machine, soon),
            4 => self.fill_registry(soon),
            _ => self.coordination.watches_late = Duration::from_millis(self.rng.below(3_000)),
        }
    }

    /// The servers of the ensemble have no space for so long.
    pub fn fill_registry(&mut self, time: Duration) {
        self.registry.full = true;
        self.history.note(self.now, format_args!("the registry has no space for {time:?}"));
        self.queue.put(self.now + time, Happening::RegistryMended);
    }

    /// Writes of the registry take up to so long.
    pub fn slow_registry(&mut self, most: Duration) {
        self.registry.slowness = most;
    }

    /// A client's connection breaks.
    pub fn break_client(&mut self, client: Node) {
        if let Some(wire) = self.wire_of(client) {
            self.history.note(self.now, format_args!("the wire {wire} of {client} breaks"));
            self.break_wire(wire);
        }
    }

    /// The leader's process ends; its session outlives it for so long, and then another leads.
    pub fn crash_leader(&mut self, after: Duration) {
        if let Some(machine) = self.leading_machine() {
            self.tally.met(Met::LeaderEnded);
            self.crash_machine(machine, after);
        }
    }

    /// Another leads now; the former leader finds out later.
    pub fn depose_leader(&mut self) {
        let (Some(former), Some(machine)) = (self.leader(), self.leading_machine()) else { return };
        self.tally.met(Met::LeaderDeposed);
        self.leave_line(machine);
        self.elect();
        let wait = self.rng.between(Duration::ZERO, Duration::from_secs(30));
        self.queue.put(self.now + wait, Happening::StepDown { master: former });
    }

    fn partition_from_leader(&mut self, node: Node) {
        let Some(leader) = self.leader() else { return };
        let master = Node::Master(leader);
        let most = if self.rng.once_in(4) { 180 } else { 25 };
        let time = self.rng.between(Duration::from_secs(1), Duration::from_secs(most));
        match self.rng.below(3) {
            0 => self.partition(node, master, false, time),
            1 => self.partition(master, node, false, time),
            _ => self.partition(node, master, true, time),
        }
    }

    /// A node's wall clock is so many seconds off from now on.
    pub fn set_clock(&mut self, node: Node, seconds: i64) {
        let offset = seconds * 1_000_000_000;
        match node {
            Node::Master(index) => self.masters[index].offset = offset,
            Node::Agent(index) => self.agents[index].offset = offset,
            Node::Framework(index) => self.frameworks[index].offset = offset,
        }
        self.history.note(self.now, format_args!("the clock of {node} jumps to {seconds} s off"));
    }

    /// The process of an agent ends when it writes its record of this number from now, and so many of those that are not
    /// synced then are on its disk all the same.
    pub fn end_agent_at_record(&mut self, agent: usize, record: u64, survivors: usize) {
        self.agents[agent].disk.doom = record;
        self.agents[agent].disk.survivors = Some(survivors);
    }

    /// Wall clocks jump up to a day either way.
    pub(crate) fn jump_clock(&mut self, agent: usize) {
        let day = 24 * 60 * 60 * 1_000_000_000_i64;
        let to = i64::try_from(self.rng.below(2 * day.unsigned_abs())).unwrap_or(day) - day;
        if self.rng.once_in(3) {
            let framework = self.rng.place(self.frameworks.len());
            self.frameworks[framework].offset = to;
            self.tally.met(Met::FrameworkClock);
            return self
                .history
                .note(self.now, format_args!("the clock of f{framework} jumps to {to} ns off"));
        }
        match (self.rng.once_in(2), self.leader()) {
            (true, Some(leader)) => {
                self.masters[leader].offset = to;
                self.tally.met(Met::MasterClock);
            }
            _ => {
                self.agents[agent].offset = to;
                self.tally.met(Met::AgentClock);
            }
        }
        self.history.note(self.now, format_args!("a clock jumps to {to} ns off"));
    }

    fn slow_disk(&mut self, agent: usize, time: Duration) {
        self.agents[agent].disk.slowness = Duration::from_secs(2);
        self.queue.put(self.now + time, Happening::DiskMended { agent });
    }

    fn kill_container(&mut self, agent: usize) {
        let kernel = &self.agents[agent].kernel;
        let live: Vec<_> =
            kernel.containers.iter().filter(|(_, found)| found.is_live()).map(|(id, _)| id.clone()).collect();
        if let Some(container) = self.rng.pick(&live).cloned() {
            self.queue.put(self.now, Happening::Exited { agent, container, end: End::OutOfMemory });
        }
    }

    /// Nothing breaks any more: partitions heal, disks work, whoever is down comes back, and one master leads.
    pub fn calm_down(&mut self) {
        self.history.note(self.now, format_args!("calm"));
        self.stormy = false;
        self.network.slowness = Duration::ZERO;
        self.registry.slowness = Duration::ZERO;
        self.registry.lose_answer = false;
        self.registry.full = false;
        self.heal();
        // Somebody looks after those whom the brake holds.
        if self.plan.operate_every == Duration::MAX {
            self.queue.put(self.now + Duration::from_secs(1), Happening::Operator);
        }
        self.calm_ensemble();
        for framework in &mut self.frameworks {
            framework.store.trouble = Trouble::None;
        }
        for agent in 0..self.agents.len() {
            self.mend_disk(agent);
            let whole = self.agents[agent].whole.clone();
            if self.agents[agent].description.resources != whole {
                self.reconfigure_agent(agent, whole, Duration::from_secs(1));
            }
        }
    }
}
