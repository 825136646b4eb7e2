//! What agents say of tasks that were over before this master led: without it, a failover would empty the history of the cluster.
//! Source: Mesos' agents restate completed tasks when they re-register.

use std::collections::BTreeSet;
use std::sync::Arc;

use chapada_model::{AgentId, FrameworkId};

use crate::{HeldTask, LinkId, MAX_COMPLETED_TASKS, Master, TaskPhase};

/// What is asked for is so many times what the histories have room for, for tasks do not end evenly over a cluster.
const SURPLUS: usize = 4;
/// The fewest that each agent is asked for, however many agents there are.
const FEWEST: usize = 10;

impl Master {
    /// How many completed tasks of each framework an agent is to tell of.
    pub(crate) fn completed_wanted(&self, id: &AgentId) -> u32 {
        if !self.untold.contains(id) {
            return 0;
        }
        let share = SURPLUS * MAX_COMPLETED_TASKS / self.books.agents.len().max(1);
        share.clamp(FEWEST, MAX_COMPLETED_TASKS) as u32
    }

    /// An agent tells of them. It is heard once: what ends later comes as updates.
    pub(crate) fn on_completed_tasks(&mut self, link: LinkId, id: &AgentId, tasks: Vec<HeldTask>) {
        let is_it = self.books.agents.get(id).is_some_and(|agent| agent.link() == Some(link));
        if !is_it || !self.untold.remove(id) {
            return;
        }
        let mut seen = BTreeSet::new();
        for task in tasks {
            let key = task.key();
            let is_held = self.books.tasks.get(&key).is_some_and(|held| held.agent == *id);
            if !is_held && self.is_remembered(&key.framework) && seen.insert(key) {
                self.remember_completed(id, task);
            }
        }
    }

    /// Whether there is, or was lately, such a framework.
    pub(crate) fn is_remembered(&self, id: &FrameworkId) -> bool {
        self.books.frameworks.contains_key(id)
            || self.books.completed_frameworks.iter().any(|framework| framework.id == *id)
    }

    /// Puts a task in its place in the history of its framework, by the time of its end, unless it is older than all of a full one.
    fn remember_completed(&mut self, agent: &AgentId, held: HeldTask) {
        let now = self.now.wall;
        let Some(last) = held.latest.as_ref().filter(|last| last.state.is_terminal()) else {
            return self.drop_with(|| {
                format!("agent {agent} calls task {} completed, which has not ended", held.key())
            });
        };
        let finished = last.timestamp.map_or(now, |at| at.min(now));
        let history = self.books.completed_tasks.entry(held.framework.clone()).or_default();
        let place = history.binary_search_by_key(&finished, |task| task.finished.unwrap_or(now));
        let place = place.unwrap_or_else(|place| place);
        if history.len() >= MAX_COMPLETED_TASKS && place == 0 {
            return;
        }
        let role = self.role_of(&held.framework, held.task.resources.allocation_role());
        let resources = held.task.resources.unallocated();
        let mut task = held.into_task(agent.clone(), role, resources, finished);
        (task.phase, task.finished) = (TaskPhase::Completed, Some(finished));
        let history = self.books.completed_tasks.entry(task.framework.clone()).or_default();
        history.insert(place, Arc::new(task));
        if history.len() > MAX_COMPLETED_TASKS {
            history.pop_front();
        }
    }
}
