//! Tells whoever follows events what became of an instance, in Marathon's words for its condition.

use chapada_model::AgentId;

use super::Services;
use crate::event::Published;
use crate::id::InstanceId;
use crate::instance::Task;
use crate::timestamp::Timestamp;

/// It waits for an offer.
const SCHEDULED: &str = "Scheduled";
/// Its agent is out of reach for so long that another instance takes its place.
const UNREACHABLE_INACTIVE: &str = "UnreachableInactive";

impl Services {
    /// The instance and its task are in this condition.
    pub(super) fn announce_placed(&mut self, id: &InstanceId, condition: &'static str, task: &Task) {
        let place = Some((task.agent.clone(), task.hostname.clone()));
        self.announce_condition(id.clone(), condition, task.version, place);
    }

    /// The same, of the task that the instance has now, if any.
    pub(super) fn announce_now(&mut self, id: &InstanceId) {
        let Some(state) = self.apps.get(id.app()) else { return };
        let Some(instance) = state.instances.get(id) else { return };
        match instance.task().cloned() {
            Some(task) => self.announce_placed(id, task.condition.name(), &task),
            None => {
                let version = instance.pinned.unwrap_or(state.app.version);
                self.announce_condition(id.clone(), SCHEDULED, version, None);
            }
        }
    }

    /// Instances that count no more since time has passed.
    pub(super) fn announce_lapsed(&mut self, lapsed: Vec<InstanceId>) {
        for id in lapsed {
            let state = self.apps.get(id.app());
            let task = state.and_then(|state| state.instances.get(&id)?.task().cloned());
            if let Some(task) = task {
                self.announce_placed(&id, UNREACHABLE_INACTIVE, &task);
            }
        }
    }

    fn announce_condition(
        &mut self,
        id: InstanceId,
        condition: &'static str,
        version: Timestamp,
        place: Option<(AgentId, String)>,
    ) {
        self.publish(Published::Instance { id, condition, version, place });
    }
}
