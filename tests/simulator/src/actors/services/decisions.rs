//! What each launch rested on when it was decided, remembered across the framework's processes: what I6 is held against.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_model::{Mono, TaskId, TaskState, TaskStatus};
use chapada_services_core::{AppId, AppState, Goal, Services, UnreachableStrategy, Write};
use serde_json::Value;

use super::Incarnation;

/// So long the master must have said that it does not know a task.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);

/// A launch when it was decided.
#[derive(Debug)]
pub(crate) struct Decision {
    /// Counts all launches.
    pub(crate) order: u64,
    /// Whose.
    pub(crate) app: AppId,
    /// How many of the app there might be at once then.
    pub(crate) allowed: usize,
    apart: Apart,
}

/// What of the app did not count at a launch, because nobody could say whether it ran.
#[derive(Debug, Default)]
struct Apart {
    /// Those of which an agent was out of reach.
    incarnations: BTreeSet<Incarnation>,
    /// Those that were heard to be lost by themselves.
    tasks: BTreeSet<TaskId>,
}

impl Decision {
    /// Whether `task`, which is a part of `incarnation`, did not count.
    pub(crate) fn is_apart(&self, incarnation: &Incarnation, task: &TaskId) -> bool {
        self.apart.incarnations.contains(incarnation) || self.apart.tasks.contains(task)
    }
}

/// What was heard last of a task.
#[derive(Debug)]
struct Heard {
    incarnation: Incarnation,
    state: TaskState,
    /// Since when.
    since: Mono,
    /// Once it was out of reach. Should it have been given up then, it is the surplus that is ended when it returns.
    was_lost: bool,
}

/// All launches, and what was heard last of each task.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    all: BTreeMap<Incarnation, Decision>,
    heard: BTreeMap<AppId, BTreeMap<TaskId, Heard>>,
}

impl Decisions {
    pub(crate) fn of(&self, incarnation: &Incarnation) -> Option<&Decision> {
        self.all.get(incarnation)
    }

    /// An update is heard.
    pub(super) fn note_update(&mut self, now: Mono, status: &TaskStatus) {
        let Some(incarnation) = Incarnation::of(&status.task) else { return };
        let heard = self.heard.entry(incarnation.instance.app().clone()).or_default();
        if status.state.is_terminal() && status.uuid.is_some() {
            heard.remove(&status.task);
            return;
        }
        let state = status.state;
        let first = Heard { incarnation, state, since: now, was_lost: false };
        let entry = heard.entry(status.task.clone()).or_insert(first);
        if entry.state != state {
            (entry.state, entry.since) = (state, now);
        }
        entry.was_lost |= is_lost(entry, now);
    }

    /// A launch is decided when its intent is first written.
    pub(super) fn note_writes(&mut self, now: Mono, core: &Services, writes: &[Write]) {
        for write in writes {
            let Write::Put { key, value } = write else { continue };
            if !key.starts_with("instance.") {
                continue;
            }
            let incarnation = task_in(value).and_then(|task| Incarnation::of(&task));
            let Some(incarnation) = incarnation.filter(|one| !self.all.contains_key(one)) else { continue };
            let app = incarnation.instance.app().clone();
            let Some(state) = core.all_apps().find(|state| state.app.definition.id == app) else { continue };
            let allowed = most_at_once(core, state);
            let apart = self.apart(now, state);
            let order = self.all.len() as u64;
            self.all.insert(incarnation, Decision { order, app, allowed, apart });
        }
    }

    fn apart(&self, now: Mono, state: &AppState) -> Apart {
        let mut apart = Apart::default();
        for (task, heard) in self.heard.get(&state.app.definition.id).into_iter().flatten() {
            let instance = state.instances.get(&heard.incarnation.instance);
            let held = instance.filter(|instance| instance.task().is_some_and(|held| held.goes_by(task)));
            let inactive = match state.app.definition.unreachable_strategy {
                UnreachableStrategy::Disabled => false,
                UnreachableStrategy::After { inactive, .. } => now >= heard.since + inactive.duration(),
            };
            match held {
                // What is on one agent is out of reach together, though it is said of one after the other.
                None if heard.was_lost => _ = apart.incarnations.insert(heard.incarnation.clone()),
                Some(instance)
                    if heard.state == TaskState::Unreachable && (inactive || instance.goal != Goal::Run) =>
                {
                    apart.incarnations.insert(heard.incarnation.clone());
                }
                Some(_) if is_lost(heard, now) && heard.state != TaskState::Unreachable => {
                    apart.tasks.insert(task.clone());
                }
                Some(_) | None => {}
            }
        }
        apart
    }
}

/// Nobody can say whether it runs. That the master does not know it may only mean that it has not heard of its agent yet, so
/// it must have said so for some time.
fn is_lost(heard: &Heard, now: Mono) -> bool {
    use TaskState::{Dropped, Gone, GoneByOperator, Lost, Unknown, Unreachable};
    match heard.state {
        Dropped | Gone | GoneByOperator | Lost | Unreachable => true,
        Unknown => now >= heard.since + UNKNOWN_FOR,
        _ => false,
    }
}

/// How many tasks of an app there may be at once by its own strategy, worked out here from Marathon's arithmetic and not
/// asked of the core: `floor(n * (1 + over))` while tasks are replaced, and one more when that leaves no room to begin.
pub(crate) fn most_at_once(core: &Services, state: &AppState) -> usize {
    let wanted = if state.deleting { 0 } else { state.app.definition.instances };
    let deployment = state.deployment.and_then(|id| core.deployment(id));
    let replaces = deployment.is_some_and(|deployment| deployment.replaces(&state.app.definition.id));
    if !replaces {
        return wanted as usize;
    }
    let strategy = state.app.definition.upgrade_strategy;
    let most = (f64::from(wanted) * (1.0 + strategy.maximum_over_capacity)).floor();
    let least = (f64::from(wanted) * strategy.minimum_health_capacity).ceil();
    most as usize + usize::from(most <= least)
}

fn task_in(record: &[u8]) -> Option<TaskId> {
    let record: Value = serde_json::from_slice(record).ok()?;
    record.pointer("/instance/task/id")?.as_str()?.parse().ok()
}
