//! Asking the master what became of tasks until it has answered for each.
//!
//! Asked for are all tasks after a subscription, a launch of which nothing is heard, and what the master says it does not know
//! while that is not believed yet. Everything is asked for besides: it finds tasks that the framework has forgotten.
//!
//! `TASK_UNREACHABLE` is an answer, but not the last one: the agent may come back without the task, to a master that never
//! heard of it and has nothing to say. So those are asked for again, slowly, until something else is said of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_model::{AgentId, Mono, Reason, TaskId, TaskState, TaskStatus};

use crate::backoff::Backoff;

/// How persistently to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconciliationConfig {
    /// Between two questions for a task that is unanswered. The master stays silent about tasks of agents that have not come
    /// back yet, so this can go on for as long as agents are given.
    pub repeat: Backoff,
    /// From a launch to the first question for its task, when nothing is heard of it.
    pub confirm: Duration,
    /// How long the master may say that it does not know a task before that is believed: a new master may not have heard of
    /// every agent. Zero believes it at once.
    pub unknown_grace: Duration,
    /// From a subscription, where everything is asked for, to the next time: agents that come back to a new master meanwhile
    /// may bring tasks that the framework has forgotten.
    pub everything_again: Duration,
    /// Between two later questions for everything.
    pub everything_every: Duration,
    /// Between two rounds over what was last said to be unreachable.
    pub unreachable_every: Duration,
}

/// So many unreachable tasks are asked for again at most. Source: the master remembers as many of a framework.
pub const MAX_UNREACHABLE: usize = 1_000;

/// A round names so many tasks at most: the call stays below what masters read (8 MiB), however long the ids are.
pub const MAX_ROUND: usize = 10_000;

impl Default for ReconciliationConfig {
    fn default() -> Self {
        Self {
            repeat: Backoff { first: Duration::from_secs(5), most: Duration::from_secs(60) },
            confirm: Duration::from_secs(30),
            unknown_grace: Duration::ZERO,
            everything_again: Duration::from_secs(15),
            everything_every: Duration::from_secs(15 * 60),
            unreachable_every: Duration::from_secs(60),
        }
    }
}

/// Which tasks are unanswered, and when to ask next. Its owner tells it of subscriptions, launches and updates, and calls
/// [`Reconciliation::on_time`] when [`Reconciliation::next`] has come.
#[derive(Clone, Debug)]
pub struct Reconciliation {
    config: ReconciliationConfig,
    open: BTreeMap<TaskId, Question>,
    /// The open questions by when they are due.
    by_due: BTreeSet<(Mono, TaskId)>,
    /// What was last said to be unreachable; at most [`MAX_UNREACHABLE`].
    unreachable: BTreeMap<TaskId, Option<AgentId>>,
    unreachable_at: Mono,
    everything_at: Mono,
    /// Whether there is somebody to ask.
    subscribed: bool,
}

/// What is to be found out about one task.
#[derive(Clone, Debug)]
struct Question {
    agent: Option<AgentId>,
    due: Mono,
    /// How often it was asked without an answer.
    failures: u32,
    /// Since when the master says that it does not know the task.
    unknown_since: Option<Mono>,
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

/// What an update is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is so.
    Believed,
    /// The master says that it does not know the task, and may be wrong: it is asked again.
    Doubted,
}

impl Reconciliation {
    /// Nothing to ask until [`Reconciliation::begin`].
    pub fn new(config: ReconciliationConfig) -> Self {
        Self {
            config,
            open: BTreeMap::new(),
            by_due: BTreeSet::new(),
            unreachable: BTreeMap::new(),
            unreachable_at: Mono(0),
            everything_at: Mono(0),
            subscribed: false,
        }
    }

    /// Begins anew, as after each subscription, with all tasks believed not to have ended. They are to be asked for at once,
    /// and so is everything.
    pub fn begin(
        &mut self,
        now: Mono,
        tasks: impl IntoIterator<Item = (TaskId, Option<AgentId>)>,
    ) -> Vec<Round> {
        let (due, added) = (now + self.config.repeat.first, tasks.into_iter().collect::<Vec<_>>());
        let question = |agent: &Option<AgentId>| Question::at(due, agent.clone());
        // They can be very many: all of them at once, without looking for the place of each.
        self.open = added.iter().map(|(task, agent)| (task.clone(), question(agent))).collect();
        self.by_due = self.open.keys().map(|task| (due, task.clone())).collect();
        self.unreachable.clear();
        self.subscribed = true;
        self.everything_at = now + self.config.everything_again;
        let mut rounds = vec![Round::Everything];
        rounds.extend(in_rounds(added));
        rounds
    }

    /// Adds tasks to ask for, and asks for them at once.
    pub fn add(
        &mut self,
        now: Mono,
        tasks: impl IntoIterator<Item = (TaskId, Option<AgentId>)>,
    ) -> Vec<Round> {
        let added: Vec<_> = tasks.into_iter().collect();
        for (task, agent) in &added {
            self.ask_at(now + self.config.repeat.first, task.clone(), agent.clone());
        }
        in_rounds(added)
    }

    /// A launch was decided on. Its task is asked for when nothing is heard of it.
    pub fn launched(&mut self, now: Mono, task: TaskId, agent: Option<AgentId>) {
        self.ask_at(now + self.config.confirm, task, agent);
    }

    /// Nobody wants to know any more what becomes of the task.
    pub fn forget(&mut self, task: &TaskId) {
        self.close(task);
        self.unreachable.remove(task);
    }

    /// An update came for a task, whatever it said. A doubt is over with the next update that says anything else, and when it
    /// has lasted for long enough.
    pub fn on_update(&mut self, now: Mono, status: &TaskStatus) -> Heard {
        let asked = self.close(&status.task);
        let away = self.unreachable.remove(&status.task);
        let was_away = away.is_some();
        if says_unknown(status) {
            let since = asked.as_ref().and_then(|asked| asked.unknown_since).unwrap_or(now);
            let until = since + self.config.unknown_grace;
            if now < until {
                let agent = status.agent.clone().or(asked.and_then(|asked| asked.agent)).or(away.flatten());
                self.ask_at(until, status.task.clone(), agent);
                if let Some(question) = self.open.get_mut(&status.task) {
                    question.unknown_since = Some(since);
                }
                return Heard::Doubted;
            }
        }
        if status.state == TaskState::Unreachable && self.unreachable.len() < MAX_UNREACHABLE {
            if self.unreachable.is_empty() && !was_away {
                self.unreachable_at = now + self.config.unreachable_every;
            }
            let agent = status.agent.clone().or(asked.and_then(|asked| asked.agent)).or(away.flatten());
            self.unreachable.insert(status.task.clone(), agent);
        }
        Heard::Believed
    }

    /// The connection is gone: nothing is asked until the next [`Reconciliation::begin`].
    pub fn pause(&mut self) {
        self.subscribed = false;
    }

    /// When [`Reconciliation::on_time`] wants to be called.
    pub fn next(&self) -> Option<Mono> {
        let task = self.by_due.first().map(|(due, _)| *due);
        let unreachable = (!self.unreachable.is_empty()).then_some(self.unreachable_at);
        let first = [task, unreachable].into_iter().flatten().fold(self.everything_at, Mono::min);
        self.subscribed.then_some(first)
    }

    /// How many tasks are unanswered.
    pub fn unanswered(&self) -> usize {
        self.open.len()
    }

    /// What to ask, if it is time; more may be due at once, so ask until there is nothing. `random` is spread evenly over all
    /// of `u64`.
    pub fn on_time(&mut self, now: Mono, random: u64) -> Option<Round> {
        if !self.subscribed {
            return None;
        }
        if now >= self.everything_at {
            self.everything_at = now + self.config.everything_every;
            return Some(Round::Everything);
        }
        let mut tasks = Vec::new();
        while tasks.len() < MAX_ROUND && self.by_due.first().is_some_and(|(due, _)| *due <= now) {
            let due = self.by_due.pop_first();
            tasks.extend(due.and_then(|(_, task)| self.ask_again(now, task, random)));
        }
        if tasks.is_empty() && !self.unreachable.is_empty() && now >= self.unreachable_at {
            self.unreachable_at = now + self.config.unreachable_every;
            tasks.extend(self.unreachable.iter().map(|(task, agent)| (task.clone(), agent.clone())));
        }
        (!tasks.is_empty()).then_some(Round::Tasks(tasks))
    }

    /// Waits at least half of the ceiling: what is asked too often is never answered sooner.
    fn ask_again(&mut self, now: Mono, task: TaskId, random: u64) -> Option<(TaskId, Option<AgentId>)> {
        let question = self.open.get_mut(&task)?;
        question.failures = question.failures.saturating_add(1);
        let half = self.config.repeat.ceiling(question.failures) / 2;
        question.due = now + half + self.config.repeat.wait(question.failures, random) / 2;
        self.by_due.insert((question.due, task.clone()));
        Some((task, question.agent.clone()))
    }

    fn ask_at(&mut self, due: Mono, task: TaskId, agent: Option<AgentId>) {
        self.close(&task);
        self.by_due.insert((due, task.clone()));
        self.open.insert(task, Question::at(due, agent));
    }

    fn close(&mut self, task: &TaskId) -> Option<Question> {
        let (task, question) = self.open.remove_entry(task)?;
        self.by_due.remove(&(question.due, task));
        Some(question)
    }
}

impl Question {
    fn at(due: Mono, agent: Option<AgentId>) -> Self {
        Self { agent, due, failures: 0, unknown_since: None }
    }
}

fn in_rounds(tasks: Vec<(TaskId, Option<AgentId>)>) -> Vec<Round> {
    let (mut rounds, mut left) = (Vec::new(), tasks.into_iter());
    while left.len() > 0 {
        rounds.push(Round::Tasks(left.by_ref().take(MAX_ROUND).collect()));
    }
    rounds
}

/// `TASK_LOST` is what masters say to those who do not know of partitions.
fn says_unknown(status: &TaskStatus) -> bool {
    status.state == TaskState::Unknown
        || (status.state == TaskState::Lost && status.reason == Some(Reason::TaskUnknown))
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

    fn asking() -> Reconciliation {
        Reconciliation::new(ReconciliationConfig::default())
    }

    #[test]
    fn asks_for_the_unanswered_ever_less_often() {
        let mut asking = asking();
        assert_eq!(asking.on_time(at(99), 0), None, "nothing before a subscription");
        let rounds = asking.begin(at(0), [task("a"), task("b")]);
        assert_eq!(rounds, [Round::Everything, Round::Tasks(vec![task("a"), task("b")])]);
        assert_eq!(asking.next(), Some(at(5)));
        assert_eq!(asking.on_time(at(4), 0), None);
        asking.on_update(at(4), &status("a", TaskState::Running));
        assert_eq!(asking.on_time(at(5), 0), Some(Round::Tasks(vec![task("b")])));
        assert_eq!(asking.on_time(at(5), 0), None);
        assert_eq!(asking.next(), Some(at(10)), "half of ten seconds");
        assert_eq!(asking.on_time(at(10), u64::MAX), Some(Round::Tasks(vec![task("b")])));
        assert_eq!(asking.on_time(at(15), 0), Some(Round::Everything));
        assert!(asking.next() > Some(at(29)), "nearly all of twenty seconds");
        asking.on_update(at(30), &status("b", TaskState::Gone));
        assert_eq!(asking.unanswered(), 0);
        asking.pause();
        assert_eq!(asking.next(), None);
        assert_eq!(asking.on_time(at(9_999), 0), None);
    }

    #[test]
    fn everything_is_asked_for_soon_again_and_then_from_time_to_time() {
        let mut asking = asking();
        assert_eq!(asking.begin(at(0), []), [Round::Everything]);
        for seconds in [15, 15 + 15 * 60, 15 + 30 * 60] {
            assert_eq!(asking.next(), Some(at(seconds)));
            assert_eq!(asking.on_time(at(seconds), 0), Some(Round::Everything));
        }
    }

    #[test]
    fn added_tasks_are_asked_for_at_once_and_launched_ones_when_nothing_is_heard() {
        let mut asking = asking();
        asking.begin(at(0), []);
        assert_eq!(asking.on_time(at(20), 0), Some(Round::Everything));
        assert_eq!(asking.add(at(21), [task("a")]), [Round::Tasks(vec![task("a")])]);
        assert_eq!(asking.unanswered(), 1);
        assert_eq!(asking.next(), Some(at(26)));
        assert_eq!(asking.add(at(21), []), []);
        asking.forget(&task("a").0);
        for name in ["b", "c"] {
            asking.launched(at(30), task(name).0, None);
        }
        asking.on_update(at(31), &status("c", TaskState::Staging));
        assert_eq!(asking.next(), Some(at(60)));
        assert_eq!(asking.on_time(at(60), 0), Some(Round::Tasks(vec![task("b")])));
    }

    #[test]
    fn that_the_master_knows_no_task_is_believed_when_it_has_said_so_for_long_enough() {
        let unknown_grace = Duration::from_secs(30);
        let mut asking =
            Reconciliation::new(ReconciliationConfig { unknown_grace, ..ReconciliationConfig::default() });
        asking.begin(at(0), []);
        assert_eq!(asking.on_time(at(20), 0), Some(Round::Everything));
        let unknown = |name| status(name, TaskState::Unknown);
        assert_eq!(asking.on_update(at(30), &unknown("a")), Heard::Doubted);
        assert_eq!(asking.on_update(at(40), &unknown("a")), Heard::Doubted);
        assert_eq!(asking.next(), Some(at(60)), "said twice, and not for longer");
        assert_eq!(asking.on_time(at(60), 0), Some(Round::Tasks(vec![task("a")])));
        assert_eq!(asking.on_update(at(61), &unknown("a")), Heard::Believed);
        assert_eq!(asking.on_update(at(62), &unknown("b")), Heard::Doubted);
        assert_eq!(asking.on_update(at(80), &status("b", TaskState::Running)), Heard::Believed);
        assert_eq!(asking.on_update(at(99), &unknown("b")), Heard::Doubted, "the doubt began anew");
        let lost = TaskStatus { reason: Some(Reason::TaskUnknown), ..status("c", TaskState::Lost) };
        assert_eq!(asking.on_update(at(99), &lost), Heard::Doubted);
        let at_once = Reconciliation::new(ReconciliationConfig::default()).on_update(at(0), &unknown("a"));
        assert_eq!(at_once, Heard::Believed, "without a grace");
    }

    #[test]
    fn what_is_unreachable_is_asked_for_each_minute_until_something_else_is_said() {
        let mut asking = asking();
        asking.begin(at(0), [task("a"), task("b")]);
        asking.on_update(at(1), &status("a", TaskState::Unreachable));
        assert_eq!(asking.unanswered(), 1);
        asking.on_update(at(2), &status("b", TaskState::Running));
        assert_eq!(asking.unanswered(), 0, "it is answered all the same");
        assert_eq!(asking.on_time(at(15), 0), Some(Round::Everything));
        assert_eq!(asking.next(), Some(at(61)));
        assert_eq!(asking.on_time(at(61), 0), Some(Round::Tasks(vec![task("a")])));
        asking.on_update(at(63), &status("a", TaskState::Unreachable));
        assert_eq!(asking.next(), Some(at(121)), "an answer that says nothing new puts nothing off");
        assert_eq!(asking.on_time(at(121), 0), Some(Round::Tasks(vec![task("a")])));
        asking.on_update(at(122), &status("a", TaskState::Gone));
        assert_eq!(asking.next(), Some(at(15 + 15 * 60)));
    }

    #[test]
    fn one_that_becomes_unreachable_later_is_asked_for_too_and_not_without_bound() {
        let mut asking = asking();
        asking.on_update(at(0), &status("early", TaskState::Unreachable));
        assert_eq!(asking.next(), None, "nothing is asked before a subscription");
        asking.begin(at(0), []);
        assert_eq!(asking.on_time(at(15), 0), Some(Round::Everything));
        for number in 0..2 * MAX_UNREACHABLE {
            asking.on_update(at(20), &status(&format!("t{number}"), TaskState::Unreachable));
        }
        assert_eq!(asking.next(), Some(at(80)));
        let Some(Round::Tasks(tasks)) = asking.on_time(at(80), 0) else { panic!("it asks for tasks") };
        assert_eq!(tasks.len(), MAX_UNREACHABLE);
    }

    #[test]
    fn a_call_names_no_more_tasks_than_a_master_reads() {
        let mut asking = asking();
        let rounds = asking.begin(at(0), (0..MAX_ROUND + 1).map(|number| task(&format!("t{number}"))));
        let tasks = |round: Round| round.into_tasks().len();
        assert_eq!(rounds.into_iter().map(tasks).collect::<Vec<_>>(), [0, MAX_ROUND, 1]);
        let mut due = std::iter::from_fn(|| asking.on_time(at(5), 0)).map(tasks);
        assert_eq!((due.next(), due.next(), due.next()), (Some(MAX_ROUND), Some(1), None));
    }
}
