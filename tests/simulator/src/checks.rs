//! What must hold across the cores, beside each master's own audit. I1 to I8 are the invariants of the design.

mod apps;
mod bounds;
mod groups;
mod launches;
mod removals;
mod roles;
mod settled;
mod surplus;
#[cfg(test)]
mod tests;
mod updates;

use std::collections::{BTreeMap, BTreeSet};

use chapada_agent_core::Effect;
use chapada_master_core::{Call, RegistryChange, Snapshot};
use chapada_model::{AgentId, FrameworkId, TaskId, TaskKey, TaskState, UpdateUuid};

pub(crate) use roles::roles_of;

use crate::journal::Entry;
use crate::sim::Sim;

/// What a framework has heard of one task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Updates with a name, in the order in which they came first.
    pub updates: Vec<(UpdateUuid, TaskState)>,
    /// The terminal state that its agent reported.
    pub ended: Option<TaskState>,
    /// Where it was said to be last.
    pub agent: Option<AgentId>,
    /// Everything that was said, repetitions and the master's own words included.
    pub states: Vec<TaskState>,
}

/// What is remembered to hold the present against.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// Attempts of agents with wrong credentials, which no core hears of.
    pub(crate) rejected: u64,
    pub(crate) failure: Option<String>,
    /// Nothing is found on the way: for what is to be found afterwards.
    pub(crate) is_off: bool,
    /// Frameworks of which an agent was told that they are gone.
    pub(crate) shut_down: BTreeSet<FrameworkId>,
    /// Agents that were told to end all they run: masters say what became of it.
    pub(crate) told_gone: BTreeSet<usize>,
    /// Who was told to be subscribed, and registered, and was not removed since.
    subscribed: BTreeSet<FrameworkId>,
    admitted: BTreeSet<AgentId>,
    /// A command of an old epoch is with an agent.
    pub(crate) stale: bool,
    /// The epoch of the command that an agent has.
    pub(crate) word: Option<u64>,
    /// Every task that any agent ever began.
    launched: BTreeSet<TaskKey>,
    /// What was asked to start together, by the first task of each group.
    groups: BTreeMap<TaskKey, Vec<TaskKey>>,
    /// Updates as agents wrote them down.
    said: BTreeMap<TaskKey, Vec<(UpdateUuid, TaskState)>>,
    /// What each framework has heard.
    heard: BTreeMap<(usize, TaskId), Heard>,
    /// Agents that were given up.
    removals: removals::Removals,
    /// What runs beyond what may.
    surplus: surplus::Surplus,
    /// What operators were answered.
    answers: roles::Answers,
    /// What frameworks have acknowledged.
    acknowledged: BTreeSet<UpdateUuid>,
}

impl Checks {
    pub(crate) fn launches(&self) -> usize {
        self.launched.len()
    }

    pub(crate) fn note_call(&mut self, framework: &FrameworkId, call: &Call) {
        self.note_groups(framework, call);
        if let Call::Acknowledge { uuid, .. } = call {
            self.acknowledged.insert(*uuid);
        }
    }
}

impl Sim {
    /// What a framework has heard of a task.
    pub fn heard(&self, framework: usize, task: &str) -> Heard {
        let task = task.parse::<TaskId>().expect("a valid id");
        self.checks.heard.get(&(framework, task)).cloned().unwrap_or_default()
    }

    /// I3: what a new leader reads is what it knows, and those who may be away for long are among it.
    pub(crate) fn check_recovered(&mut self, master: usize) {
        let Some(core) = &self.masters[master].core else { return };
        let books = core.snapshot();
        let stored = &self.registry.state;
        let lost = stored
            .frameworks
            .iter()
            .find(|(id, record)| record.removed.is_none() && !books.frameworks.contains_key(*id));
        if let Some((id, _)) = lost {
            let id = id.clone();
            return self
                .fail(|| format!("I3: m{master} has forgotten framework {id}, which is in the registry"));
        }
        if let Some(id) = stored.agents.keys().find(|id| !books.agents.contains_key(*id)).cloned() {
            return self.fail(|| format!("I3: m{master} has forgotten agent {id}, which is in the registry"));
        }
        let (frameworks, agents) = (&self.checks.subscribed, &self.checks.admitted);
        if let Some(id) = frameworks.iter().find(|id| !books.frameworks.contains_key(*id)).cloned() {
            return self
                .fail(|| format!("I3: framework {id} was subscribed, and m{master} has forgotten it"));
        }
        if let Some(id) = agents.iter().find(|id| !books.agents.contains_key(*id)).cloned() {
            return self.fail(|| format!("I3: agent {id} was registered, and m{master} has forgotten it"));
        }
        self.check_duties(master, &books);
        self.check_roles(master);
    }

    /// I3: a new leader knows who is out of service, and why.
    fn check_duties(&mut self, master: usize, books: &Snapshot) {
        let stored = &self.registry.state;
        let forgotten = stored.agents.iter().find(|(id, record)| {
            let known = books.agents.get(*id).map(|known| (known.deactivated, &known.drain));
            known != Some((record.deactivated, &record.drain))
        });
        if let Some((id, record)) = forgotten {
            let (id, drain) = (id.clone(), record.drain.clone());
            return self
                .fail(|| format!("I3: m{master} has forgotten how {id} is out of service: {drain:?}"));
        }
        if !books.drains.iter().eq(stored.drains.iter()) {
            self.fail(|| format!("I3: m{master} has forgotten drains of the registry"));
        }
    }

    /// I3: the registry changes only as its leader wants: who is removed there need not be known any more.
    pub(crate) fn note_change(&mut self, change: &RegistryChange) {
        self.check_removal(change);
        if let RegistryChange::DeleteFramework(id) = change {
            self.enter(|| Entry::Gone { framework: id.clone() });
        }
        match change {
            RegistryChange::DeleteFramework(id) => drop(self.checks.subscribed.remove(id)),
            RegistryChange::PutFramework(id, record) if record.removed.is_some() => {
                self.enter(|| Entry::Gone { framework: id.clone() });
                self.checks.subscribed.remove(id);
            }
            RegistryChange::DeleteAgent(id) => drop(self.checks.admitted.remove(id)),
            RegistryChange::PutFramework(..)
            | RegistryChange::PutAgent(..)
            | RegistryChange::PutWeights(_)
            | RegistryChange::PutQuotas(_)
            | RegistryChange::PutMachines(_)
            | RegistryChange::PutDrain(..)
            | RegistryChange::PutUnconfirmed(..) => {}
        }
    }

    /// An operator has put a backup in place: what came after it is forgotten at his word.
    pub(crate) fn note_restored(&mut self, state: &chapada_master_core::RegistryState) {
        self.checks.subscribed.retain(|id| state.frameworks.contains_key(id));
        self.checks.admitted.retain(|id| state.agents.contains_key(id));
        self.checks.answers = roles::Answers::default();
        self.checks.removals = removals::Removals::default();
        let state = Box::new(state.clone());
        self.enter(|| Entry::Restored { state });
    }

    /// I3: whoever is told to be subscribed is in the registry.
    pub(crate) fn check_subscribed(&mut self, master: usize, framework: &FrameworkId) {
        let is_stored = self.registry.state.frameworks.contains_key(framework);
        if self.leader() == Some(master) && !is_stored {
            self.fail(|| {
                format!("I3: framework {framework} is told that it is subscribed before it is stored")
            });
        }
        // A deposed leader may say so of one that has been removed since.
        let record = self.registry.state.frameworks.get(framework);
        if record.is_some_and(|record| record.removed.is_none()) {
            self.checks.subscribed.insert(framework.clone());
        }
    }

    /// I3: whoever is told to be registered is in the registry.
    pub(crate) fn check_admitted(&mut self, master: usize, agent: &AgentId) {
        let is_stored = self.registry.state.agents.contains_key(agent);
        if self.leader() == Some(master) && !is_stored {
            self.fail(|| format!("I3: agent {agent} is told that it is registered before it is stored"));
        }
        if is_stored {
            self.checks.admitted.insert(agent.clone());
        }
        // A deposed leader may answer what it was told before its successor changed what the agent has.
        if self.leader() == Some(master) {
            self.check_kept(master, agent);
        }
    }

    /// I3: reservations and volumes are where they were made.
    fn check_kept(&mut self, master: usize, agent: &AgentId) {
        let Some(books) = self.masters[master].core.as_ref().map(chapada_master_core::Master::snapshot)
        else {
            return;
        };
        let mut cores = self.agents.iter().filter_map(|node| node.core.as_ref());
        let Some(core) = cores.find(|core| core.id() == Some(agent)) else { return };
        let (has, known) = (core.resources().made(), books.agents.get(agent).map(|known| known.total.made()));
        if known.as_ref() != Some(&has) {
            let known = known.unwrap_or_default();
            self.fail(|| format!("I3: agent {agent} keeps {has}, and m{master} knows of {known}"));
        }
    }

    /// I5: at an old word an agent does nothing but end the link.
    pub(crate) fn check_word(&mut self, agent: usize, effects: &[Effect]) {
        let is_done = |effect: &&Effect| !matches!(effect, Effect::DropLink { .. });
        if let Some(epoch) = self.checks.word
            && effects.iter().any(|effect| !matches!(effect, Effect::DropLink { .. } | Effect::Log { .. }))
        {
            self.enter(|| Entry::Obeyed { agent, epoch });
        }
        if let Some(done) = effects.iter().find(is_done).filter(|_| self.checks.stale) {
            self.fail(|| format!("I5: a{agent} does {done:?} at the word of a deposed master"));
        }
    }

    /// I5: notes whether what an agent does next is at the word of a master that is older than one it has seen.
    pub(crate) fn check_epoch(&mut self, agent: usize, epoch: u64) {
        let seen = self.agents[agent].core.as_ref().map_or(0, chapada_agent_core::Agent::epoch);
        self.checks.stale = epoch < seen;
        self.checks.word = Some(epoch);
    }
}
