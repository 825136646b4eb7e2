//! A machine: a disk that syncs late or is full, and a kernel with containers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chapada_agent_core::{
    ExecutorRecord, Exit, ExitCause, FoundContainer, FoundState, MemoryExceeded, Record, Signal, TaskRecord,
};
use chapada_model::{ContainerId, FrameworkId};

use super::program::{Act, Program};
use crate::journal::Entry;
use crate::network::LONG;
use crate::queue::{End, Happening};
use crate::sim::Sim;
use crate::tally::Met;

/// A log of more records than this is written afresh.
pub(crate) const LONG_LOG: usize = 300;

/// The log of an agent.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// What is on the disk.
    pub(crate) durable: Vec<Record>,
    /// What was written and not synced, by number.
    pub(crate) written: Vec<(u64, Record)>,
    /// Directories of volumes.
    pub(crate) volumes: BTreeSet<String>,
    /// A sync runs.
    pub(crate) syncing: bool,
    /// There is no space: nothing is synced until there is.
    pub(crate) full: bool,
    /// The process ends with this record from now that is not on disk yet; never when this is 0.
    pub(crate) doom: u64,
    /// So many of what is not synced survive the next end of the process; by chance when none is given.
    pub(crate) survivors: Option<usize>,
    /// A sync takes up to this long.
    pub(crate) slowness: Duration,
}

impl Disk {
    /// The process ends; so many of the records that were not synced are there all the same, a torn one is not.
    /// Gives those that are lost.
    pub(crate) fn tear(&mut self, survivors: usize) -> Vec<Record> {
        let mut written = std::mem::take(&mut self.written);
        let lost = written.split_off(survivors.min(written.len()));
        self.durable.extend(written.into_iter().map(|(_, record)| record));
        self.syncing = false;
        lost.into_iter().map(|(_, record)| record).collect()
    }
}

/// What runs in containers.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) boots: u64,
    pub(crate) containers: BTreeMap<ContainerId, Container>,
    last_pid: u32,
    last_stream: u64,
}

/// What a container is for.
#[derive(Debug)]
pub(crate) enum Tenant {
    /// One task, with the executor beneath whose container it is when it is one of a pod.
    Task { record: Arc<TaskRecord>, pod: Option<Arc<ExecutorRecord>> },
    /// An executor of a framework's own, with its tasks.
    Program(Program),
}

#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) tenant: Tenant,
    pub(crate) state: FoundState,
    /// It does not end on SIGTERM.
    pub(crate) stubborn: bool,
}

impl Container {
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, FoundState::Starting | FoundState::Running { .. })
    }

    pub(crate) fn framework(&self) -> &FrameworkId {
        match &self.tenant {
            Tenant::Task { record, .. } => &record.key.framework,
            Tenant::Program(program) => &program.record.key.framework,
        }
    }

    /// The tasks in it: its own, or those of its executor.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &Arc<TaskRecord>> {
        let (own, others) = match &self.tenant {
            Tenant::Task { record, .. } => (Some(record), None),
            Tenant::Program(program) => (None, Some(program.tasks.values())),
        };
        own.into_iter().chain(others.into_iter().flatten())
    }

    /// The executor that holds something beside its tasks.
    pub(crate) fn executor(&self) -> Option<&Arc<ExecutorRecord>> {
        match &self.tenant {
            Tenant::Task { pod, .. } => pod.as_ref(),
            Tenant::Program(program) => Some(&program.record),
        }
    }

    fn name(&self) -> String {
        match &self.tenant {
            Tenant::Task { record, .. } => record.key.to_string(),
            Tenant::Program(program) => format!("executor {}", program.record.key),
        }
    }
}

impl Kernel {
    pub(crate) fn found(&self) -> Vec<FoundContainer> {
        let each = self.containers.iter();
        each.map(|(container, found)| FoundContainer {
            container: container.clone(),
            state: found.state.clone(),
        })
        .collect()
    }

    /// A number for a stream, never used before.
    pub(crate) fn next_stream(&mut self) -> u64 {
        self.last_stream += 1;
        self.last_stream
    }

    pub(crate) fn boot_id(&self) -> String {
        format!("boot-{}", self.boots)
    }

    pub(crate) fn start(&mut self, container: &ContainerId) -> Option<u32> {
        let found = self.containers.get_mut(container).filter(|found| found.state == FoundState::Starting)?;
        self.last_pid += 1;
        found.state = FoundState::Running { pid: self.last_pid };
        Some(self.last_pid)
    }

    /// The container has ended, unless it had before.
    pub(crate) fn end(&mut self, container: &ContainerId, end: End) -> Option<Exit> {
        let found = self.containers.get_mut(container).filter(|found| found.is_live())?;
        let (cause, memory) = match end {
            End::Code(code) => (ExitCause::Code(code), None),
            End::Signal(signal) => (ExitCause::Signal(signal), None),
            End::OutOfMemory => {
                let memory = MemoryExceeded { limit_bytes: 64 << 20, peak_bytes: 64 << 20 };
                (ExitCause::Signal(9), Some(memory))
            }
        };
        let exit = Exit { cause, memory };
        found.state = FoundState::Exited(exit.clone());
        Some(exit)
    }

    /// The machine is switched off and on.
    pub(crate) fn reboot(&mut self) {
        self.boots += 1;
        for container in self.containers.values_mut().filter(|container| container.is_live()) {
            container.state = FoundState::Dead;
        }
    }
}

impl Sim {
    /// The log is to hold this.
    pub(crate) fn log(&mut self, index: usize, sequence: u64, record: Record) {
        let node = &mut self.agents[index];
        node.disk.written.push((sequence, record));
        let is_doomed = node.disk.doom == 1;
        node.disk.doom = node.disk.doom.saturating_sub(1);
        if is_doomed {
            let process = node.process;
            let wait = self.rng.between(Duration::ZERO, Duration::from_micros(300));
            self.queue.put(self.now + wait, Happening::Crash { agent: index, process });
        }
        self.sync(index);
    }

    /// Of what is written then some makes it to the disk, and some does not.
    pub(crate) fn crash_writer(&mut self, index: usize, process: u64) {
        let is_planned = self.agents[index].disk.survivors.is_some();
        if self.agents[index].process == process && (self.stormy || is_planned) {
            let away = self.rng.between(Duration::from_millis(50), Duration::from_secs(10));
            self.crash_agent(index, away);
        }
    }

    fn sync(&mut self, index: usize) {
        let disk = &self.agents[index].disk;
        if disk.full && !disk.written.is_empty() {
            self.tally.met(Met::DiskFull);
        }
        let Some((through, _)) = disk.written.last().filter(|_| !disk.syncing && !disk.full) else { return };
        let (through, most) = (*through, disk.slowness.max(Duration::from_millis(2)));
        let process = self.agents[index].process;
        self.agents[index].disk.syncing = true;
        let wait = self.rng.between(Duration::from_micros(100), most);
        if wait > LONG {
            self.tally.met(Met::SlowSync);
        }
        self.queue.put(self.now + wait, Happening::Synced { agent: index, process, through });
    }

    pub(crate) fn on_synced(&mut self, index: usize, process: u64, through: u64) {
        let node = &mut self.agents[index];
        if node.process != process {
            return;
        }
        node.disk.syncing = false;
        if node.disk.full {
            return;
        }
        let count = node.disk.written.iter().take_while(|(sequence, _)| *sequence <= through).count();
        let synced: Vec<_> = node.disk.written.drain(..count).map(|(_, record)| record).collect();
        node.disk.durable.extend(synced);
        if node.disk.durable.len() > LONG_LOG && node.disk.written.is_empty() {
            node.disk.durable =
                node.core.as_ref().map(chapada_agent_core::Agent::records).unwrap_or_default();
        }
        self.apply_to_agent(index, chapada_agent_core::Event::Logged { through });
        self.sync(index);
    }

    pub(crate) fn mend_disk(&mut self, index: usize) {
        let disk = &mut self.agents[index].disk;
        disk.full = false;
        disk.slowness = Duration::ZERO;
        self.sync(index);
    }

    pub(crate) fn launch(&mut self, index: usize, record: Arc<TaskRecord>, pod: Option<Arc<ExecutorRecord>>) {
        self.check_launch(index, &record);
        let (key, container) = (record.key.clone(), record.container.clone());
        self.make_container(index, container, Tenant::Task { record, pod });
        self.check_room(index, &key);
    }

    pub(crate) fn launch_executor(&mut self, index: usize, record: Arc<ExecutorRecord>) {
        let (key, container) = (record.key.clone(), record.container.clone());
        self.make_container(index, container, Tenant::Program(Program::new(record)));
        self.check_room(index, &key);
    }

    fn make_container(&mut self, index: usize, container: ContainerId, tenant: Tenant) {
        let stubborn = self.plan.lively && self.rng.once_in(8);
        let made = Container { tenant, state: FoundState::Starting, stubborn };
        self.agents[index].kernel.containers.insert(container.clone(), made);
        let wait = self.rng.between(Duration::from_millis(5), Duration::from_millis(200));
        self.queue.put(self.now + wait, Happening::Started { agent: index, container });
    }

    pub(crate) fn on_started(&mut self, index: usize, container: &ContainerId) {
        if self.stormy && self.plan.lively && self.rng.once_in(40) {
            if let Some(found) = self.agents[index].kernel.containers.get(container)
                && found.state == FoundState::Starting
            {
                self.note_ended(index, container);
                if let Some(found) = self.agents[index].kernel.containers.get_mut(container) {
                    found.state = FoundState::Dead;
                }
                self.tally.met(Met::NotMade);
                let (container, message) = (container.clone(), "no such image".to_owned());
                self.history.note(
                    self.now,
                    format_args!("a{index} cannot make {}", name(&self.agents[index].kernel, &container)),
                );
                self.apply_to_agent(index, chapada_agent_core::Event::LaunchFailed { container, message });
            }
            return;
        }
        let Some(pid) = self.agents[index].kernel.start(container) else { return };
        let found = &self.agents[index].kernel.containers[container];
        self.history.note(self.now, format_args!("a{index} runs {} as {pid}", found.name()));
        match &found.tenant {
            Tenant::Task { record, .. } => {
                let task = record.key.clone();
                if let Some((wait, end)) = self.fate(&task) {
                    let container = container.clone();
                    self.queue.put(self.now + wait, Happening::Exited { agent: index, container, end });
                }
            }
            // Some never find their agent, and are given up.
            Tenant::Program(_) if self.stormy && self.rng.once_in(20) => {}
            Tenant::Program(_) => {
                let wait = self.rng.between(Duration::from_millis(5), Duration::from_secs(1));
                self.act_later(index, container, wait, Act::Dial);
            }
        }
        let container = container.clone();
        let note = String::new();
        self.apply_to_agent(index, chapada_agent_core::Event::ContainerStarted { container, pid, note });
    }

    /// What lives in a container lives no more.
    pub(crate) fn note_ended(&mut self, index: usize, container: &ContainerId) {
        let found = self.agents[index].kernel.containers.get(container).filter(|found| found.is_live());
        let tasks: Vec<_> =
            found.into_iter().flat_map(|found| found.tasks().map(|task| task.key.clone())).collect();
        for task in tasks {
            self.enter(|| Entry::Ended { agent: index, task });
        }
    }

    pub(crate) fn on_exited(&mut self, index: usize, container: &ContainerId, end: End) {
        self.note_ended(index, container);
        let Some(exit) = self.agents[index].kernel.end(container, end) else { return };
        let found = &self.agents[index].kernel.containers[container];
        if end == End::OutOfMemory {
            self.tally.met(Met::OutOfMemory);
        }
        if matches!(found.tenant, Tenant::Program(_)) && found.tasks().next().is_some() {
            self.tally.met(Met::ExecutorEnded);
        }
        let name = found.name();
        self.history.note(self.now, format_args!("a{index} sees {name} end: {end:?}"));
        let container = container.clone();
        self.apply_to_agent(index, chapada_agent_core::Event::ContainerExited { container, exit });
    }

    pub(crate) fn signal(&mut self, index: usize, container: &ContainerId, signal: Signal) {
        let Some(found) = self.agents[index].kernel.containers.get(container) else { return };
        let end = match signal {
            Signal::Terminate if found.stubborn => return self.tally.met(Met::Stubborn),
            Signal::Terminate => End::Signal(15),
            Signal::Kill => End::Signal(9),
        };
        let wait = self.rng.between(Duration::from_millis(1), Duration::from_millis(100));
        self.queue
            .put(self.now + wait, Happening::Exited { agent: index, container: container.clone(), end });
    }
}

fn name(kernel: &Kernel, container: &ContainerId) -> String {
    kernel.containers.get(container).map_or_else(String::new, Container::name)
}
