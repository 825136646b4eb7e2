//! Kills what is to go, again and again until it is heard to be gone.

use chapada_model::Now;

use super::Services;
use super::settle::KILL_RETRY;
use crate::event::Effect;
use crate::id::AppId;
use crate::instance::{Goal, Instance, Task};

impl Services {
    pub(super) fn send_kills(&mut self, now: Now, app: &AppId) {
        let Some(state) = self.apps.get_mut(app).filter(|_| self.connected) else { return };
        let ends = |instance: &&mut Instance| {
            instance.goal == Goal::Stop || instance.task().is_some_and(Task::has_failed_in_part)
        };
        let stopping = state.instances.values_mut().filter(ends);
        for task in stopping.filter_map(Instance::task_mut) {
            if task.kill_sent.is_none_or(|sent| now.mono >= sent + KILL_RETRY) {
                task.kill_sent = Some(now.mono);
                for id in task.live_ids() {
                    self.outbox.push(Effect::Kill { task: id.clone(), agent: Some(task.agent.clone()) });
                }
            }
        }
    }
}
