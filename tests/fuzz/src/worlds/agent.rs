//! A machine around the agent's core: a disk that is always fast, containers that start at once.

use std::collections::VecDeque;
use std::time::Duration;

use chapada_agent::edge::{executor_call, master_message};
use chapada_agent_core::{Agent, Effect, Event, Record};
use chapada_model::{Mono, Now, Wall};
use chapada_wire::Media;

use super::master::World;

/// Longer than any timer of the core.
const LONG: Duration = Duration::from_secs(3600);

/// One agent and what is around it.
pub(crate) struct Machine {
    agent: Agent,
    now: Now,
    streams: u64,
    /// What was written down.
    pub(crate) disk: Vec<Record>,
}

impl Machine {
    /// An agent that has started with these records and has a link.
    pub(crate) fn recovered(records: Vec<Record>) -> Self {
        let mut agent = Agent::new(7);
        records.iter().cloned().for_each(|record| agent.restore(record));
        let now = Now { mono: Mono(1_000_000_000), wall: Wall(1_700_000_000_000_000_000) };
        let mut machine = Self { agent, now, streams: 0, disk: records };
        machine.apply(Event::Recovered { found: Vec::new(), boot_id: "boot".to_owned() });
        machine.apply(Event::LinkOpened);
        machine
    }

    /// One that has obeyed everything a busy master says.
    pub(crate) fn busy() -> Self {
        let mut machine = Self::recovered(Vec::new());
        World::busy().sent.iter().for_each(|bytes| machine.receive(bytes));
        machine
    }

    /// Takes a message of the master; one that cannot be read is refused and changes nothing.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        if let Ok(Some(message)) = master_message(bytes) {
            self.apply(Event::FromMaster(message));
        }
    }

    /// Takes a call of an executor, as the agent does: only of one that it knows, and from which it expects one.
    pub(crate) fn hear(&mut self, media: Media, body: &[u8]) {
        self.streams += 1;
        let Ok(Some(event)) = executor_call(media, body, self.streams) else { return };
        let admitted = match &event {
            Event::ExecutorSubscribed(asked) => self.agent.check_executor(&asked.executor, true),
            Event::ExecutorUpdate { executor, .. } | Event::ExecutorSays { executor, .. } => {
                self.agent.check_executor(executor, false)
            }
            _ => Ok(()),
        };
        if admitted.is_ok() {
            self.apply(event);
        }
    }

    /// Lets everything that waits for time happen.
    pub(crate) fn wait(&mut self) {
        self.now = Now { mono: self.now.mono + LONG, wall: self.now.wall + LONG };
        self.apply(Event::Tick);
    }

    fn apply(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for effect in self.agent.apply(self.now, event) {
                match effect {
                    Effect::Log { sequence, record } => {
                        self.disk.push(record);
                        events.push_back(Event::Logged { through: sequence });
                    }
                    Effect::Launch { task, .. } => {
                        let (container, note) = (task.container.clone(), String::new());
                        events.push_back(Event::ContainerStarted { container, pid: 1, note });
                    }
                    _ => {}
                }
            }
        }
    }
}
