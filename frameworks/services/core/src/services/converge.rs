//! How many instances there should be, which go and how many come: Marathon's scaling and rolling replacement, derived
//! from what is there instead of from what was done so far, so that it resumes anywhere.

use std::collections::BTreeMap;

use chapada_model::Now;
use chapada_sdk_core::Rule;

use super::instances::{Class, Instances};
use super::sentence::ADDED_AT_ONCE;
use super::{AppState, Services};
use crate::id::{AppId, InstanceId};
use crate::instance::{Goal, Instance};
use crate::records::Key;
use crate::rolling::{self, Moves, Standing, Wanted};
use crate::timestamp::Timestamp;

/// What an app's instances are brought to.
enum Aim {
    /// So many as there shall be, of whatever configuration.
    Level,
    /// All of the present configuration.
    Replace(Wanted),
    /// As many as there shall be, none of them on an agent that is to be left.
    Move(Wanted),
    /// What there was: so many of the present configuration, so many of the one before.
    Hold { fresh: usize, stale: usize },
}

/// What to change about an app's instances.
#[derive(Debug, Default, PartialEq)]
struct InstancePlan {
    stop: Vec<InstanceId>,
    add: usize,
    /// How many are added of the version before the deployment.
    add_stale: usize,
}

impl Services {
    fn aim(&self, state: &AppState) -> Aim {
        let app = &state.app.definition.id;
        let Some(deployment) = self.deployment_of(state) else { return level_or_move(state) };
        let progress = &deployment.progress;
        let held = progress.apps.get(app).and_then(|known| known.held).filter(|_| progress.paused.is_some());
        if let Some(held) = held {
            return Aim::Hold { fresh: held.fresh, stale: held.stale };
        }
        if let Some(before) = state.held {
            let before = before as usize;
            let from = deployment.changes.get(app).and_then(|change| change.from.as_ref());
            let config = state.app.version_info.last_config_change_at;
            return match from.is_none_or(|from| from.version_info.last_config_change_at == config) {
                true => Aim::Hold { fresh: before, stale: 0 },
                false => Aim::Hold { fresh: 0, stale: before },
            };
        }
        if state.deleting || !deployment.replaces(app) {
            return level_or_move(state);
        }
        let target = state.target();
        let fresh = self.canary(state).map_or(target, |stage| stage.of(target)) as usize;
        let least_good = state.app.definition.least_good(target) as usize;
        Aim::Replace(Wanted { target: target as usize, least_good, fresh })
    }

    /// Whether the tasks of the app are being replaced.
    pub(super) fn is_replacing(&self, state: &AppState) -> bool {
        matches!(self.aim(state), Aim::Replace(_))
    }

    /// How many tasks the app may have at once.
    pub(super) fn most_at_once(&self, state: &AppState) -> usize {
        let target = state.target();
        let replaces = || {
            let deployment = self.deployment_of(state);
            deployment.is_some_and(|deployment| deployment.replaces(&state.app.definition.id))
        };
        let most = |replaces: bool| if replaces { state.app.definition.most_at_once(target) } else { target } as usize;
        match self.aim(state) {
            Aim::Level => most(false),
            Aim::Move(_) => most(true),
            Aim::Replace(_) => most(true),
            Aim::Hold { fresh, stale } => most(state.held.is_none() && replaces()).max(fresh + stale),
        }
    }

    pub(super) fn converge(&mut self, now: Now, app: &AppId) {
        let Some(state) = self.apps.get(app).filter(|state| !Self::is_sentenced(state)) else { return };
        let plan = plan_instances(state, self.aim(state), self.subscription);
        let before = self.version_before(state).filter(|_| plan.add_stale > 0);
        self.stop_instances(now, app, plan.stop);
        self.add_places(now, app, plan.add, None);
        if let Some(before) = before {
            self.add_places(now, app, plan.add_stale, Some(before));
        }
    }

    /// Adds places that wait, the rest of them, if they are very many, when there is time.
    fn add_places(&mut self, now: Now, app: &AppId, count: usize, pinned: Option<Timestamp>) {
        let since = Timestamp::from(now.wall);
        for added in 0..count {
            if added == ADDED_AT_ONCE {
                return self.look_again(now, app);
            }
            let Some(place) = self.next_place(app, since) else { return };
            let id = place.id.clone();
            if let Some(state) = self.apps.get_mut(app) {
                state.instances.insert(Instance { pinned, ..place });
            }
            self.announce_now(&id);
        }
    }

    /// The version of the app before its deployment.
    fn version_before(&self, state: &AppState) -> Option<Timestamp> {
        let change = self.deployment_of(state)?.changes.get(&state.app.definition.id)?;
        change.from.as_ref().map(|from| from.version)
    }

    /// An instance that waits is forgotten, one that has a task is told to end.
    pub(super) fn stop_instance(&mut self, app: &AppId, id: &InstanceId) {
        let Some(state) = self.apps.get_mut(app) else { return };
        let Some(instance) = state.instances.get(id) else { return };
        if instance.task().is_none() {
            state.instances.remove(id);
        } else if instance.goal == Goal::Run {
            if let Some(mut instance) = state.instances.get_mut(id) {
                instance.goal = Goal::Stop;
            }
            self.save(Key::Instance(id.clone()));
        }
    }
}

fn plan_instances(state: &AppState, aim: Aim, subscription: u32) -> InstancePlan {
    let instances = &state.instances;
    let moves = match aim {
        Aim::Level => return level(state, subscription),
        Aim::Move(wanted) => {
            let moves = rolling::replace(heard(moving(instances), instances, subscription), wanted);
            let few = [
                (Class::LeavingBad, moves.stop_stale_bad),
                (Class::LeavingAway, moves.stop_stale_away),
                (Class::LeavingGood, moves.stop_stale_good),
            ];
            let mut stop = instances.victims(&Class::STAYING, moves.stop_fresh);
            stop.extend(few.into_iter().flat_map(|(class, count)| instances.victims(&[class], count)));
            return InstancePlan { stop, add: moves.add_fresh, add_stale: 0 };
        }
        Aim::Replace(wanted) => rolling::replace(heard(standing(instances), instances, subscription), wanted),
        Aim::Hold { fresh, stale } => rolling::hold(held(instances, fresh), fresh, stale),
    };
    let Moves { stop_fresh, stop_stale_bad, stop_stale_away, stop_stale_good, add_fresh, add_stale } = moves;
    let mut stop = instances.victims(&Class::FRESH, stop_fresh);
    // Those on agents that are to be left go first.
    for (leaving, class, count) in [
        (Class::LeavingBad, Class::StaleBad, stop_stale_bad),
        (Class::LeavingAway, Class::StaleAway, stop_stale_away),
        (Class::LeavingGood, Class::StaleGood, stop_stale_good),
    ] {
        let first = instances.victims(&[leaving], count);
        let rest = count - first.len();
        stop.extend(first);
        stop.extend(instances.victims(&[class], rest));
    }
    InstancePlan { stop, add: add_fresh, add_stale }
}

fn standing(instances: &Instances) -> Standing {
    let count = |class: Class| instances.counted(&[class]);
    Standing {
        fresh_good: count(Class::FreshGood),
        fresh_bad: count(Class::FreshBad),
        stale_good: count(Class::StaleGood) + count(Class::LeavingGood),
        stale_bad: count(Class::StaleBad) + count(Class::LeavingBad),
        stale_away: count(Class::StaleAway) + count(Class::LeavingAway),
        unheard: 0,
    }
}

/// The same, when all that matters is whether an instance is on an agent that is to be left.
fn moving(instances: &Instances) -> Standing {
    let count = |class: Class| instances.counted(&[class]);
    Standing {
        fresh_good: count(Class::FreshGood) + count(Class::StaleGood),
        fresh_bad: count(Class::FreshBad) + count(Class::StaleBad) + count(Class::StaleAway),
        stale_good: count(Class::LeavingGood),
        stale_bad: count(Class::LeavingBad),
        stale_away: count(Class::LeavingAway),
        unheard: 0,
    }
}

/// What was good when it was written down, or before the master was away, may not be there any more.
fn heard(standing: Standing, instances: &Instances, subscription: u32) -> Standing {
    let good = standing.fresh_good + standing.stale_good;
    Standing { unheard: good.saturating_sub(instances.heard_on(subscription, &Class::GOOD)), ..standing }
}

/// The same, while everything stays where it is: of whatever configuration those are that are to leave, they fill their places.
fn held(instances: &Instances, fresh: usize) -> Standing {
    let mut standing = standing(instances);
    let missing = fresh.saturating_sub(standing.fresh()).min(instances.counted(&Class::LEAVING));
    standing.fresh_bad += missing;
    standing
}

/// Without a replacement: the instances stay where they are, unless they are to leave. Others take their places first if the app
/// may have more than its target for that; else as many go before as may.
fn level_or_move(state: &AppState) -> Aim {
    if !state.is_moving() {
        return Aim::Level;
    }
    let (target, app) = (state.target(), &state.app.definition);
    let has_room = app.most_at_once(target) > target;
    let least_good = if has_room { target } else { app.least_good(target) };
    Aim::Move(Wanted { target: target as usize, least_good: least_good as usize, fresh: target as usize })
}

/// What brings all instances to the target, whatever their configuration. Good ones go while as many others are heard of as there
/// shall be: of those that are only believed to be good, some may be no more.
fn level(state: &AppState, subscription: u32) -> InstancePlan {
    let (instances, target) = (&state.instances, state.target() as usize);
    let (count, good) = (instances.counted(&Class::ALL), instances.counted(&Class::GOOD));
    let unheard = good.saturating_sub(instances.heard_on(subscription, &Class::GOOD));
    let (surplus, bad) = (count.saturating_sub(target), count - good);
    let may_go = surplus.min(bad + rolling::spare(good, unheard, target));
    let stop = match may_go > bad && target > 0 && is_grouped(state) {
        // Whom to choose takes a look at all of them: one for each that is heard of would be too many.
        true if 2 * (may_go - bad) >= surplus - bad => even_victims(state, may_go),
        true => instances.victims(&Class::ALL, bad),
        false => instances.victims(&Class::ALL, may_go),
    };
    InstancePlan { stop, add: target.saturating_sub(count), add_stale: 0 }
}

fn is_grouped(state: &AppState) -> bool {
    state.app.definition.constraints.iter().any(|constraint| matches!(constraint.rule(), Rule::GroupBy(_)))
}

/// Surplus instances of an app that is to be spread: the bad ones, then those of which there are most in one place.
fn even_victims(state: &AppState, count: usize) -> Vec<InstanceId> {
    let instances = &state.instances;
    let good = instances.counted(&Class::GOOD);
    let bad = instances.counted(&Class::ALL) - good;
    let mut stop = instances.victims(&Class::ALL, count.min(bad));
    let mut places: BTreeMap<Vec<Option<String>>, Vec<InstanceId>> = BTreeMap::new();
    // The last of each list goes first.
    for id in instances.victims(&Class::GOOD, good).into_iter().rev() {
        places.entry(place_of(state, &id)).or_default().push(id);
    }
    while stop.len() < count {
        let Some(most) = places.values_mut().max_by_key(|there| there.len()) else { break };
        let Some(id) = most.pop() else { break };
        stop.push(id);
    }
    stop
}

/// Where an instance is, as far as the app's instances are spread over it.
fn place_of(state: &AppState, id: &InstanceId) -> Vec<Option<String>> {
    let task = state.instances.get(id).and_then(Instance::task);
    let constraints = &state.app.definition.constraints;
    let grouped = constraints.iter().filter(|constraint| matches!(constraint.rule(), Rule::GroupBy(_)));
    let value = |field| chapada_sdk_core::Place::value_of(task?, field).map(|value| value.to_string());
    grouped.map(|constraint| value(constraint.field())).collect()
}
