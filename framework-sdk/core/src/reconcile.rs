//! Asking the master what became of tasks until it has answered for each.

use std::collections::BTreeMap;
use std::time::Duration;

use chapada_model::{AgentId, Mono, TaskId};

use crate::backoff::Backoff;

/// How persistently to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconciliationConfig {
    /// Between two rounds over what is unanswered. The master stays silent about tasks of agents that have not come
    /// back yet, so this can go on for as long as agents are given.
    pub repeat: Backoff,
    /// Between a finished reconciliation and the next of everything.
    pub everything_every: Duration,
}

impl Default for ReconciliationConfig {
    fn default() -> Self {
        Self {
            repeat: Backoff { first: Duration::from_secs(5), most: Duration::from_secs(60) },
            everything_every: Duration::from_secs(15 * 60),
        }
    }
}

/// Which tasks are unanswered, and when to ask next. At most one reconciliation is under way.
#[derive(Clone, Debug)]
pub struct Reconciliation {
    config: ReconciliationConfig,
    unanswered: BTreeMap<TaskId, Option<AgentId>>,
    failures: u32,
    next: Option<Mono>,
}

/// What to ask now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Round {
    /// For everything the master knows of this framework: a call that names no task.
    Everything,
    /// For these.
    Tasks(Vec<(TaskId, Option<AgentId>)>),
}

impl Round {
    /// The tasks to name in the call; none means everything.
    pub fn into_tasks(self) -> Vec<(TaskId, Option<AgentId>)> {
        match self {
            Self::Everything => Vec::new(),
            Self::Tasks(tasks) => tasks,
        }
    }
}

impl Reconciliation {
    /// Nothing to ask until [`Reconciliation::begin`].
    pub fn new(config: ReconciliationConfig) -> Self {
        Self { config, unanswered: BTreeMap::new(), failures: 0, next: None }
    }

    /// Begins anew, as after each subscription, with all tasks believed not to have ended. They are to be asked for at once,
    /// and so is everything: it finds the tasks that the framework has forgotten.
    pub fn begin(
        &mut self,
        now: Mono,
        tasks: impl IntoIterator<Item = (TaskId, Option<AgentId>)>,
    ) -> Vec<Round> {
        self.unanswered = tasks.into_iter().collect();
        self.failures = 0;
        self.plan(now, self.config.repeat.first);
        let mut rounds = vec![Round::Everything];
        rounds.extend(self.round());
        rounds
    }

    /// Adds tasks to ask for, and asks for them at once.
    pub fn add(
        &mut self,
        now: Mono,
        tasks: impl IntoIterator<Item = (TaskId, Option<AgentId>)>,
    ) -> Option<Round> {
        let added: Vec<_> = tasks.into_iter().collect();
        self.unanswered.extend(added.iter().cloned());
        self.failures = 0;
        self.plan(now, self.config.repeat.first);
        (!added.is_empty()).then_some(Round::Tasks(added))
    }

    /// An update came for this task, whatever it said.
    pub fn on_update(&mut self, now: Mono, task: &TaskId) {
        if self.unanswered.remove(task).is_some() && self.unanswered.is_empty() {
            self.plan(now, Duration::ZERO);
        }
    }

    /// The connection is gone: nothing is asked until the next [`Reconciliation::begin`].
    pub fn pause(&mut self) {
        self.next = None;
    }

    /// When [`Reconciliation::on_time`] wants to be called.
    pub fn next(&self) -> Option<Mono> {
        self.next
    }

    /// How many tasks are unanswered.
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// What to ask, if it is time. `random` is spread evenly over all of `u64`.
    pub fn on_time(&mut self, now: Mono, random: u64) -> Option<Round> {
        if self.next.is_none_or(|next| now < next) {
            return None;
        }
        let round = self.round().unwrap_or(Round::Everything);
        // At least half of the ceiling: what is asked too often is never answered sooner.
        self.failures = self.failures.saturating_add(1);
        let half = self.config.repeat.ceiling(self.failures) / 2;
        let wait = half + self.config.repeat.wait(self.failures, random) / 2;
        self.plan(now, wait);
        Some(round)
    }

    fn round(&self) -> Option<Round> {
        let tasks: Vec<_> =
            self.unanswered.iter().map(|(task, agent)| (task.clone(), agent.clone())).collect();
        (!tasks.is_empty()).then_some(Round::Tasks(tasks))
    }

    fn plan(&mut self, now: Mono, repeat_in: Duration) {
        let wait = if self.unanswered.is_empty() { self.config.everything_every } else { repeat_in };
        self.next = Some(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str) -> (TaskId, Option<AgentId>) {
        (name.parse().unwrap(), None)
    }

    fn at(seconds: u64) -> Mono {
        Mono(0) + Duration::from_secs(seconds)
    }

    #[test]
    fn asks_for_the_unanswered_ever_less_often_and_then_for_everything() {
        let mut asking = Reconciliation::new(ReconciliationConfig::default());
        assert_eq!(asking.on_time(at(99), 0), None, "nothing before a subscription");
        let rounds = asking.begin(at(0), [task("a"), task("b")]);
        assert_eq!(rounds, [Round::Everything, Round::Tasks(vec![task("a"), task("b")])]);
        assert_eq!(asking.next(), Some(at(5)));
        assert_eq!(asking.on_time(at(4), 0), None);
        asking.on_update(at(4), &task("a").0);
        assert_eq!(asking.on_time(at(5), 0), Some(Round::Tasks(vec![task("b")])));
        assert_eq!(asking.next(), Some(at(10)), "half of ten seconds");
        assert_eq!(asking.on_time(at(10), u64::MAX), Some(Round::Tasks(vec![task("b")])));
        assert!(asking.next() > Some(at(29)), "nearly all of twenty seconds");
        asking.on_update(at(30), &task("b").0);
        assert_eq!(asking.next(), Some(at(30 + 15 * 60)));
        assert_eq!(asking.on_time(at(30 + 15 * 60), 0), Some(Round::Everything));
        asking.pause();
        assert_eq!(asking.next(), None);
    }

    #[test]
    fn added_tasks_are_asked_for_at_once() {
        let mut asking = Reconciliation::new(ReconciliationConfig::default());
        asking.begin(at(0), []);
        assert_eq!(asking.add(at(1), [task("a")]), Some(Round::Tasks(vec![task("a")])));
        assert_eq!(asking.unanswered(), 1);
        assert_eq!(asking.next(), Some(at(6)));
        assert_eq!(asking.add(at(1), []), None);
    }
}
