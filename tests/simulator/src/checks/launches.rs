//! I2 and no double launch, on what the machines really run.

use std::collections::BTreeSet;
use std::fmt::Display;

use chapada_agent_core::TaskRecord;
use chapada_master_core::{Call, Operation, Proposal};
use chapada_model::{ResourceError, Resources};
use chapada_sdk_core::{Phase, TaskName};

use crate::journal::Entry;
use crate::sim::Sim;

impl Sim {
    /// A task is about to be run.
    pub(crate) fn check_launch(&mut self, agent: usize, record: &TaskRecord) {
        let thing = self.thing_of(record);
        self.enter(|| Entry::Began { agent, task: record.key.clone(), thing });
        if !self.checks.launched.insert(record.key.clone()) {
            self.fail(|| format!("I2: task {} is launched twice", record.key));
        }
        self.check_copies(record);
        self.check_allowed(record);
    }

    /// What a keeper means by a task, of which it wants one at a time.
    fn thing_of(&self, record: &TaskRecord) -> Option<String> {
        let framework = self.framework_of(&record.key.framework)?;
        let is_kept = self.frameworks[framework].manner.is_keeper();
        let name = TaskName::parse(&record.key.task).ok().filter(|_| is_kept)?;
        Some(name.name.to_string())
    }

    /// A keeper's launch is sent: that it is meant must be durable.
    pub(crate) fn check_intended(&mut self, framework: usize, call: &Call) {
        let node = &self.frameworks[framework];
        let Call::Accept(accept) = call else { return };
        if !node.manner.is_keeper() {
            return;
        }
        let tasks = accept.operations.iter().flat_map(|operation| match operation {
            Operation::Launch { tasks } => tasks.as_slice(),
            _ => &[],
        });
        let is_stored = |task: &Proposal| match task {
            Proposal::Valid(task) => node.store.intents.values().any(|intent| {
                intent.phase == Phase::Launching && Ok(&intent.task) == TaskName::parse(&task.id).as_ref()
            }),
            Proposal::Malformed(_) => false,
        };
        if let Some(task) = tasks.into_iter().find(|task| !is_stored(task)).cloned() {
            self.fail(|| format!("f{framework} launches {task:?}, and its intent is not stored"));
        }
    }

    /// A keeper has at most one incarnation of each of its things.
    fn check_copies(&mut self, record: &TaskRecord) {
        let keeps = self.framework_of(&record.key.framework).map(|index| &self.frameworks[index].manner);
        if !keeps.is_some_and(crate::Manner::is_keeper) {
            return;
        }
        let Ok(name) = TaskName::parse(&record.key.task) else { return };
        let machines = self.agents.iter().flat_map(|agent| agent.kernel.containers.values());
        let live = machines.filter(|found| found.is_live() && *found.framework() == record.key.framework);
        let is_copy = |other: &&std::sync::Arc<TaskRecord>| {
            TaskName::parse(&other.key.task).is_ok_and(|other| other.name == name.name)
        };
        let copy = live.flat_map(|found| found.tasks()).find(is_copy).map(|found| found.key.clone());
        if let Some(copy) = copy {
            self.fail(|| format!("I6: double launch: {} begins while {copy} runs", record.key));
        }
    }

    /// What runs on a machine fits on it, now that this runs there too.
    pub(crate) fn check_room(&mut self, agent: usize, what: &impl Display) {
        let Some(core) = &self.agents[agent].core else { return };
        // What an operator took away below what ran is still used until that has ended.
        let lost = self.agents[agent].lost.clone();
        let (total, over) = (core.resources().clone(), core.resources().checked_add(&lost));
        match self.held_on(agent) {
            Ok(used) if over.unwrap_or_else(|_| total.clone()).contains(&used) => {}
            Ok(used) => {
                self.fail(|| format!("I2: a{agent} has {total} and is to run {used} with {what}"));
            }
            Err(error) => self.fail(|| format!("I2: {what} holds what another holds on a{agent}: {error}")),
        }
    }

    /// What the live containers of a machine hold: their tasks, and each executor once.
    fn held_on(&self, agent: usize) -> Result<Resources, ResourceError> {
        let mut sum = Resources::EMPTY;
        let mut executors = BTreeSet::new();
        for found in self.agents[agent].kernel.containers.values().filter(|found| found.is_live()) {
            for task in found.tasks() {
                sum.add(&self.archive.task(&task.info).resources.unallocated())?;
            }
            if let Some(executor) = found.executor().filter(|executor| executors.insert(&executor.container))
            {
                sum.add(&self.archive.executor(&executor.info).resources.unallocated())?;
            }
        }
        Ok(sum)
    }

    /// What the live containers of a machine hold.
    pub(crate) fn running_on(&self, agent: usize) -> Resources {
        self.held_on(agent).unwrap_or_default()
    }
}
