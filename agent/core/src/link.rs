//! The link to the leading master: what is stated on connect, whose word counts, and since when.

use std::collections::VecDeque;

use chapada_model::{AgentId, Now, TaskKey};

use crate::agent::Agent;
use crate::effect::{Effect, HeldTask, Holding};
use crate::event::{Command, FromMaster};
use crate::record::Record;
use crate::timers::Timer;

/// So many messages may wait for an epoch to be on disk, a few milliseconds; a master that sends more is cut off and
/// finds out on the next connect what was not taken.
pub const MAX_HELD_MESSAGES: usize = 8192;

/// Where the link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkPhase {
    /// There is none.
    Down,
    /// Connected; the statement of all that is held waits until everything logged is durable.
    Opened,
    /// That was stated; the master has not answered.
    Stated,
    /// The master has admitted the agent.
    Up,
}

#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) phase: LinkPhase,
    /// Messages that wait for the record `obey_after`.
    held: VecDeque<FromMaster>,
    /// Nothing is obeyed before this record is durable.
    obey_after: u64,
    /// What is said once, and happened after all was stated and before the master's answer: no more than was stated.
    unsaid: Vec<Effect>,
}

impl Default for Link {
    fn default() -> Self {
        Self { phase: LinkPhase::Down, held: VecDeque::new(), obey_after: 0, unsaid: Vec::new() }
    }
}

impl Link {
    pub(crate) fn is_up(&self) -> bool {
        self.phase == LinkPhase::Up
    }
}

impl Agent {
    pub(crate) fn on_link_opened(&mut self) {
        self.on_link_lost();
        self.link.phase = LinkPhase::Opened;
        self.state_holding();
    }

    pub(crate) fn on_link_lost(&mut self) {
        self.link.phase = LinkPhase::Down;
        self.link.held.clear();
        self.link.unsaid.clear();
    }

    /// Says something that has no record and is not repeated. The next statement of all that is held says as much, so it
    /// may be lost with the link; but what was stated already is not over for the master until it hears so.
    pub(crate) fn tell_master(&mut self, effect: Effect) {
        match self.link.phase {
            LinkPhase::Down | LinkPhase::Opened => {}
            LinkPhase::Stated => self.link.unsaid.push(effect),
            LinkPhase::Up => self.effects.push(effect),
        }
    }

    pub(crate) fn drop_link(&mut self, reason: String) {
        self.on_link_lost();
        self.effects.push(Effect::DropLink { reason });
    }

    /// States all that is held, once everything logged is durable: what is admitted can then not be forgotten.
    pub(crate) fn state_holding(&mut self) {
        if self.link.phase != LinkPhase::Opened || self.durable < self.appended {
            return;
        }
        self.link.phase = LinkPhase::Stated;
        // What still runs for a framework that is gone holds its resources until it has ended.
        let shown = |task: &&crate::task::Task| {
            let is_over = !task.phase.is_live() && self.is_shut_down(&task.record.key.framework);
            !self.leaving && !is_over
        };
        let tasks = self.tasks.values().filter(shown).map(|task| HeldTask {
            record: task.record.clone(),
            latest: task.stream.newest_logged().cloned(),
            acknowledged: task.stream.acknowledged_state(),
        });
        let executors = self.executors.values().filter(|_| !self.leaving);
        let frameworks = self.frameworks.values().filter(|_| !self.leaving);
        let holding = Holding {
            agent: self.id.clone(),
            epoch: self.epoch,
            tasks: tasks.collect(),
            executors: executors.map(|executor| executor.record.clone()).collect(),
            frameworks: frameworks.map(|framework| framework.record.clone()).collect(),
            operations: self.operations.statuses(),
            resources: self.operations.total().clone(),
        };
        self.effects.push(Effect::SendHolding(holding));
    }

    pub(crate) fn on_message(&mut self, now: Now, message: FromMaster) {
        match self.link.phase {
            LinkPhase::Down | LinkPhase::Opened => return,
            LinkPhase::Stated | LinkPhase::Up => {}
        }
        if message.epoch < self.epoch {
            let reason = format!("the master's epoch {} is older than {}", message.epoch, self.epoch);
            return self.drop_link(reason);
        }
        self.write_down(&message);
        if self.link.held.is_empty() && self.durable >= self.link.obey_after {
            return self.obey_checked(now, message);
        }
        if self.link.held.len() >= MAX_HELD_MESSAGES {
            return self.drop_link(format!("{MAX_HELD_MESSAGES} messages came before the epoch was on disk"));
        }
        self.link.held.push_back(message);
    }

    /// A higher epoch, or the id that was given, must be durable before anything is obeyed.
    fn write_down(&mut self, message: &FromMaster) {
        if message.epoch > self.epoch {
            self.epoch = message.epoch;
            self.link.obey_after = self.log(Record::Epoch(message.epoch));
        }
        if let Command::Welcome { agent, .. } = &message.command
            && self.id.as_ref() != Some(agent)
        {
            self.id = Some(agent.clone());
            self.link.obey_after = self.log(Record::Agent(Some(agent.clone())));
        }
    }

    pub(crate) fn obey_held(&mut self, now: Now) {
        while self.durable >= self.link.obey_after {
            let Some(message) = self.link.held.pop_front() else { return };
            self.obey_checked(now, message);
        }
    }

    fn obey_checked(&mut self, now: Now, message: FromMaster) {
        let FromMaster { sequence, command, .. } = message;
        match (&command, self.link.phase) {
            (Command::Welcome { .. } | Command::Gone, _) | (_, LinkPhase::Up) => {
                self.obey(now, sequence, command)
            }
            (_, LinkPhase::Down | LinkPhase::Opened | LinkPhase::Stated) => {
                self.drop_link("the master sent a command before it admitted this agent".to_owned());
            }
        }
    }

    /// The agent is admitted: everything unacknowledged is sent at once.
    pub(crate) fn on_welcome(&mut self, now: Now, agent: AgentId, completed: usize) {
        self.link.phase = LinkPhase::Up;
        self.drain = None;
        self.effects.push(Effect::Registered { agent, epoch: self.epoch, completed });
        self.repeat_operations(now);
        let keys: Vec<TaskKey> = self.tasks.keys().cloned().collect();
        for key in keys {
            let Some(task) = self.tasks.get_mut(&key) else { continue };
            task.stream.rewind();
            task.stream.reset_wait();
            if let Some(at) = task.stream.unschedule() {
                self.timers.clear(at, Timer::Repeat(key.clone()));
            }
            self.deliver(now, &key);
        }
        self.effects.append(&mut self.link.unsaid);
    }

    /// The id was given up by an operator: every task ends, and the agent comes back as a new one.
    pub(crate) fn on_gone(&mut self, now: Now) {
        self.leaving = true;
        let keys = self.tasks.keys().cloned().collect();
        let executors = self.executors.keys().cloned().collect();
        self.abandon(now, keys);
        self.abandon_executors(now, executors);
        self.leave_if_empty();
        self.drop_link("the agent's id was marked gone".to_owned());
    }

    pub(crate) fn leave_if_empty(&mut self) {
        if self.leaving && self.tasks.is_empty() && self.executors.is_empty() {
            self.leaving = false;
            self.id = None;
            self.log(Record::Agent(None));
        }
    }
}
