//! News of tasks.

use std::net::IpAddr;

use chapada_model::{Now, Reason, TaskId, TaskState, TaskStatus};
use chapada_sdk_core::{Delay, Heard};

use super::instances::Changing;
use super::{AppState, Failure, Services};
use crate::event::{Effect, Published};
use crate::health::verdict;
use crate::id::InstanceId;
use crate::instance::{CheckResult, Condition, Goal, Instance, Phase, Task};
use crate::records::Key;
use crate::timestamp::Timestamp;

/// What an update means for the instance.
pub(super) enum News {
    /// The task is there.
    Alive(Condition),
    /// It has ended, or never began; the name is Marathon's.
    Ended(&'static str),
    /// The master has no record of it.
    Unknown,
}

impl Services {
    pub(super) fn on_update(&mut self, now: Now, status: &TaskStatus) {
        let instance = InstanceId::of_task(status.task.as_str());
        let known = instance.as_ref().filter(|id| self.has_task(id, status)).cloned();
        let heard = self.reconciliation.on_update(now.mono, status);
        match known {
            Some(id) => self.on_known(now, &id, status, heard),
            None => self.on_unknown(instance, status),
        }
        if let (Some(uuid), Some(agent)) = (status.uuid, status.agent.clone()) {
            self.outbox.push(Effect::Acknowledge { task: status.task.clone(), agent, uuid });
        }
    }

    fn has_task(&self, id: &InstanceId, status: &TaskStatus) -> bool {
        let instance = self.apps.get(id.app()).and_then(|state| state.instances.get(id));
        instance.and_then(Instance::task).is_some_and(|task| task.goes_by(&status.task))
    }

    /// A task that is in no record was given up before, or replaced: it must not run. The record of an intent is durable
    /// before its launch is sent, so this is never a launch of ours that we have not read back.
    fn on_unknown(&mut self, id: Option<InstanceId>, status: &TaskStatus) {
        self.reconciliation.forget(&status.task);
        match news(status) {
            News::Alive(Condition::Unreachable | Condition::Killing) | News::Unknown => {}
            News::Alive(_) => {
                self.outbox.push(Effect::Kill { task: status.task.clone(), agent: status.agent.clone() });
            }
            News::Ended(condition) => {
                if let Some(id) = id {
                    self.publish(Published::UnknownTerminated { id, condition });
                }
            }
        }
    }

    /// Takes note of what a status says besides: the task's own addresses, and what its check found.
    pub(super) fn on_observed(&mut self, task: &TaskId, addresses: Vec<IpAddr>, check: Option<CheckResult>) {
        let Some(id) = InstanceId::of_task(task.as_str()) else { return };
        let Some(state) = self.apps.get_mut(id.app()) else { return };
        let AppState { app: current, versions, instances, .. } = state;
        let Some(mut instance) = instances.get_mut(&id) else { return };
        let Some(found) = instance.task_mut().filter(|found| found.goes_by(task)) else { return };
        let definition = &versions.get(&found.version).unwrap_or(current).definition;
        let before = (found.addresses.clone(), found.check);
        if definition.is_in_own_network() && !addresses.is_empty() {
            found.addresses = addresses;
        }
        if definition.check.is_some() {
            found.check = check.or(found.check);
        }
        let changed = before != (found.addresses.clone(), found.check);
        drop(instance);
        if changed {
            self.save(Key::Instance(id.clone()));
            self.touched.insert(id.app().clone());
        }
    }

    fn on_known(&mut self, now: Now, id: &InstanceId, status: &TaskStatus, heard: Heard) {
        let Some(state) = self.apps.get_mut(id.app()) else { return };
        let is_changing = state.is_changing();
        let AppState { app: current, versions, instances, .. } = state;
        let Some(mut instance) = instances.get_mut(id) else { return };
        let Some(task) = instance.task_mut() else { return };
        if task.pod.is_some() {
            drop(instance);
            return self.on_container(now, id, status, heard);
        }
        let news = news(status);
        if matches!(news, News::Alive(_))
            && std::mem::replace(&mut task.heard, self.subscription) != self.subscription
        {
            // Whoever waits for that to go on need wait no more.
            self.touched.extend(is_changing.then(|| id.app().clone()));
        }
        let before = task.clone();
        match news {
            News::Alive(condition) => {
                let checks = &versions.get(&task.version).unwrap_or(current).definition.health_checks;
                let of_agent = checks.iter().position(|check| check.protocol.is_of_agent());
                note_alive(now, task, condition, of_agent, status);
                if before == *task {
                    return;
                }
                let after = task.clone();
                drop(instance);
                self.save(Key::Instance(id.clone()));
                // A master that says STAGING has only heard of the launch: the agent may never hear of it.
                if matches!(condition, Condition::Starting | Condition::Running) {
                    self.confirm_home(id);
                }
                if before.healthy != after.healthy && of_agent.is_some() {
                    let (version, healthy) = (after.version, after.healthy);
                    self.publish(Published::Health { id: id.clone(), version, healthy });
                }
                self.announce(id, after, condition.name(), status);
            }
            News::Unknown if before.condition != Condition::Provisioned && heard == Heard::Doubted => {}
            News::Unknown => {
                drop(instance);
                self.on_ended(now, id, "Unknown", status, before);
            }
            News::Ended(condition) => {
                drop(instance);
                self.on_ended(now, id, condition, status, before);
            }
        }
        self.touched.insert(id.app().clone());
    }

    fn on_ended(
        &mut self,
        now: Now,
        id: &InstanceId,
        condition: &'static str,
        status: &TaskStatus,
        task: Task,
    ) {
        let Some(state) = self.apps.get_mut(id.app()) else { return };
        let Some(instance) = state.instances.get(id) else { return };
        let wanted = instance.goal == Goal::Run;
        self.reconciliation.forget(&status.task);
        if wanted {
            note_failure(now, state, status, &task);
            self.save(Key::Failed(id.app().clone()));
            self.note_failed_task(id.app(), &task, status.state);
        }
        self.end_instance(now, id, &task);
        self.save(Key::Instance(id.clone()));
        self.announce(id, task, condition, status);
        self.announce_now(id);
    }

    /// What ran in the instance has ended: it waits for the next incarnation, or is no more.
    pub(super) fn end_instance(&mut self, now: Now, id: &InstanceId, task: &Task) {
        self.note_freed(id.app(), task);
        self.note_left(now.mono, id);
        let Some(state) = self.apps.get_mut(id.app()) else { return };
        let fresh = task.is_of(state.app.version_info.last_config_change_at);
        let again = |instance: &Changing<'_>| instance.goal == Goal::Run && fresh;
        if let Some(mut instance) = state.instances.get_mut(id).filter(again) {
            instance.incarnation = instance.incarnation.saturating_add(1);
            instance.phase = Phase::Waiting { since: Timestamp::from(now.wall) };
            return;
        }
        state.instances.remove(id);
    }

    fn announce(&mut self, id: &InstanceId, task: Task, condition: &'static str, status: &TaskStatus) {
        let message = status.message.as_deref().unwrap_or_default().to_owned();
        let (app, state) = (id.app().clone(), status.state);
        self.publish(Published::Status { app, task: Box::new(task.clone()), state, message });
        self.announce_placed(id, condition, &task);
    }
}

pub(super) fn news(status: &TaskStatus) -> News {
    match status.state {
        TaskState::Staging => News::Alive(Condition::Staging),
        TaskState::Starting => News::Alive(Condition::Starting),
        TaskState::Running => News::Alive(Condition::Running),
        TaskState::Killing => News::Alive(Condition::Killing),
        TaskState::Unreachable => News::Alive(Condition::Unreachable),
        TaskState::Finished => News::Ended("Finished"),
        TaskState::Failed => News::Ended("Failed"),
        TaskState::Killed => News::Ended("Killed"),
        TaskState::Error => News::Ended("Error"),
        TaskState::Dropped => News::Ended("Dropped"),
        TaskState::Gone | TaskState::GoneByOperator => News::Ended("Gone"),
        TaskState::Unknown => News::Unknown,
        // What masters say to those who do not know of partitions.
        TaskState::Lost => match status.reason {
            Some(Reason::Reconciliation | Reason::AgentRemoved | Reason::AgentDisconnected) => {
                News::Alive(Condition::Unreachable)
            }
            Some(Reason::TaskUnknown) => News::Unknown,
            Some(_) | None => News::Ended("Gone"),
        },
    }
}

fn note_alive(now: Now, task: &mut Task, condition: Condition, of_agent: Option<usize>, status: &TaskStatus) {
    if task.condition != condition {
        task.condition = condition;
        task.since = now.mono;
    }
    if condition != Condition::Running {
        return;
    }
    let at = Timestamp::from(now.wall);
    task.started_at = task.started_at.or(Some(at));
    if task.health.is_empty() {
        task.healthy = status.healthy.or(task.healthy);
    } else if let (Some(check), Some(healthy)) = (of_agent, status.healthy)
        && let Some(known) = task.health.get_mut(check)
    {
        known.note_agent(healthy, status.message.as_deref().unwrap_or_default(), at);
        task.healthy = verdict(&task.health).or(task.healthy);
    }
}

/// Makes the app wait before its next launch when the task's end says that another would end alike.
pub(super) fn note_failure(now: Now, state: &mut AppState, status: &TaskStatus, task: &Task) {
    state.last_failure = Some(Failure::of(task, status, now.wall.into()));
    let own_fault = !matches!(status.state, TaskState::Killed | TaskState::Unknown)
        && !matches!(
            status.reason,
            Some(Reason::InvalidOffers | Reason::MasterDisconnected | Reason::AgentDraining)
        );
    if own_fault {
        let delay = match task.is_of(state.app.version_info.last_config_change_at) {
            true => &mut state.delay,
            false => &mut state.delay_before,
        };
        *delay = Some(Delay::after_failure(*delay, &state.app.definition.delay_rule(), now.mono));
    }
}
