//! How many instances there should be, which go and how many come: Marathon's scaling and rolling replacement, derived
//! from what is there instead of from what was done so far, so that it resumes anywhere.

use chapada_model::Now;

use super::instances::{Class, Instances};
use super::{AppState, Services};
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
        state.held.is_none() && deployment.is_some_and(|deployment| deployment.replaces(&state.app.definition.id))
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
        let plan = plan_instances(state, self.is_replacing(state));
        for id in plan.stop {
            self.stop_instance(app, &id);
        }
        let since = Timestamp::from(now.wall);
        for _ in 0..plan.add {
            let id = InstanceId::new(app.clone(), self.seed.uuid());
            if let Some(state) = self.apps.get_mut(app) {
                state.instances.insert(Instance::waiting(id, since));
            }
        }
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

fn plan_instances(state: &AppState, replacing: bool) -> InstancePlan {
    let target = state.target() as usize;
    let instances = &state.instances;
    if !replacing {
        return level(instances, &Class::ALL, target);
    }
    let mut plan = level(instances, &Class::FRESH, target);
    let good = instances.counted(&Class::GOOD);
    let least = state.app.definition.upgrade_strategy.least_good(state.target()) as usize;
    plan.stop.extend(instances.victims(&[Class::StaleBad], usize::MAX));
    plan.stop.extend(instances.victims(&[Class::StaleGood], good.saturating_sub(least)));
    plan
}

/// What brings the instances of `classes` to `target`.
fn level(instances: &Instances, classes: &[Class], target: usize) -> InstancePlan {
    let count = instances.counted(classes);
    InstancePlan {
        stop: instances.victims(classes, count.saturating_sub(target)),
        add: target.saturating_sub(count),
    }
}
