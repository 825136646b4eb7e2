//! Kills of tasks that the books do not have yet: an agent that may run them has not said what it holds, after a failover or after
//! it was given up. As in Mesos such a kill is not answered, for nobody knows; there it is forgotten as well, and the task runs on
//! although its framework ended it. Here it waits until the task turns up, or until nobody is left who could have it.

use std::collections::{BTreeMap, BTreeSet};

use chapada_model::{AgentId, FrameworkId, KillPolicy, TaskId, TaskKey};

use crate::Master;
use crate::index::Groups;
use crate::reconcile::Standing;

/// How many late kills of a framework are remembered; one more is not, which its framework finds out by reconciling.
pub const MAX_LATE_KILLS: usize = 1_000;

/// How many of all frameworks together.
pub const MAX_LATE_KILLS_OF_ALL: usize = 100_000;

/// What is known of one: where the framework says that the task is, and how it is to end.
type Kill = (Option<AgentId>, Option<KillPolicy>);

/// The late kills of each framework.
#[derive(Clone, Debug, Default)]
pub(crate) struct LateKills {
    kills: BTreeMap<FrameworkId, BTreeMap<TaskId, Kill>>,
    count: usize,
    /// Those that wait for an agent, and those that wait for any.
    by_agent: Groups<Option<AgentId>, TaskKey>,
    /// For whom it may be over with waiting: nothing is looked for when nothing has changed.
    due: BTreeSet<Option<AgentId>>,
}

impl LateKills {
    /// How many frameworks have some, how many the one with most, and how many there are.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        (self.kills.len(), self.kills.values().map(BTreeMap::len).max().unwrap_or(0), self.count)
    }

    /// For whom some wait.
    pub(crate) fn agents(&self) -> impl Iterator<Item = &Option<AgentId>> {
        self.by_agent.keys()
    }

    /// Whether there is room for this one.
    fn has_room(&self, key: &TaskKey) -> bool {
        let of_framework = self.kills.get(&key.framework);
        of_framework.is_some_and(|kills| kills.contains_key(&key.task))
            || (self.count < MAX_LATE_KILLS_OF_ALL
                && of_framework.is_none_or(|kills| kills.len() < MAX_LATE_KILLS))
    }

    fn insert(&mut self, key: &TaskKey, kill: Kill) {
        self.take(&key.framework, &key.task);
        self.by_agent.insert(&kill.0, key.clone());
        self.kills.entry(key.framework.clone()).or_default().insert(key.task.clone(), kill);
        self.count += 1;
    }

    /// The framework is gone.
    pub(crate) fn forget(&mut self, framework: &FrameworkId) {
        let tasks: Vec<_> = self.kills.get(framework).into_iter().flat_map(BTreeMap::keys).cloned().collect();
        for task in tasks {
            self.take(framework, &task);
        }
    }

    pub(crate) fn take(&mut self, framework: &FrameworkId, task: &TaskId) -> Option<Kill> {
        let of_framework = self.kills.get_mut(framework)?;
        let kill = of_framework.remove(task)?;
        if of_framework.is_empty() {
            self.kills.remove(framework);
        }
        self.by_agent.remove(&kill.0, &TaskKey { framework: framework.clone(), task: task.clone() });
        self.count -= 1;
        Some(kill)
    }

    /// Something has changed for those that wait for this agent, or for any.
    pub(crate) fn note(&mut self, agent: Option<&AgentId>) {
        if self.count > 0 {
            let agent = agent.cloned();
            if self.by_agent.iter(&agent).next().is_some() {
                self.due.insert(agent);
            }
        }
    }

    /// Something has changed for all.
    fn note_all(&mut self) {
        self.due.extend(self.by_agent.keys().cloned());
    }

    /// Those for whom something has changed since it was last asked, each with where it is said to be.
    fn take_due(&mut self) -> Vec<(Option<AgentId>, Vec<TaskKey>)> {
        let due = std::mem::take(&mut self.due).into_iter();
        due.map(|agent| (agent.clone(), self.by_agent.of(&agent))).collect()
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
        if !self.late_kills.has_room(key) {
            return self.drop_with(|| {
                format!("a kill of task {key}, which nobody has stated: too many such kills wait")
            });
        }
        self.late_kills.insert(key, (agent.cloned(), policy));
    }

    /// An agent has said what it holds: what of it was to be killed is killed.
    pub(crate) fn carry_out_late_kills(&mut self, agent: &AgentId) {
        if self.late_kills.count == 0 {
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
        if self.strangers_until.is_some_and(|until| until <= self.now.mono) {
            self.strangers_until = None;
            self.late_kills.note_all();
        }
        for (agent, keys) in self.late_kills.take_due() {
            if matches!(self.standing_of(agent.as_ref()), Standing::MayReturn) {
                continue;
            }
            for TaskKey { framework, task } in keys {
                if let Some((agent, _)) = self.late_kills.take(&framework, &task) {
                    self.reconcile(&framework, vec![(task, agent)]);
                }
            }
        }
    }

    /// What an agent may hold is known in another way than before.
    pub(crate) fn note_standing(&mut self, agent: &AgentId) {
        self.late_kills.note(Some(agent));
        if self.silent.is_empty() {
            self.late_kills.note(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(framework: usize, task: usize) -> TaskKey {
        let framework = FrameworkId::new(format!("f{framework}")).expect("valid");
        TaskKey { framework, task: TaskId::new(format!("t{task}")).expect("valid") }
    }

    #[test]
    fn only_those_are_looked_at_for_whom_something_has_changed() {
        let (a, b) = (AgentId::new("a").ok(), AgentId::new("b").ok());
        let mut kills = LateKills::default();
        for (task, agent) in [(0, &a), (1, &a), (2, &b), (3, &None)] {
            kills.insert(&key(0, task), (agent.clone(), None));
        }
        assert_eq!(kills.take_due(), []);
        kills.note(a.as_ref());
        kills.note(AgentId::new("other").ok().as_ref());
        assert_eq!(kills.take_due(), [(a.clone(), vec![key(0, 0), key(0, 1)])]);
        assert_eq!(kills.take_due(), []);
        // Said again with another agent, it waits for that one.
        kills.insert(&key(0, 0), (b.clone(), None));
        kills.note(b.as_ref());
        kills.note(None);
        let due = kills.take_due();
        assert_eq!(due, [(None, vec![key(0, 3)]), (b, vec![key(0, 0), key(0, 2)])]);
        kills.forget(&key(0, 0).framework);
        kills.note_all();
        assert_eq!((kills.sizes(), kills.take_due().len()), ((0, 0, 0), 0));
    }

    #[test]
    fn there_is_room_for_so_many_of_a_framework_and_so_many_of_all() {
        let mut kills = LateKills::default();
        for framework in 0..MAX_LATE_KILLS_OF_ALL / MAX_LATE_KILLS {
            assert!(kills.has_room(&key(framework, 0)));
            (0..MAX_LATE_KILLS).for_each(|task| kills.insert(&key(framework, task), (None, None)));
            assert!(!kills.has_room(&key(framework, MAX_LATE_KILLS)), "the framework has as many as it may");
        }
        assert_eq!(kills.sizes().2, MAX_LATE_KILLS_OF_ALL);
        assert!(!kills.has_room(&key(1_000, 0)), "all together have");
        assert!(kills.has_room(&key(0, 0)), "it is there already");
    }
}
