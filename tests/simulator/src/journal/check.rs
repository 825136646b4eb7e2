//! Tasks, kills, updates and epochs, as the journal has them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_model::{FrameworkId, Mono, TaskKey, TaskState, UpdateUuid};

use super::{Entry, Journal};

/// A kill that a leader took is done after this time, if it still leads and can reach the agent: grace, and a retry.
const KILLED_WITHIN: Duration = Duration::from_secs(60);

/// An end is heard within this time once its framework can hear: an agent that was away may be the last to come back.
const HEARD_WITHIN: Duration = Duration::from_secs(120);

/// What the journal says of one task.
#[derive(Debug, Default)]
struct Life {
    began: u32,
    is_running: bool,
    /// Updates as its agent wrote them down, and as its framework heard each first.
    said: Vec<(UpdateUuid, TaskState)>,
    said_at: Mono,
    heard: Vec<(UpdateUuid, TaskState)>,
    /// Whether a leader said itself that it is over.
    is_over: bool,
    /// Whether its framework was told anything at all of it.
    is_told: bool,
}

/// Reads a journal.
#[derive(Default)]
struct Reading {
    lives: BTreeMap<TaskKey, Life>,
    gone: BTreeSet<FrameworkId>,
    /// Which task is each thing now.
    things: BTreeMap<(FrameworkId, String), TaskKey>,
    thing_of: BTreeMap<TaskKey, String>,
    kills: Vec<(Mono, u64, TaskKey)>,
    /// The highest epoch that each agent has obeyed.
    obeyed: BTreeMap<usize, u64>,
    last_epoch: u64,
    wrong: Vec<String>,
}

impl Journal {
    /// What does not hold, each as one sentence; `end` is the moment of the last look, and `absent` who
    /// cannot hear.
    pub(crate) fn check(&self, end: Mono, absent: BTreeSet<FrameworkId>) -> Vec<String> {
        let mut reading = Reading { gone: absent, ..Reading::default() };
        self.entries.iter().for_each(|(at, entry)| reading.take(*at, entry));
        reading.finish(end);
        let mut wrong = self.check_registry();
        wrong.append(&mut reading.wrong);
        wrong
    }
}

impl Reading {
    fn take(&mut self, at: Mono, entry: &Entry) {
        match entry {
            Entry::Read { epoch, .. } => self.last_epoch = *epoch,
            Entry::Asked { .. } | Entry::Answered { .. } | Entry::Restored { .. } => {}
            Entry::Began { agent, task, thing } => self.on_began(*agent, task, thing.as_ref()),
            Entry::Ended { task, .. } => self.on_ended(task),
            Entry::Kill { epoch, task } => self.kills.push((at, *epoch, task.clone())),
            Entry::Said { task, uuid, state, .. } => {
                let life = self.lives.entry(task.clone()).or_default();
                life.said.push((*uuid, *state));
                life.said_at = at;
            }
            Entry::Unsaid { uuid } => {
                for life in self.lives.values_mut() {
                    life.said.retain(|(said, _)| said != uuid);
                }
            }
            Entry::Heard { framework, task, uuid, state } => {
                let key = TaskKey { framework: framework.clone(), task: task.clone() };
                self.on_heard(&key, *uuid, *state);
            }
            Entry::Gone { framework } => drop(self.gone.insert(framework.clone())),
            Entry::Obeyed { agent, epoch } => {
                let highest = self.obeyed.entry(*agent).or_default();
                if epoch < highest {
                    self.wrong.push(format!("a{agent} obeys epoch {epoch} after epoch {highest}"));
                }
                *highest = (*highest).max(*epoch);
            }
        }
    }

    fn on_began(&mut self, agent: usize, task: &TaskKey, thing: Option<&String>) {
        let life = self.lives.entry(task.clone()).or_default();
        life.began += 1;
        life.is_running = true;
        if life.began > 1 {
            self.wrong.push(format!("{task} is launched twice, the second time on a{agent}"));
        }
        let Some(thing) = thing else { return };
        let name = (task.framework.clone(), thing.clone());
        if let Some(other) = self.things.insert(name, task.clone()) {
            self.wrong.push(format!("{task} begins while {other} is still the same thing"));
        }
        self.thing_of.insert(task.clone(), thing.clone());
    }

    fn on_ended(&mut self, task: &TaskKey) {
        if let Some(life) = self.lives.get_mut(task) {
            life.is_running = false;
        }
        if let Some(thing) = self.thing_of.remove(task) {
            let name = (task.framework.clone(), thing);
            if self.things.get(&name) == Some(task) {
                self.things.remove(&name);
            }
        }
    }

    fn on_heard(&mut self, key: &TaskKey, uuid: Option<UpdateUuid>, state: TaskState) {
        let life = self.lives.entry(key.clone()).or_default();
        life.is_told = true;
        life.is_over |= uuid.is_none() && state.is_terminal();
        let Some(uuid) = uuid.filter(|uuid| !life.heard.iter().any(|(heard, _)| heard == uuid)) else {
            return;
        };
        let place = life.said.iter().position(|(said, _)| *said == uuid);
        let expected = place.map(|place| life.said[..place].iter().filter(|said| !life.heard.contains(said)));
        match expected.map(Iterator::count) {
            // Some are said without being written down: of a framework that is gone, and of a launch that was refused.
            None => return,
            Some(0) => {}
            Some(skipped) => {
                self.wrong.push(format!("{state} of {key} is heard before {skipped} earlier updates"));
            }
        }
        if let Some((_, end)) = life.heard.iter().find(|(_, state)| state.is_terminal()) {
            self.wrong.push(format!("{state} of {key} is heard after {end}"));
        }
        life.heard.push((uuid, state));
    }

    /// What is owed at the end.
    fn finish(&mut self, end: Mono) {
        for (key, life) in &self.lives {
            let is_late = end.since(life.said_at) > HEARD_WITHIN;
            let owed = life.said.iter().find(|(_, state)| is_late && state.is_terminal());
            let is_heard = life.is_over || life.heard.iter().any(|(_, state)| state.is_terminal());
            if let Some((_, state)) = owed.filter(|_| !is_heard && !self.gone.contains(&key.framework)) {
                self.wrong.push(format!("{state} of {key} was said, and its framework never heard an end"));
            }
        }
        for (at, epoch, key) in &self.kills {
            let is_old = end.since(*at) > KILLED_WITHIN && *epoch == self.last_epoch;
            let life = self.lives.get(key);
            if is_old && life.is_some_and(|life| life.is_running) {
                self.wrong.push(format!("{key} was to be killed at {at:?} and runs at the end"));
            }
            let is_told = life.is_some_and(|life| life.is_told) || self.gone.contains(&key.framework);
            if is_old && !is_told {
                self.wrong.push(format!("a kill of {key} was taken and never answered"));
            }
        }
    }
}
