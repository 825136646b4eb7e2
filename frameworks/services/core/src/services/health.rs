//! Asks running tasks how they are, and ends those that are not well for too long.

use std::time::Duration;

use chapada_model::{Now, TaskId, TaskState};

use super::{AppState, Failure, Services};
use crate::definition::{AppDefinition, HealthCheck};
use crate::event::{Effect, Published};
use crate::health::{CheckState, NEVER, Probe, turn, verdict};
use crate::id::{AppId, InstanceId};
use crate::instance::{Condition, Goal, Instance, Task};
use crate::launch::reached;
use crate::records::Key;
use crate::timestamp::Timestamp;

/// How much longer than the check's own time-out an answer is waited for before the question is asked again.
const ANSWER_LOST: Duration = Duration::from_secs(30);

/// How long until it is looked again whether the address of a task is known by now.
const ADDRESS_UNKNOWN: Duration = Duration::from_secs(1);

/// Within so long those are asked whose first answer is waited for: an app that changes is to go on within ten seconds.
const HURRIED_WITHIN: Duration = Duration::from_secs(5);

/// So long each of them has to itself, where they are not so many that this would take longer.
const HURRIED_EACH: Duration = Duration::from_micros(500);

/// So many may be asked at once.
const HURRIED_AT_ONCE: u64 = 256;

/// The checks of the definition that a task was launched with.
pub(super) fn checks_of(state: &AppState, version: Timestamp) -> &[HealthCheck] {
    &state.versions.get(&version).unwrap_or(&state.app).definition.health_checks
}

impl Services {
    /// An app that changes stops nobody for the sake of a task whose checks were not answered, and its deployment does not end: those
    /// that wait for their turn to be asked for the first time have it soon. If very many may wait, in all apps, not all at once.
    pub(super) fn hurry(&mut self, now: Now, app: &AppId) {
        let within = match self.wanted > HURRIED_AT_ONCE {
            true => HURRIED_EACH
                .saturating_mul(u32::try_from(self.wanted).unwrap_or(u32::MAX))
                .min(HURRIED_WITHIN),
            false => Duration::ZERO,
        };
        let Some(state) = self.apps.get_mut(app).filter(|state| state.is_changing()) else { return };
        for id in state.instances.patient() {
            let Some(mut instance) = state.instances.get_mut(&id) else { continue };
            let Some(task) = instance.task_mut() else { continue };
            let soon = turn(&task.id, within, now.mono);
            for known in task.health.iter_mut().filter(|known| known.patient) {
                (known.patient, known.due) = (false, known.due.min(soon));
            }
        }
    }

    /// Asks what is due.
    pub(super) fn probe(&mut self, now: Now, app: &AppId) {
        let Some(state) = self.apps.get_mut(app) else { return };
        let AppState { app: current, versions, instances, .. } = state;
        for id in instances.due(now.mono) {
            let instance = instances.get_mut(&id);
            let Some(mut instance) = instance.filter(|instance| instance.goal == Goal::Run) else { continue };
            let Some(task) = instance.task_mut().filter(|task| task.condition == Condition::Running) else {
                continue;
            };
            let definition = &versions.get(&task.version).unwrap_or(current).definition;
            let checks = &definition.health_checks;
            for (index, check) in checks.iter().enumerate() {
                let is_due = |state: &CheckState| state.due != NEVER && now.mono >= state.due;
                if !task.health.get(index).is_some_and(is_due) {
                    continue;
                }
                let wait = match question(definition, task, index, check) {
                    Some(probe) => {
                        self.outbox.push(Effect::Probe(Box::new(probe)));
                        check.timeout_seconds.duration() + ANSWER_LOST
                    }
                    None => ADDRESS_UNKNOWN,
                };
                task.health[index].due = now.mono + wait;
                task.health[index].patient = false;
            }
        }
    }

    pub(super) fn on_probed(&mut self, now: Now, task: &TaskId, check: usize, result: Result<(), String>) {
        let Some(id) = InstanceId::of_task(task.as_str()) else { return };
        let Some(state) = self.apps.get_mut(id.app()) else { return };
        let found = state.instances.get(&id).and_then(Instance::task).filter(|found| found.id == *task);
        let Some(version) = found.map(|task| task.version) else { return };
        let Some(definition) = checks_of(state, version).get(check).cloned() else { return };
        let Some(mut instance) = state.instances.get_mut(&id) else { return };
        let Some(task) = instance.task_mut() else { return };
        let Some(known) = task.health.get_mut(check) else { return };
        let grace = definition.grace_period_seconds.duration().saturating_sub(known.ran_before);
        // Who was well once has had its time, also when another process saw that.
        let in_grace = task.healthy != Some(true) && now.mono < task.since + grace;
        let failed = result.is_err();
        known.note(result, Timestamp::from(now.wall), in_grace);
        let interval = definition.interval_seconds.duration();
        known.due = match failed {
            true => now.mono + interval,
            false => turn(&task.id, interval, now.mono + interval / 2),
        };
        let most = definition.max_consecutive_failures;
        let given_up = most > 0 && known.consecutive_failures >= most;
        let cause = known.last_failure_cause.clone().unwrap_or_default();
        let healthy = verdict(&task.health).or(task.healthy);
        let changed = task.healthy != healthy;
        task.healthy = healthy;
        let task = task.clone();
        drop(instance);
        self.touched.insert(id.app().clone());
        if failed {
            self.publish(Published::CheckFailed { id: id.clone(), version, check: Box::new(definition) });
        }
        if changed {
            self.save(Key::Instance(id.clone()));
            self.publish(Published::Health { id: id.clone(), version, healthy });
        }
        if given_up {
            self.note_failed_task(id.app(), &task, TaskState::Failed);
            self.note_unhealthy(now, id.app(), &task, &cause);
            self.stop_instance(id.app(), &id);
            self.publish(Published::UnhealthyKill { id, cause, task: Box::new(task) });
        }
    }

    /// Keeps why a task is killed, for whoever asks why it is not there any more.
    ///
    /// Source: the words are those of Marathon's `lastTaskFailure`.
    fn note_unhealthy(&mut self, now: Now, app: &AppId, task: &Task, cause: &str) {
        let Some(state) = self.apps.get_mut(app) else { return };
        let message = format!("Task was killed since health check failed. Reason: {cause}");
        state.last_failure = Some(Failure::said(task, TaskState::Killed, &message, now.wall.into()));
        self.save(Key::Failed(app.clone()));
    }
}

/// What to ask; nothing while it is not known where.
fn question(app: &AppDefinition, task: &Task, check: usize, how: &HealthCheck) -> Option<Probe> {
    let (host, port) = reached(app, task, how.port_index.unwrap_or(0) as usize, how.port)?;
    Some(Probe { task: task.id.clone(), check, host, port, how: how.clone() })
}
