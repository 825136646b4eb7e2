//! News of the containers of pods. An instance lives until all of its containers have ended, and one that fails ends the
//! others, as their executor does.

use chapada_model::{Now, TaskStatus};
use chapada_sdk_core::Heard;

use super::updates::{News, news, note_failure};
use super::{PodTermination, Services};
use crate::event::Published;
use crate::id::InstanceId;
use crate::instance::{Condition, Goal, Task};
use crate::pod::{ContainerState, ContainerTask, End};
use crate::records::Key;
use crate::timestamp::Timestamp;

/// How many ended instances of a pod are remembered.
const MAX_TERMINATIONS: usize = 10;

/// What an update of a container changes.
struct ContainerChange {
    before: Task,
    after: Task,
    /// Whether it says that the next incarnation would end alike.
    blamed: bool,
    /// Whether nothing of the instance is there any more.
    over: bool,
}

impl Services {
    /// Takes note of what is said about a container of the instance `id`, which has it.
    pub(super) fn on_container(&mut self, now: Now, id: &InstanceId, status: &TaskStatus, heard: Heard) {
        self.touched.insert(id.app().clone());
        let Some(change) = self.note_container(now, id, status, heard) else { return };
        // A master that says STAGING has only heard of the launch: the agent may never hear of it.
        if matches!(news(status), News::Alive(Condition::Starting | Condition::Running)) {
            self.confirm_home(id);
        }
        if change.blamed
            && let Some(state) = self.apps.get_mut(id.app())
        {
            note_failure(now, state, status, &change.after);
            self.save(Key::Failed(id.app().clone()));
            self.note_failed_task(id.app(), &change.after, status.state);
        }
        if change.over {
            self.note_termination(now, id, &change.after);
            self.end_instance(now, id, &change.after);
        }
        self.save(Key::Instance(id.clone()));
        self.announce_container(id, &change.before, &change.after, status);
        if change.over {
            self.announce_now(id);
        }
    }

    /// What it changes; `None` when it is no news.
    fn note_container(
        &mut self,
        now: Now,
        id: &InstanceId,
        status: &TaskStatus,
        heard: Heard,
    ) -> Option<ContainerChange> {
        let state = self.apps.get_mut(id.app())?;
        let mut instance = state.instances.get_mut(id)?;
        let wanted = instance.goal == Goal::Run;
        let task = instance.task_mut()?;
        let before = task.clone();
        let pod = task.pod.as_mut()?;
        let container = pod.containers.iter_mut().find(|one| one.id == status.task)?;
        if !container.is_alive() {
            return None;
        }
        if matches!(news(status), News::Alive(_)) {
            container.heard = self.subscription;
        }
        let news = note(now, container, status, heard);
        if !container.is_alive() {
            container.heard = 0;
            self.reconciliation.forget(&status.task);
        }
        let bad_end = matches!(container.state, ContainerState::Ended(_)) && !pod.failed;
        pod.failed |= bad_end;
        let over = pod.is_over();
        let blamed = wanted && (bad_end || (over && !pod.failed));
        sum_up(now, task);
        let after = task.clone();
        news.then_some(ContainerChange { before, after, blamed, over })
    }

    fn note_termination(&mut self, now: Now, id: &InstanceId, task: &Task) {
        let Some(state) = self.apps.get_mut(id.app()) else { return };
        let Some(pod) = &task.pod else { return };
        // Those that were killed ended because another did.
        let killed = ContainerState::Ended(End::Killed);
        let ends = pod.containers.iter().filter(|one| matches!(one.state, ContainerState::Ended(_)));
        let first = ends.min_by_key(|one| (one.state == killed, one.since));
        let message = first.map(|one| one.message.clone()).unwrap_or_default();
        let termination = PodTermination {
            instance: id.clone(),
            started_at: task.started_at.unwrap_or(task.staged_at),
            at: Timestamp::from(now.wall),
            message,
            containers: pod.containers.clone(),
        };
        state.terminations.insert(0, termination);
        state.terminations.truncate(MAX_TERMINATIONS);
        self.save(Key::Ended(id.app().clone()));
    }

    fn announce_container(&mut self, id: &InstanceId, before: &Task, after: &Task, status: &TaskStatus) {
        self.publish(Published::Status {
            app: id.app().clone(),
            task: Box::new(Task { id: status.task.clone(), ..after.clone() }),
            state: status.state,
            message: status.message.as_deref().unwrap_or_default().to_owned(),
        });
        let condition = match news(status) {
            News::Ended(name) if after.pod.as_ref().is_some_and(|pod| pod.is_over()) => name,
            News::Unknown if after.pod.as_ref().is_some_and(|pod| pod.is_over()) => "Unknown",
            _ if before.condition == after.condition => "",
            _ => after.condition.name(),
        };
        if !condition.is_empty() {
            self.announce_placed(id, condition, after);
        }
        if before.healthy != after.healthy {
            let (version, healthy) = (after.version, after.healthy);
            self.publish(Published::InstanceHealth { id: id.clone(), version, healthy });
        }
    }
}

/// What the update says about the container itself. Whether that is news.
fn note(now: Now, container: &mut ContainerTask, status: &TaskStatus, heard: Heard) -> bool {
    let at = Timestamp::from(now.wall);
    let state = match news(status) {
        News::Alive(condition) => ContainerState::Alive(condition),
        News::Unknown
            if container.state != ContainerState::Alive(Condition::Provisioned)
                && heard == Heard::Doubted =>
        {
            container.state
        }
        News::Unknown | News::Ended(_) => ContainerState::ended(status.state),
    };
    let moved = state != container.state;
    if moved {
        (container.state, container.since) = (state, at);
        container.message = status.message.as_deref().unwrap_or_default().to_owned();
    }
    let healthy = status.healthy.filter(|_| state == ContainerState::Alive(Condition::Running));
    let other_health = healthy.is_some() && healthy != container.healthy;
    if other_health {
        (container.healthy, container.healthy_since) = (healthy, Some(at));
    }
    moved || other_health
}

/// What the containers say about the instance as a whole.
fn sum_up(now: Now, task: &mut Task) {
    let Some(pod) = &task.pod else { return };
    let healthy = pod.healthy();
    let condition = pod.condition().unwrap_or(task.condition);
    task.healthy = healthy.or(task.healthy);
    if task.condition != condition {
        task.condition = condition;
        task.since = now.mono;
    }
    if condition == Condition::Running {
        task.started_at = task.started_at.or(Some(Timestamp::from(now.wall)));
    }
}
