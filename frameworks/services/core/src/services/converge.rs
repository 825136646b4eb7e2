//! How many instances there should be, which go and how many come: Marathon's scaling and rolling replacement, derived
//! from what is there instead of from what was done so far, so that it resumes anywhere.

use chapada_model::Now;

use super::{AppState, Services};
use crate::definition::KillSelection;
use crate::id::{AppId, InstanceId};
use crate::instance::{Goal, Instance};
use crate::records::Key;
use crate::timestamp::Timestamp;

/// What to change about an app's instances.
#[derive(Debug, Default, PartialEq)]
struct InstancePlan {
    stop: Vec<InstanceId>,
    add: usize,
}

impl Services {
    /// Whether the tasks of `app` are being replaced.
    pub(super) fn is_replacing(&self, state: &AppState) -> bool {
        let deployment = state.deployment.and_then(|id| self.deployments.get(&id));
        deployment.is_some_and(|deployment| deployment.replaces(&state.app.definition.id))
    }

    /// How many tasks the app may have at once.
    pub(super) fn most_at_once(&self, state: &AppState) -> usize {
        let target = state.target();
        let most = match self.is_replacing(state) {
            true => state.app.definition.upgrade_strategy.most_at_once(target),
            false => target,
        };
        most as usize
    }

    pub(super) fn converge(&mut self, now: Now, app: &AppId) {
        let Some(state) = self.apps.get(app) else { return };
        let plan = plan_instances(state, self.is_replacing(state), now);
        for id in plan.stop {
            self.stop_instance(app, &id);
        }
        let since = Timestamp::from(now.wall);
        for _ in 0..plan.add {
            let id = InstanceId::new(app.clone(), self.seed.uuid());
            if let Some(state) = self.apps.get_mut(app) {
                state.instances.insert(id.clone(), Instance::waiting(id, since));
            }
        }
    }

    /// An instance that waits is forgotten, one that has a task is told to end.
    pub(super) fn stop_instance(&mut self, app: &AppId, id: &InstanceId) {
        let Some(state) = self.apps.get_mut(app) else { return };
        let Some(instance) = state.instances.get_mut(id) else { return };
        if instance.task().is_none() {
            state.instances.remove(id);
        } else if instance.goal == Goal::Run {
            instance.goal = Goal::Stop;
            self.save(Key::Instance(id.clone()));
        }
    }
}

fn plan_instances(state: &AppState, replacing: bool, now: Now) -> InstancePlan {
    let target = state.target() as usize;
    let counted: Vec<&Instance> =
        state.instances.values().filter(|instance| state.counts(instance, now.mono)).collect();
    if !replacing {
        return level(&counted, target, state.app.definition.kill_selection);
    }
    let since = state.app.version_info.last_config_change_at;
    let (fresh, stale): (Vec<&Instance>, Vec<&Instance>) =
        counted.iter().copied().partition(|instance| instance.is_fresh(since));
    let mut plan = level(&fresh, target, state.app.definition.kill_selection);
    let good = counted.iter().filter(|instance| instance.is_good()).count();
    let least = state.app.definition.upgrade_strategy.least_good(state.target()) as usize;
    let (good_stale, bad_stale): (Vec<&Instance>, Vec<&Instance>) =
        stale.into_iter().partition(|instance| instance.is_good());
    plan.stop.extend(bad_stale.iter().map(|instance| instance.id.clone()));
    let may_go = good.saturating_sub(least);
    plan.stop.extend(victims(&good_stale, may_go, state.app.definition.kill_selection));
    plan
}

/// What brings `instances` to `target`.
fn level(instances: &[&Instance], target: usize, selection: KillSelection) -> InstancePlan {
    InstancePlan {
        stop: victims(instances, instances.len().saturating_sub(target), selection),
        add: target.saturating_sub(instances.len()),
    }
}

/// Which `count` of `instances` go: those that wait first, then the least far on, then by age.
fn victims(instances: &[&Instance], count: usize, selection: KillSelection) -> Vec<InstanceId> {
    let mut order: Vec<&Instance> = instances.to_vec();
    order.sort_by_key(|instance| {
        let staged = instance.task().map_or(0, |task| task.staged_at.millis());
        let age = match selection {
            KillSelection::YoungestFirst => u64::MAX - staged,
            KillSelection::OldestFirst => staged,
        };
        (instance.task().map(|task| task.condition), age)
    });
    order.into_iter().take(count).map(|instance| instance.id.clone()).collect()
}
