//! Kills of tasks that the books do not have yet: an agent that may run them has not said what it holds, after a failover or after
//! it was given up. As in Mesos such a kill is not answered, for nobody knows; there it is forgotten as well, and the task runs on
//! although its framework ended it. Here it waits until the task turns up, or until nobody is left who could have it.

use std::collections::BTreeMap;

use chapada_model::{AgentId, FrameworkId, KillPolicy, TaskId, TaskKey};

use crate::Master;
use crate::reconcile::Standing;

/// How many late kills of a framework are remembered; one more is not, which its framework finds out by reconciling.
pub const MAX_LATE_KILLS: usize = 1_000;

/// What is known of one: where the framework says that the task is, and how it is to end.
type Kill = (Option<AgentId>, Option<KillPolicy>);

/// The late kills of each framework.
#[derive(Clone, Debug, Default)]
pub(crate) struct LateKills(BTreeMap<FrameworkId, BTreeMap<TaskId, Kill>>);

impl LateKills {
    /// How many frameworks have some, and how many the one with most.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.0.len(), self.0.values().map(BTreeMap::len).max().unwrap_or(0))
    }

    /// The framework is gone.
    pub(crate) fn forget(&mut self, framework: &FrameworkId) {
        self.0.remove(framework);
    }

    pub(crate) fn take(&mut self, framework: &FrameworkId, task: &TaskId) -> Option<Kill> {
        let of_framework = self.0.get_mut(framework)?;
        let kill = of_framework.remove(task)?;
        if of_framework.is_empty() {
            self.0.remove(framework);
        }
        Some(kill)
    }
}

impl Master {
    /// Remembers the kill of a task that is not known, if somebody may turn up with it.
    pub(crate) fn note_late_kill(
        &mut self,
        key: &TaskKey,
        agent: Option<&AgentId>,
        policy: Option<KillPolicy>,
    ) {
        if !matches!(self.standing_of(agent), Standing::MayReturn) {
            return;
        }
        let of_framework = self.late_kills.0.entry(key.framework.clone()).or_default();
        if of_framework.len() >= MAX_LATE_KILLS && !of_framework.contains_key(&key.task) {
            return self.drop_with(|| {
                format!("a kill of task {key}, which nobody has stated: too many such kills wait")
            });
        }
        of_framework.insert(key.task.clone(), (agent.cloned(), policy));
    }

    /// An agent has said what it holds: what of it was to be killed is killed.
    pub(crate) fn carry_out_late_kills(&mut self, agent: &AgentId) {
        if self.late_kills.0.is_empty() {
            return;
        }
        for TaskKey { framework, task } in self.index.tasks_by_agent.of(agent) {
            if let Some((said, policy)) = self.late_kills.take(&framework, &task) {
                self.kill(&framework, task, said, policy);
            }
        }
    }

    /// Answers those whose tasks nobody can have any more.
    pub(crate) fn answer_late_kills(&mut self) {
        let nobody_has = |master: &Self, agent: Option<&AgentId>| {
            !matches!(master.standing_of(agent), Standing::MayReturn)
        };
        let mut answered = Vec::new();
        for (framework, kills) in &self.late_kills.0 {
            let over = kills.iter().filter(|(_, (agent, _))| nobody_has(self, agent.as_ref()));
            answered.extend(over.map(|(task, _)| (framework.clone(), task.clone())));
        }
        for (framework, task) in answered {
            if let Some((agent, _)) = self.late_kills.take(&framework, &task) {
                self.reconcile(&framework, vec![(task, agent)]);
            }
        }
    }
}
