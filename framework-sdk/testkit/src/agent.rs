//! A simulated agent: its tasks, and the updates that it sends until each is acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chapada_model::{AgentId, Attributes, Mono, Resources, TaskId, TaskState, TaskStatus, Text, UpdateUuid};

/// From the arrival of a launch or a kill to the update that says so.
const AT_ONCE: Duration = Duration::from_millis(50);
/// Between two tries to have an update acknowledged.
pub(crate) const RESEND_EVERY: Duration = Duration::from_secs(10);

pub(crate) struct Agent {
    pub(crate) hostname: Text,
    pub(crate) total: Resources,
    pub(crate) attributes: Attributes,
    /// How it stands with the leading master.
    pub(crate) standing: Standing,
    pub(crate) tasks: BTreeMap<TaskId, Task>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Registered,
    /// The master that leads has not heard of it yet; it will.
    Returning(Mono),
    /// The master has declared it unreachable.
    Unreachable,
}

pub(crate) struct Task {
    pub(crate) resources: Resources,
    pub(crate) state: TaskState,
    /// What becomes of it next, and when.
    next: Option<(Mono, TaskState)>,
    pub(crate) updates: VecDeque<Update>,
}

/// An update until it is acknowledged.
pub(crate) struct Update {
    pub(crate) status: TaskStatus,
    /// When it was last sent, and how often on this subscription.
    pub(crate) sent: Option<Mono>,
    pub(crate) tries: u32,
}

impl Agent {
    pub(crate) fn free(&self) -> Resources {
        let live = self.tasks.values().filter(|task| task.is_live());
        live.fold(self.total.clone(), |free, task| free.checked_sub(&task.resources).unwrap_or_default())
    }

    pub(crate) fn launch(&mut self, now: Mono, id: TaskId, resources: Resources) {
        let next = Some((now + AT_ONCE, TaskState::Running));
        let task = Task { resources, state: TaskState::Staging, next, updates: VecDeque::new() };
        self.tasks.insert(id, task);
    }

    /// False when it has no such task that lives.
    pub(crate) fn end(&mut self, now: Mono, id: &TaskId, state: TaskState) -> bool {
        match self.tasks.get_mut(id).filter(|task| task.is_live()) {
            Some(task) => {
                task.next = Some((now + AT_ONCE, state));
                true
            }
            None => false,
        }
    }

    /// Lets time pass. `number` gives each update its name.
    pub(crate) fn pass_time(&mut self, now: Mono, own: &AgentId, number: &mut u64) {
        for (id, task) in &mut self.tasks {
            if let Some((_, state)) = task.next.take_if(|(at, _)| *at <= now) {
                task.state = state;
                *number += 1;
                let mut uuid = [0; 16];
                uuid[8..].copy_from_slice(&number.to_be_bytes());
                let status = TaskStatus {
                    agent: Some(own.clone()),
                    uuid: Some(UpdateUuid(uuid)),
                    ..TaskStatus::new(id.clone(), state)
                };
                task.updates.push_back(Update { status, sent: None, tries: 0 });
            }
        }
    }

    /// The updates that are due to be sent, one for each task.
    pub(crate) fn due_updates(&mut self, now: Mono) -> impl Iterator<Item = &mut Update> {
        let heads = self.tasks.values_mut().filter_map(|task| task.updates.front_mut());
        heads.filter(move |update| update.sent.is_none_or(|sent| now >= sent + RESEND_EVERY))
    }

    /// A new subscription hears of everything that is not acknowledged anew.
    pub(crate) fn forget_tries(&mut self) {
        for update in self.tasks.values_mut().flat_map(|task| &mut task.updates) {
            (update.sent, update.tries) = (None, 0);
        }
    }

    /// False when it waits for no such acknowledgement.
    pub(crate) fn acknowledge(&mut self, id: &TaskId, uuid: UpdateUuid) -> bool {
        let Some(task) = self.tasks.get_mut(id) else { return false };
        let known = task.updates.pop_front_if(|update| update.status.uuid == Some(uuid)).is_some();
        if task.updates.is_empty() && !task.is_live() {
            self.tasks.remove(id);
        }
        known
    }
}

impl Task {
    pub(crate) fn is_live(&self) -> bool {
        !self.state.is_terminal()
    }
}
