//! What is known of an app's instances by number and in order, kept up to date change by change.

use std::collections::{BTreeMap, BTreeSet};

use chapada_model::{AgentId, Mono, Text};
use chapada_sdk_core::{Constraint, Placed};

use super::due;
use super::leaving::Leaving;
use super::view::Counts;
use crate::app::App;
use crate::definition::{KillSelection, UnreachableStrategy};
use crate::id::Uuid;
use crate::instance::{Condition, Goal, Instance, Task};
use crate::settings::Patience;
use crate::timestamp::Timestamp;

/// What of an app's definition its instances are counted by.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rules {
    pub(super) config: Timestamp,
    pub(super) selection: KillSelection,
    pub(super) unreachable: UnreachableStrategy,
    pub(super) constraints: Vec<Constraint>,
    pub(super) patience: Patience,
    /// Agents that are to be left.
    pub(super) leaving: Leaving,
}

impl Rules {
    pub(super) fn of(app: &App, patience: Patience) -> Self {
        Self {
            config: app.version_info.last_config_change_at,
            selection: app.definition.kill_selection,
            unreachable: app.definition.unreachable_strategy,
            constraints: app.definition.constraints.clone(),
            patience,
            leaving: Leaving::default(),
        }
    }
}

/// An instance that counts toward the target is in one of these. Fresh ones have the present configuration, or will;
/// good ones do their work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::services) enum Class {
    FreshGood,
    FreshBad,
    StaleGood,
    StaleBad,
    /// Of an old configuration and out of reach, but not for so long that it counts no more.
    StaleAway,
    /// Of whatever configuration, on an agent that is to be left, as the others so.
    LeavingGood,
    LeavingBad,
    LeavingAway,
}

impl Class {
    pub(super) const ALL: [Self; 8] = [
        Self::FreshGood,
        Self::FreshBad,
        Self::StaleGood,
        Self::StaleBad,
        Self::StaleAway,
        Self::LeavingGood,
        Self::LeavingBad,
        Self::LeavingAway,
    ];
    /// All that are not on an agent that is to be left.
    pub(super) const STAYING: [Self; 5] =
        [Self::FreshGood, Self::FreshBad, Self::StaleGood, Self::StaleBad, Self::StaleAway];
    pub(super) const LEAVING: [Self; 3] = [Self::LeavingGood, Self::LeavingBad, Self::LeavingAway];
    pub(super) const FRESH: [Self; 2] = [Self::FreshGood, Self::FreshBad];
    pub(super) const STALE: [Self; 3] = [Self::StaleGood, Self::StaleBad, Self::StaleAway];
    pub(super) const GOOD: [Self; 3] = [Self::FreshGood, Self::StaleGood, Self::LeavingGood];
}

/// The first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// How far its task is; those that do their work come last.
    far: u8,
    age: u64,
    pub(super) uuid: Uuid,
}

/// Where one instance stands in the index.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Filed {
    waiting: Option<Timestamp>,
    /// As `waiting`, when its next task shall not have the present definition.
    pinned: Option<Timestamp>,
    placed: bool,
    inactive: bool,
    stopping: bool,
    state: State,
    rank: Option<(Class, Rank)>,
    /// On which subscription it was last heard to do its work, and as what.
    heard: Option<(u32, Class)>,
    /// Whether a check of it waits for its turn before it is asked for the first time.
    patient: bool,
    /// The version of the app that it has, or waits to have when that is not the present one.
    version: Option<Timestamp>,
    /// When it counts no more, if it is out of reach and still counts.
    lapses: Option<Mono>,
    due: Option<Mono>,
    agent: Option<AgentId>,
    /// What its agent has in the fields that the constraints count.
    values: Vec<Option<Text>>,
}

/// What of its task is counted for people.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    #[default]
    Other,
    Staged,
    Running {
        healthy: Option<bool>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Index {
    rules: Rules,
    /// The time up to which `inactive` is right.
    now: Mono,
    waiting: BTreeSet<(Timestamp, Uuid)>,
    pinned: BTreeSet<(Timestamp, Uuid)>,
    placed: usize,
    inactive: usize,
    pub(super) stopping: usize,
    pub(super) counts: Counts,
    classes: [BTreeSet<Rank>; 8],
    /// How many were last heard to do their work on which subscription, by class.
    heard: BTreeMap<(u32, Class), usize>,
    patient: BTreeSet<Uuid>,
    /// How many have which version of the app.
    versions: BTreeMap<Timestamp, usize>,
    lapses: BTreeSet<(Mono, Uuid)>,
    due: BTreeSet<(Mono, Uuid)>,
    pub(super) agents: BTreeMap<AgentId, usize>,
    pub(super) kin: Placed,
}

impl Index {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            kin: Placed::of::<Task>(&rules.constraints, []),
            rules,
            now: Mono::default(),
            waiting: BTreeSet::new(),
            pinned: BTreeSet::new(),
            placed: 0,
            inactive: 0,
            stopping: 0,
            counts: Counts::default(),
            classes: Default::default(),
            heard: BTreeMap::new(),
            patient: BTreeSet::new(),
            versions: BTreeMap::new(),
            lapses: BTreeSet::new(),
            due: BTreeSet::new(),
            agents: BTreeMap::new(),
        }
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(super) fn now(&self) -> Mono {
        self.now
    }

    pub(super) fn pass_time(&mut self, now: Mono) {
        self.now = now;
    }

    /// Where an instance stands.
    pub(super) fn filed(&self, instance: &Instance) -> Filed {
        self.filed_at(instance, self.now)
    }

    pub(super) fn filed_at(&self, instance: &Instance, now: Mono) -> Filed {
        let Some(task) = instance.task() else {
            return Filed {
                waiting: instance.waiting_since().filter(|_| instance.pinned.is_none()),
                pinned: instance.waiting_since().filter(|_| instance.pinned.is_some()),
                stopping: instance.goal == Goal::Stop,
                rank: self.rank(instance, None),
                version: instance.pinned,
                ..Filed::default()
            };
        };
        let lapses = self.lapses_at(task);
        let inactive = lapses.is_some_and(|at| now >= at);
        let fresh = task.is_of(self.rules.config);
        let rank = self.rank(instance, Some(task)).filter(|_| !inactive);
        let works =
            rank.map(|(class, _)| class).filter(|class| Class::GOOD.contains(class) && task.is_checked());
        Filed {
            waiting: None,
            pinned: None,
            placed: true,
            inactive,
            stopping: instance.goal == Goal::Stop && task.condition != Condition::Unreachable,
            state: state_of(task),
            rank,
            heard: works.map(|class| (task.heard(), class)),
            patient: instance.goal == Goal::Run && task.is_patient(),
            version: Some(task.version),
            lapses: lapses.filter(|_| !inactive),
            due: due::next(instance, task, &self.rules),
            agent: Some(task.agent.clone()),
            values: if fresh { self.kin.values_of(task) } else { Vec::new() },
        }
    }

    fn rank(&self, instance: &Instance, task: Option<&Task>) -> Option<(Class, Rank)> {
        if instance.goal == Goal::Stop {
            return None;
        }
        let staged = task.map_or(0, |task| task.staged_at.millis());
        let age = match self.rules.selection {
            KillSelection::YoungestFirst => u64::MAX - staged,
            KillSelection::OldestFirst => staged,
        };
        let away = task.is_some_and(|task| task.condition == Condition::Unreachable);
        let good = instance.is_good();
        let leaves = task.is_some_and(|task| self.rules.leaving.contains(&task.agent));
        let class = match (instance.is_fresh(self.rules.config), good) {
            (_, true) if leaves => Class::LeavingGood,
            (_, false) if leaves && away => Class::LeavingAway,
            (_, false) if leaves => Class::LeavingBad,
            (true, true) => Class::FreshGood,
            (true, false) => Class::FreshBad,
            (false, true) => Class::StaleGood,
            (false, false) if away => Class::StaleAway,
            (false, false) => Class::StaleBad,
        };
        let rank = Rank { far: how_far(task, good), age, uuid: instance.id.uuid() };
        Some((class, rank))
    }

    fn lapses_at(&self, task: &Task) -> Option<Mono> {
        match self.rules.unreachable {
            UnreachableStrategy::After { inactive, .. } if task.condition == Condition::Unreachable => {
                Some(task.since + inactive.duration())
            }
            UnreachableStrategy::After { .. } | UnreachableStrategy::Disabled => None,
        }
    }

    /// Moves an instance from one standing to another; the default is none at all.
    pub(super) fn refile(&mut self, uuid: Uuid, before: &Filed, after: Filed) {
        if *before == after {
            return;
        }
        moved(&mut self.waiting, before.waiting, after.waiting, uuid);
        moved(&mut self.pinned, before.pinned, after.pinned, uuid);
        moved(&mut self.lapses, before.lapses, after.lapses, uuid);
        moved(&mut self.due, before.due, after.due, uuid);
        counted(&mut self.placed, before.placed, after.placed);
        counted(&mut self.inactive, before.inactive, after.inactive);
        counted(&mut self.stopping, before.stopping, after.stopping);
        self.count_state(before.state, after.state);
        if before.rank != after.rank {
            if let Some((class, rank)) = &before.rank {
                self.classes[*class as usize].remove(rank);
            }
            if let Some((class, rank)) = after.rank {
                self.classes[class as usize].insert(rank);
            }
        }
        moved_count(&mut self.heard, &before.heard, after.heard);
        moved_count(&mut self.versions, &before.version, after.version);
        moved_count(&mut self.agents, &before.agent, after.agent);
        match after.patient {
            true => self.patient.insert(uuid),
            false => before.patient && self.patient.remove(&uuid),
        };
        if before.values != after.values {
            self.kin.remove_values(&before.values);
            self.kin.add_values(&after.values);
        }
    }

    fn count_state(&mut self, before: State, after: State) {
        let Counts { staged, running, healthy, unhealthy } = &mut self.counts;
        for (count, wanted) in [
            (staged, (|state| state == State::Staged) as fn(State) -> bool),
            (running, |state| matches!(state, State::Running { .. })),
            (healthy, |state| state == State::Running { healthy: Some(true) }),
            (unhealthy, |state| state == State::Running { healthy: Some(false) }),
        ] {
            *count = *count + u32::from(wanted(after)) - u32::from(wanted(before));
        }
    }

    pub(super) fn lapsed(&self, now: Mono) -> Vec<Uuid> {
        self.lapses.range(..=(now, Uuid::MAX)).map(|(_, uuid)| *uuid).collect()
    }

    pub(super) fn due(&self, now: Mono) -> impl Iterator<Item = Uuid> {
        self.due.range(..=(now, Uuid::MAX)).map(|(_, uuid)| *uuid)
    }

    pub(super) fn next_due(&self, now: Mono) -> Option<Mono> {
        let due = self.due.range((std::ops::Bound::Excluded((now, Uuid::MAX)), std::ops::Bound::Unbounded));
        let (due, lapses) = (due.map(|(at, _)| *at).next(), self.lapses.first().map(|(at, _)| *at));
        due.into_iter().chain(lapses).min()
    }

    pub(super) fn first_waiting(&self) -> Option<(Timestamp, Uuid)> {
        self.waiting.first().into_iter().chain(self.pinned.first()).min().copied()
    }

    pub(super) fn first_unpinned(&self) -> Option<Uuid> {
        self.waiting.first().map(|(_, uuid)| *uuid)
    }

    pub(super) fn first_pinned(&self) -> Option<Uuid> {
        self.pinned.first().map(|(_, uuid)| *uuid)
    }

    pub(super) fn unpinned(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn pinned(&self) -> usize {
        self.pinned.len()
    }

    /// Those out of reach that still count.
    pub(super) fn away(&self) -> impl Iterator<Item = Uuid> {
        self.lapses.iter().map(|(_, uuid)| *uuid)
    }

    pub(super) fn alive(&self, now: Mono) -> usize {
        let lapsed = self.lapses.range(..=(now, Uuid::MAX)).count();
        self.placed - self.inactive - lapsed
    }

    /// How many of the classes were heard to do their work on this subscription.
    pub(super) fn heard_on(&self, subscription: u32, classes: &[Class]) -> usize {
        classes.iter().filter_map(|class| self.heard.get(&(subscription, *class))).sum()
    }

    pub(super) fn patient(&self) -> impl Iterator<Item = Uuid> {
        self.patient.iter().copied()
    }

    pub(super) fn has_version(&self, version: Timestamp) -> bool {
        self.versions.contains_key(&version)
    }

    pub(super) fn of_class(&self, class: Class) -> &BTreeSet<Rank> {
        &self.classes[class as usize]
    }
}

/// The order in which surplus instances go, apart from their age: what was never launched, what is dying anyway, what is out
/// of reach, then by how far it came.
///
/// Source: Marathon's weights of conditions.
fn how_far(task: Option<&Task>, good: bool) -> u8 {
    match task.map(|task| task.condition) {
        None => 0,
        Some(Condition::Killing) => 1,
        Some(Condition::Unreachable) => 2,
        Some(Condition::Provisioned) => 3,
        Some(Condition::Staging) => 4,
        Some(Condition::Starting) => 5,
        Some(Condition::Running) => 6 + u8::from(good),
    }
}

fn state_of(task: &Task) -> State {
    match task.condition {
        Condition::Provisioned | Condition::Staging | Condition::Starting => State::Staged,
        Condition::Running => State::Running { healthy: task.healthy },
        Condition::Killing | Condition::Unreachable => State::Other,
    }
}

fn moved<K: Ord + Copy>(set: &mut BTreeSet<(K, Uuid)>, before: Option<K>, after: Option<K>, uuid: Uuid) {
    if before != after {
        if let Some(before) = before {
            set.remove(&(before, uuid));
        }
        set.extend(after.map(|after| (after, uuid)));
    }
}

fn counted(count: &mut usize, before: bool, after: bool) {
    *count = *count + usize::from(after) - usize::from(before);
}

fn moved_count<K: Ord>(counts: &mut BTreeMap<K, usize>, before: &Option<K>, after: Option<K>) {
    if *before == after {
        return;
    }
    if let Some(before) = before {
        less(counts, before);
    }
    if let Some(after) = after {
        *counts.entry(after).or_default() += 1;
    }
}

fn less<K: Ord>(counts: &mut BTreeMap<K, usize>, of: &K) {
    match counts.get_mut(of) {
        Some(count) if *count > 1 => *count -= 1,
        Some(_) => {
            counts.remove(of);
        }
        None => {}
    }
}
