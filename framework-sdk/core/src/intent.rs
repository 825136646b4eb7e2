//! Intents: what is to run, written down before it is launched, so that nothing is launched twice and nothing is lost.
//!
//! A thing to run has a name that stays and an incarnation that grows with each launch; both make the task id. An update
//! about an older incarnation is told apart from one about the present.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chapada_model::{AgentId, InvalidId, Mono, TaskId, TaskState, TaskStatus, Text};

use crate::delay::{Delay, DelayRule};

/// One launch of one thing: `name.incarnation` as a task id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct TaskName {
    /// Stays from launch to launch.
    pub name: Text,
    /// Grows with each launch, from 1.
    pub incarnation: u64,
}

/// A task id that no [`TaskName`] made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task id {0} does not end in .<number>")]
pub struct NotAnIncarnation(pub TaskId);

impl TaskName {
    /// The id to launch it by.
    ///
    /// # Errors
    /// When the name cannot be part of an id.
    pub fn task_id(&self) -> Result<TaskId, InvalidId> {
        self.to_string().parse()
    }

    /// Reads an id that [`TaskName::task_id`] made.
    ///
    /// # Errors
    /// When it has no incarnation.
    pub fn parse(id: &TaskId) -> Result<Self, NotAnIncarnation> {
        let refused = || NotAnIncarnation(id.clone());
        let (name, incarnation) = id.as_str().rsplit_once('.').ok_or_else(refused)?;
        let incarnation = incarnation.parse().map_err(|_| refused())?;
        Ok(Self { name: name.into(), incarnation })
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.name, self.incarnation)
    }
}

/// What is wanted of one thing, and what is known of it. To be stored each time it changes, before anything is sent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Intent {
    /// Its latest launch; incarnation 0 before the first.
    pub task: TaskName,
    /// Where that one was sent.
    pub agent: Option<AgentId>,
    /// How far it is.
    pub phase: Phase,
    /// Launches that ended unasked since the last that ran well, for back-off.
    pub failures: u32,
    /// How long it waits before it is launched again, as [`Intents::retry`] said. Forgotten by a restart.
    #[serde(skip)]
    pub delay: Option<Delay>,
    /// Since when it is known to be unreachable, as [`Intents::unreachable_for`] saw it. Forgotten by a restart.
    #[serde(skip)]
    pub unreachable_since: Option<Mono>,
}

/// How far a launch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Phase {
    /// To be launched.
    Waiting,
    /// A launch was decided on, and may or may not have been sent. Only an update tells.
    Launching,
    /// An update says that it lives.
    Alive(TaskState),
    /// It has ended and is not to be launched again.
    Ended(TaskState),
}

/// What an update means for an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntentChange {
    /// Lives, in this state.
    Alive(TaskName),
    /// Has ended.
    Ended(TaskName, TaskState),
    /// A task that no intent stands behind, an older incarnation or a thing not wanted, lives and can be reached: kill it.
    Stray,
    /// Nothing new.
    Nothing,
}

/// All intents of a framework, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intents {
    by_name: BTreeMap<Text, Intent>,
}

impl Intents {
    /// Takes what was stored.
    pub fn restore(stored: impl IntoIterator<Item = Intent>) -> Self {
        Self { by_name: stored.into_iter().map(|intent| (intent.task.name.clone(), intent)).collect() }
    }

    /// Wants one more thing to run; one of that name stays as it is.
    pub fn want(&mut self, name: impl Into<Text>) -> &Intent {
        let name = name.into();
        self.by_name.entry(name.clone()).or_insert_with(|| Intent {
            task: TaskName { name, incarnation: 0 },
            agent: None,
            phase: Phase::Waiting,
            failures: 0,
            delay: None,
            unreachable_since: None,
        })
    }

    /// Forgets it. What still runs of it becomes a stray.
    pub fn forget(&mut self, name: &str) -> Option<Intent> {
        self.by_name.remove(name)
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&Intent> {
        self.by_name.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Intent> {
        self.by_name.values()
    }

    /// Those to be launched.
    pub fn waiting(&self) -> impl Iterator<Item = &Intent> {
        self.iter().filter(|intent| intent.phase == Phase::Waiting)
    }

    /// Those to be launched now: they wait, and their delay is over.
    pub fn due(&self, now: Mono) -> impl Iterator<Item = &Intent> {
        self.waiting().filter(move |intent| intent.delay.is_none_or(|delay| delay.until() <= now))
    }

    /// Those that have ended and are not to be launched again.
    pub fn ended(&self) -> impl Iterator<Item = &Intent> {
        self.iter().filter(|intent| matches!(intent.phase, Phase::Ended(_)))
    }

    /// Those that may have a task, for reconciliation.
    pub fn unsettled(&self) -> impl Iterator<Item = (TaskId, Option<AgentId>)> {
        self.iter()
            .filter(|intent| matches!(intent.phase, Phase::Launching | Phase::Alive(_)))
            .filter_map(|intent| Some((intent.task.task_id().ok()?, intent.agent.clone())))
    }

    /// Decides on a launch: the next incarnation, to this agent. Store the result before launching. `None` when there is
    /// no such thing or it does not wait.
    pub fn launch(&mut self, name: &str, agent: AgentId) -> Option<Intent> {
        let intent = self.by_name.get_mut(name).filter(|intent| intent.phase == Phase::Waiting)?;
        intent.task.incarnation += 1;
        intent.agent = Some(agent);
        intent.phase = Phase::Launching;
        Some(intent.clone())
    }

    /// Counts a launch as ended that no update ends, such as one on an agent that has been unreachable for too long. Should it
    /// come back, it is a stray. `None` unless it was under way.
    pub fn give_up(&mut self, name: &str) -> Option<Intent> {
        let intent = self.by_name.get_mut(name)?;
        let state = match intent.phase {
            Phase::Launching => TaskState::Unknown,
            Phase::Alive(state) => state,
            Phase::Waiting | Phase::Ended(_) => return None,
        };
        intent.phase = Phase::Ended(state);
        Some(intent.clone())
    }

    /// It is to be launched again. Store the result first. `None` unless it has ended.
    pub fn again(&mut self, name: &str) -> Option<Intent> {
        let intent = self.by_name.get_mut(name)?;
        matches!(intent.phase, Phase::Ended(_)).then(|| {
            intent.phase = Phase::Waiting;
            intent.agent = None;
            intent.clone()
        })
    }

    /// As [`Intents::again`], but not before a delay that grows with each retry. `None` unless it has ended.
    pub fn retry(&mut self, name: &str, rule: &DelayRule, now: Mono) -> Option<Intent> {
        self.again(name)?;
        let intent = self.by_name.get_mut(name)?;
        intent.delay = Some(Delay::after_failure(intent.delay, rule, now));
        Some(intent.clone())
    }

    /// Those that have been unreachable for so long, to be given up. Call it from time to time: it is by these calls that the time
    /// is taken.
    pub fn unreachable_for(&mut self, long: Duration, now: Mono) -> Vec<Text> {
        let mut found = Vec::new();
        for intent in self.by_name.values_mut() {
            if intent.phase != Phase::Alive(TaskState::Unreachable) {
                intent.unreachable_since = None;
            } else if now.since(*intent.unreachable_since.get_or_insert(now)) >= long {
                found.push(intent.task.name.clone());
            }
        }
        found
    }

    /// Puts one back as it was, or takes it out.
    pub fn set(&mut self, name: &str, intent: Option<Intent>) {
        match intent {
            Some(intent) => drop(self.by_name.insert(name.into(), intent)),
            None => drop(self.by_name.remove(name)),
        }
    }

    /// Takes in what an update says. Safe to call with the same update any number of times.
    pub fn on_update(&mut self, status: &TaskStatus) -> IntentChange {
        let state = status.state;
        // One that has ended, ends or is out of reach is not killed: the answer would be the same update again, without end.
        let stray = match state {
            TaskState::Staging | TaskState::Starting | TaskState::Running => IntentChange::Stray,
            _ => IntentChange::Nothing,
        };
        let Ok(task) = TaskName::parse(&status.task) else { return stray };
        let Some(intent) = self.by_name.get_mut(&task.name).filter(|intent| intent.task == task) else {
            return stray;
        };
        // Unknown is said of a launch that never arrived; it is an end for one that has an incarnation of its own.
        let ended = state.is_terminal() || state == TaskState::Unknown;
        match intent.phase {
            // It was given up for ended, and lives: its agent came back, or its launch arrived late.
            Phase::Waiting | Phase::Ended(_) => stray,
            Phase::Alive(known) if known == state => IntentChange::Nothing,
            Phase::Launching | Phase::Alive(_) if ended => {
                intent.phase = Phase::Ended(state);
                intent.failures =
                    if state == TaskState::Finished { 0 } else { intent.failures.saturating_add(1) };
                IntentChange::Ended(task, state)
            }
            Phase::Launching | Phase::Alive(_) => {
                intent.phase = Phase::Alive(state);
                IntentChange::Alive(task)
            }
        }
    }

    /// It ran long enough to count as well; back-off begins anew.
    pub fn ran_well(&mut self, name: &str) {
        if let Some(intent) = self.by_name.get_mut(name) {
            intent.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(id: &str, state: TaskState) -> TaskStatus {
        TaskStatus::new(id.parse().unwrap(), state)
    }

    fn agent() -> AgentId {
        "a1".parse().unwrap()
    }

    #[test]
    fn a_launch_is_decided_once_and_followed_to_its_end() {
        let mut intents = Intents::default();
        intents.want("web.v2-0");
        assert_eq!(intents.waiting().count(), 1);
        let intent = intents.launch("web.v2-0", agent()).unwrap();
        assert_eq!(intent.task.to_string(), "web.v2-0.1");
        assert_eq!(intents.launch("web.v2-0", agent()), None, "not twice");
        let stored = serde_json::to_string(&intent).unwrap();
        let mut intents = Intents::restore([serde_json::from_str(&stored).unwrap()]);
        assert_eq!(intents.unsettled().count(), 1);
        let running = update("web.v2-0.1", TaskState::Running);
        assert!(matches!(intents.on_update(&running), IntentChange::Alive(_)));
        assert_eq!(intents.on_update(&running), IntentChange::Nothing, "repeated");
        let failed = update("web.v2-0.1", TaskState::Failed);
        assert!(matches!(intents.on_update(&failed), IntentChange::Ended(_, TaskState::Failed)));
        assert_eq!(intents.get("web.v2-0").unwrap().failures, 1);
        assert_eq!(intents.on_update(&failed), IntentChange::Nothing, "repeated");
        assert_eq!(intents.on_update(&running), IntentChange::Stray, "back from the dead");
        intents.again("web.v2-0").unwrap();
        assert_eq!(intents.launch("web.v2-0", agent()).unwrap().task.incarnation, 2);
    }

    #[test]
    fn one_given_up_is_replaced_and_a_stray_when_it_comes_back() {
        let mut intents = Intents::default();
        intents.want("a");
        assert_eq!(intents.give_up("a"), None);
        intents.launch("a", agent());
        intents.on_update(&update("a.1", TaskState::Unreachable));
        let (long, at) = (Duration::from_secs(9), |seconds| Mono(0) + Duration::from_secs(seconds));
        assert!(intents.unreachable_for(long, at(1)).is_empty());
        intents.on_update(&update("a.1", TaskState::Running));
        assert!(intents.unreachable_for(long, at(10)).is_empty(), "it was back");
        intents.on_update(&update("a.1", TaskState::Unreachable));
        assert!(intents.unreachable_for(long, at(20)).is_empty());
        assert_eq!(intents.unreachable_for(long, at(29)), [Text::from("a")]);
        assert!(intents.give_up("a").is_some());
        intents.again("a");
        assert_eq!(intents.on_update(&update("a.1", TaskState::Running)), IntentChange::Stray);
    }

    #[test]
    fn one_that_ends_is_due_again_when_its_delay_is_over() {
        let second = std::time::Duration::from_secs(1);
        let rule = DelayRule { first: second, factor: 2.0, most: 60 * second };
        let (mut intents, mut now) = (Intents::default(), Mono(0));
        intents.want("a");
        assert_eq!(intents.retry("a", &rule, now), None, "it has not ended");
        for wait in [1, 2, 4] {
            assert_eq!(intents.due(now).count(), 1);
            let task = intents.launch("a", agent()).unwrap().task.to_string();
            intents.on_update(&update(&task, TaskState::Failed));
            intents.retry("a", &rule, now).unwrap();
            assert_eq!((intents.waiting().count(), intents.due(now).count()), (1, 0));
            now = now + wait * second;
        }
    }

    #[test]
    fn what_nobody_wants_is_a_stray() {
        let mut intents = Intents::default();
        intents.want("a");
        intents.launch("a", agent());
        intents.on_update(&update("a.1", TaskState::Failed));
        intents.again("a");
        intents.launch("a", agent());
        for id in ["a.1", "b.1", "a", "a.x"] {
            assert_eq!(intents.on_update(&update(id, TaskState::Running)), IntentChange::Stray, "{id}");
            for state in [TaskState::Unreachable, TaskState::Killing, TaskState::Killed, TaskState::Unknown] {
                assert_eq!(intents.on_update(&update(id, state)), IntentChange::Nothing, "{id} {state:?}");
            }
        }
        assert!(matches!(intents.on_update(&update("a.2", TaskState::Unknown)), IntentChange::Ended(..)));
    }
}
