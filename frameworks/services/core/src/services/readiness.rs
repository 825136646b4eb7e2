//! Asks tasks that were started by a deployment, or in place of others that are to leave their agents, whether they can take over.
//! A task that once could is not asked again.

use std::time::Duration;

use chapada_model::{Now, TaskId};

use super::{AppState, Services};
use crate::definition::{AppDefinition, ReadinessCheck};
use crate::event::Effect;
use crate::id::{AppId, InstanceId};
use crate::instance::{Condition, Goal, Task};
use crate::launch::reached;
use crate::readiness::{ReadinessProbe, ReadinessResponse};
use crate::records::Key;

/// How much longer than the check's own time-out an answer is waited for before the question is asked again.
const ANSWER_LOST: Duration = Duration::from_secs(30);

impl Services {
    /// Asks what is due of those that are not ready yet.
    pub(super) fn ask_whether_ready(&mut self, now: Now, app: &AppId) {
        let Some(state) = self.apps.get_mut(app) else { return };
        let AppState { app: current, versions, instances, .. } = state;
        for id in instances.due(now.mono) {
            let instance = instances.get_mut(&id);
            let Some(mut instance) = instance.filter(|instance| instance.goal == Goal::Run) else { continue };
            let waits = |task: &&mut Task| task.condition == Condition::Running && !task.ready;
            let Some(task) = instance.task_mut().filter(waits) else { continue };
            let definition = &versions.get(&task.version).unwrap_or(current).definition;
            task.readiness.resize_with(definition.readiness_checks.len(), Default::default);
            for (index, check) in definition.readiness_checks.iter().enumerate() {
                if !task.readiness[index].ready
                    && now.mono >= task.readiness[index].due
                    && let Some(probe) = question(definition, task, index, check)
                {
                    task.readiness[index].due = now.mono + check.timeout_seconds.duration() + ANSWER_LOST;
                    self.outbox.push(Effect::AskReady(Box::new(probe)));
                }
            }
        }
    }

    pub(super) fn on_readiness(
        &mut self,
        now: Now,
        task: &TaskId,
        check: usize,
        result: Result<ReadinessResponse, String>,
    ) {
        let Some(id) = InstanceId::of_task(task.as_str()) else { return };
        let Some(state) = self.apps.get_mut(id.app()) else { return };
        let AppState { app: current, versions, instances, .. } = state;
        let Some(mut instance) = instances.get_mut(&id) else { return };
        let Some(task) = instance.task_mut().filter(|found| found.id == *task) else { return };
        let definition = &versions.get(&task.version).unwrap_or(current).definition;
        let Some(how) = definition.readiness_checks.get(check) else { return };
        let Some(known) = task.readiness.get_mut(check) else { return };
        let response = result.unwrap_or_else(|cause| ReadinessResponse::none(&cause));
        known.ready |= how.http_status_codes_for_ready.contains(&response.status);
        known.due = now.mono + how.interval_seconds.duration();
        known.response = how.preserve_last_response.then_some(response);
        let now_ready = !task.ready && task.readiness.iter().all(|known| known.ready);
        task.ready |= now_ready;
        drop(instance);
        if now_ready {
            self.save(Key::Instance(id.clone()));
        }
        self.touched.insert(id.app().clone());
    }
}

fn question(
    definition: &AppDefinition,
    task: &Task,
    check: usize,
    how: &ReadinessCheck,
) -> Option<ReadinessProbe> {
    let index = definition.ports().position(|port| port.name == Some(how.port_name.as_str()))?;
    let (host, port) = reached(definition, task, index, None)?;
    Some(ReadinessProbe { task: task.id.clone(), check, host, port, how: how.clone() })
}
