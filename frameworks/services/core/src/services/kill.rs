//! Kills what is to go, again and again until it is heard to be gone.

use chapada_model::Now;

use super::Services;
use crate::event::Effect;
use crate::id::AppId;

impl Services {
    pub(super) fn send_kills(&mut self, now: Now, app: &AppId) {
        let retry = self.settings.patience.kill_retry;
        let Some(state) = self.apps.get_mut(app).filter(|_| self.connected) else { return };
        for id in state.instances.due(now.mono) {
            let instance = state.instances.get_mut(&id).filter(|instance| instance.is_ending());
            let Some(mut instance) = instance else { continue };
            let Some(task) = instance.task_mut() else { continue };
            if task.kill_sent.is_none_or(|sent| now.mono >= sent + retry) {
                task.kill_sent = Some(now.mono);
                task.kills = task.kills.saturating_add(1);
                for id in task.live_ids() {
                    self.outbox.push(Effect::Kill { task: id.clone(), agent: Some(task.agent.clone()) });
                }
            }
        }
    }
}
