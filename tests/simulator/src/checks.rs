//! What must hold across the cores, beside each master's own audit. I1 to I8 are the invariants of the design.

mod bounds;
mod groups;
mod launches;
mod settled;
mod updates;

use std::collections::{BTreeMap, BTreeSet};

use chapada_master_core::Call;
use chapada_model::{AgentId, FrameworkId, TaskId, TaskKey, TaskState, UpdateUuid};

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
    /// Frameworks of which an agent was told that they are gone.
    pub(crate) shut_down: BTreeSet<FrameworkId>,
    /// A command of an old epoch is with an agent.
    pub(crate) stale: bool,
    /// Every task that any agent ever began.
    launched: BTreeSet<TaskKey>,
    /// What was asked to start together, by the first task of each group.
    groups: BTreeMap<TaskKey, Vec<TaskKey>>,
    /// Updates as agents wrote them down.
    said: BTreeMap<TaskKey, Vec<(UpdateUuid, TaskState)>>,
    /// What each framework has heard.
    heard: BTreeMap<(usize, TaskId), Heard>,
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
        let known = self.frameworks.iter().filter(|framework| framework.manner.is_keeper());
        let lost =
            known.filter_map(|framework| framework.id.clone()).find(|id| !stored.frameworks.contains_key(id));
        if let Some(id) = lost {
            self.fail(|| format!("I3: framework {id} was subscribed, and the registry has lost it"));
        }
    }

    /// I3: whoever is told to be subscribed is in the registry.
    pub(crate) fn check_subscribed(&mut self, master: usize, framework: &FrameworkId) {
        let is_stored = self.registry.state.frameworks.contains_key(framework);
        if self.leader() == Some(master) && !is_stored {
            self.fail(|| {
                format!("I3: framework {framework} is told that it is subscribed before it is stored")
            });
        }
    }

    /// I3: whoever is told to be registered is in the registry.
    pub(crate) fn check_admitted(&mut self, master: usize, agent: &AgentId) {
        let is_stored = self.registry.state.agents.contains_key(agent);
        if self.leader() == Some(master) && !is_stored {
            self.fail(|| format!("I3: agent {agent} is told that it is registered before it is stored"));
        }
        self.check_kept(master, agent);
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

    /// I5: notes whether what an agent does next is at the word of a master that is older than one it has seen.
    pub(crate) fn check_epoch(&mut self, agent: usize, epoch: u64) {
        let seen = self.agents[agent].core.as_ref().map_or(0, chapada_agent_core::Agent::epoch);
        self.checks.stale = epoch < seen;
    }
}
