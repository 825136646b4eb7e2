//! I2 and no double launch, on what the machines really run.

use chapada_agent_core::TaskRecord;
use chapada_master_core::{Call, Operation, Proposal};
use chapada_model::Resources;
use chapada_sdk_core::{Phase, TaskName};

use crate::sim::Sim;

impl Sim {
    /// A container is about to be made.
    pub(crate) fn check_launch(&mut self, agent: usize, record: &TaskRecord) {
        if self.checks.stale {
            self.fail(|| format!("I5: a{agent} launches {} at the word of a deposed master", record.key));
        }
        if !self.checks.launched.insert(record.key.clone()) {
            self.fail(|| format!("task {} is launched twice", record.key));
        }
        self.check_copies(record);
        self.check_room(agent, record);
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
        let mut live =
            machines.filter(|found| found.is_live() && found.task.framework == record.key.framework);
        let copy =
            live.find(|found| TaskName::parse(&found.task.task).is_ok_and(|other| other.name == name.name));
        if let Some(copy) = copy.map(|found| found.task.clone()) {
            self.fail(|| format!("double launch: {} begins while {copy} runs", record.key));
        }
    }

    /// What runs on a machine fits on it.
    fn check_room(&mut self, agent: usize, record: &TaskRecord) {
        let mut used = self.archive.task(&record.info).resources.unallocated();
        let Some(core) = &self.agents[agent].core else { return };
        let total = core.resources().clone();
        for found in self.agents[agent].kernel.containers.values().filter(|found| found.is_live()) {
            let more = self.archive.task(&found.record.info).resources.unallocated();
            if used.add(&more).is_err() {
                return self.fail(|| {
                    format!("I2: {} and {} hold the same on a{agent}", record.key, found_key(&more))
                });
            }
        }
        if !total.contains(&used) {
            self.fail(|| format!("I2: a{agent} has {total} and is to run {used} with {}", record.key));
        }
    }

    /// What the live containers of a machine hold.
    pub(crate) fn running_on(&self, agent: usize) -> Resources {
        let mut sum = Resources::EMPTY;
        for found in self.agents[agent].kernel.containers.values().filter(|found| found.is_live()) {
            drop(sum.add(&self.archive.task(&found.record.info).resources.unallocated()));
        }
        sum
    }
}

fn found_key(resources: &Resources) -> String {
    resources.to_string()
}
