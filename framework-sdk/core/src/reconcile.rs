//! Asking the master what became of tasks until it has answered for each.
//!
//! `TASK_UNREACHABLE` is an answer, but not the last one: the agent may come back without the task, to a master that never
//! heard of it and has nothing to say. So those are asked for again, slowly, until something else is said of them.

use std::collections::BTreeMap;
use std::time::Duration;

use chapada_model::{AgentId, Mono, TaskId, TaskState, TaskStatus};

use crate::backoff::Backoff;

/// How persistently to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconciliationConfig {
    /// Between two rounds over what is unanswered. The master stays silent about tasks of agents that have not come
    /// back yet, so this can go on for as long as agents are given.
    pub repeat: Backoff,
    /// Between a finished reconciliation and the next of everything.
    pub everything_every: Duration,
    /// Between two rounds over what was last said to be unreachable.
    pub unreachable_every: Duration,
}

/// So many unreachable tasks are asked for again at most. Source: the master remembers as many of a framework.
pub const MAX_UNREACHABLE: usize = 1_000;

impl Default for ReconciliationConfig {
    fn default() -> Self {
        Self {
            repeat: Backoff { first: Duration::from_secs(5), most: Duration::from_secs(60) },
            everything_every: Duration::from_secs(15 * 60),
            unreachable_every: Duration::from_secs(60),
        }
    }
}

/// Which tasks are unanswered, and when to ask next. At most one reconciliation is under way.
#[derive(Clone, Debug)]
pub struct Reconciliation {
    config: ReconciliationConfig,
    unanswered: BTreeMap<TaskId, Option<AgentId>>,
    /// What was last said to be unreachable; at most [`MAX_UNREACHABLE`].
    unreachable: BTreeMap<TaskId, Option<AgentId>>,
    failures: u32,
    next: Option<Mono>,
    /// When everything is due, should nothing be unanswered.
    everything_at: Mono,
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
        Self {
            config,
            unanswered: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            failures: 0,
            next: None,
            everything_at: Mono(0),
        }
    }

    /// Begins anew, as after each subscription, with all tasks believed not to have ended. They are to be asked for at once,
    /// and so is everything: it finds the tasks that the framework has forgotten.
    pub fn begin(
        &mut self,
        now: Mono,
        tasks: impl IntoIterator<Item = (TaskId, Option<AgentId>)>,
    ) -> Vec<Round> {
        self.unanswered = tasks.into_iter().collect();
        self.unreachable.clear();
        self.failures = 0;
        self.everything_at = now + self.config.everything_every;
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

    /// An update came for a task, whatever it said.
    pub fn on_update(&mut self, now: Mono, status: &TaskStatus) {
        let (asked, away) = (self.unanswered.remove(&status.task), self.unreachable.remove(&status.task));
        let (is_answer, was_away) = (asked.is_some(), away.is_some());
        let is_away = status.state == TaskState::Unreachable && self.unreachable.len() < MAX_UNREACHABLE;
        if is_away {
            let agent = status.agent.clone().or(asked.flatten()).or(away.flatten());
            self.unreachable.insert(status.task.clone(), agent);
        }
        if is_answer && self.unanswered.is_empty() {
            self.everything_at = now + self.config.everything_every;
        }
        if self.next.is_some() && self.unanswered.is_empty() && (is_answer || was_away != is_away) {
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
        let is_idle = self.unanswered.is_empty() && now >= self.everything_at;
        let round = self.round().filter(|_| !is_idle).unwrap_or(Round::Everything);
        if is_idle {
            self.everything_at = now + self.config.everything_every;
        }
        // At least half of the ceiling: what is asked too often is never answered sooner.
        self.failures = self.failures.saturating_add(1);
        let half = self.config.repeat.ceiling(self.failures) / 2;
        let wait = half + self.config.repeat.wait(self.failures, random) / 2;
        self.plan(now, wait);
        Some(round)
    }

    fn round(&self) -> Option<Round> {
        let all = self.unanswered.iter().chain(&self.unreachable);
        let tasks: Vec<_> = all.map(|(task, agent)| (task.clone(), agent.clone())).collect();
        (!tasks.is_empty()).then_some(Round::Tasks(tasks))
    }

    fn plan(&mut self, now: Mono, repeat_in: Duration) {
        let next = match (self.unanswered.is_empty(), self.unreachable.is_empty()) {
            (false, _) => now + repeat_in,
            (true, false) => self.everything_at.min(now + self.config.unreachable_every),
            (true, true) => self.everything_at,
        };
        self.next = Some(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str) -> (TaskId, Option<AgentId>) {
        (name.parse().unwrap(), None)
    }

    fn status(name: &str, state: TaskState) -> TaskStatus {
        TaskStatus::new(name.parse().unwrap(), state)
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
        asking.on_update(at(4), &status("a", TaskState::Running));
        assert_eq!(asking.on_time(at(5), 0), Some(Round::Tasks(vec![task("b")])));
        assert_eq!(asking.next(), Some(at(10)), "half of ten seconds");
        assert_eq!(asking.on_time(at(10), u64::MAX), Some(Round::Tasks(vec![task("b")])));
        assert!(asking.next() > Some(at(29)), "nearly all of twenty seconds");
        asking.on_update(at(30), &status("b", TaskState::Gone));
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

    #[test]
    fn what_is_unreachable_is_asked_for_each_minute_until_something_else_is_said() {
        let mut asking = Reconciliation::new(ReconciliationConfig::default());
        asking.begin(at(0), [task("a"), task("b")]);
        asking.on_update(at(1), &status("a", TaskState::Unreachable));
        assert_eq!(asking.unanswered(), 1);
        asking.on_update(at(2), &status("b", TaskState::Running));
        assert_eq!(asking.unanswered(), 0, "it is answered all the same");
        assert_eq!(asking.next(), Some(at(62)));
        assert_eq!(asking.on_time(at(62), 0), Some(Round::Tasks(vec![task("a")])));
        asking.on_update(at(63), &status("a", TaskState::Unreachable));
        assert_eq!(asking.next(), Some(at(122)), "an answer that says nothing new puts nothing off");
        let mut now = at(62);
        while let Some(next) = asking.next().filter(|next| *next < at(2 + 15 * 60)) {
            now = next;
            assert_eq!(asking.on_time(now, 0), Some(Round::Tasks(vec![task("a")])));
        }
        assert!(now > at(14 * 60));
        assert_eq!(asking.next(), Some(at(2 + 15 * 60)));
        assert_eq!(asking.on_time(at(2 + 15 * 60), 0), Some(Round::Everything), "and everything in its time");
        asking.on_update(at(1_000), &status("a", TaskState::Gone));
        assert_eq!(asking.next(), Some(at(2 + 30 * 60)));
    }

    #[test]
    fn one_that_becomes_unreachable_later_is_asked_for_too_and_not_without_bound() {
        let mut asking = Reconciliation::new(ReconciliationConfig::default());
        asking.on_update(at(0), &status("early", TaskState::Unreachable));
        assert_eq!(asking.next(), None, "nothing is asked before a subscription");
        asking.begin(at(0), []);
        for number in 0..2 * MAX_UNREACHABLE {
            asking.on_update(at(9), &status(&format!("t{number}"), TaskState::Unreachable));
        }
        assert_eq!(asking.next(), Some(at(69)));
        let Some(Round::Tasks(tasks)) = asking.on_time(at(69), 0) else { panic!("it asks for tasks") };
        assert_eq!(tasks.len(), MAX_UNREACHABLE);
    }
}
