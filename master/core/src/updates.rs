//! What agents say: status updates, messages, ends of executors; and the acknowledgements that go back.

use std::sync::Arc;

use chapada_model::{
    AgentId, ExecutorKey, FrameworkId, Payload, TaskId, TaskKey, TaskState, TaskStatus, UpdateUuid,
};

use crate::planted::Bug;
use crate::{AgentCommand, AgentState, LinkId, Master, OperatorEvent, SchedulerEvent, TaskPhase};

impl Master {
    pub(crate) fn on_update(
        &mut self,
        link: LinkId,
        agent: AgentId,
        framework: FrameworkId,
        status: TaskStatus,
        latest: TaskState,
    ) {
        let is_linked = self.books.agents.get(&agent).is_some_and(|a| a.state == AgentState::Active { link });
        if !is_linked {
            self.books.counters.invalid_updates += 1;
            return self
                .drop_with(|| format!("an update from agent {agent}, which is not registered on this link"));
        }
        let key = TaskKey { framework, task: status.task.clone() };
        if self.end_stray(&agent, &key, &status, latest) {
            return;
        }
        self.books.counters.valid_updates += 1;
        let status = Arc::new(TaskStatus { agent: Some(agent.clone()), ..status });
        self.note_update(&agent, &key, &status, latest);
        if self.has(Bug::AcknowledgedEarly) {
            self.acknowledge_to(&agent, &key, status.uuid);
        }
        let is_removed = !self.books.frameworks.contains_key(&key.framework);
        let is_its_own = self.books.tasks.get(&key).is_some_and(|task| task.agent == agent);
        if is_removed {
            // Nobody is left to acknowledge.
            self.acknowledge_to(&agent, &key, status.uuid);
            if latest.is_terminal() && is_its_own {
                self.complete_task(&key);
                self.confirm_if_done(&key.framework, &agent);
            }
        } else {
            let is_last = status.uuid.is_none() && status.state.is_terminal() && is_its_own;
            self.tell_framework(&key.framework, SchedulerEvent::Update(status));
            if is_last {
                // Nobody will acknowledge what has no name.
                self.complete_task(&key);
            }
        }
    }

    /// Puts an update into the books of its task, if the task is in the books.
    fn note_update(&mut self, agent: &AgentId, key: &TaskKey, status: &Arc<TaskStatus>, latest: TaskState) {
        let now = self.now.wall;
        let Some(task) = self.task_mut(key).filter(|task| task.agent == *agent) else { return };
        task.note(status.clone(), now);
        if task.phase == TaskPhase::Live {
            match latest.is_terminal() {
                true => self.end_task(key, latest),
                false => task.state = latest,
            }
        }
        if let Some(task) = self.books.tasks.get(key).cloned() {
            self.tell_operators(OperatorEvent::TaskUpdated { task, status: status.clone() });
        }
    }

    /// Deals with an update of a task that should not be; false when it is another's.
    fn end_stray(&mut self, agent: &AgentId, key: &TaskKey, status: &TaskStatus, latest: TaskState) -> bool {
        let Some(record) = self.agent_mut(agent) else { return false };
        let Some(stray) = record.strays.get(key).cloned() else { return false };
        if latest.is_terminal() {
            record.strays.remove(key);
            self.release(agent, &key.framework, &stray.role, &stray.resources);
        }
        self.acknowledge_to(agent, key, status.uuid);
        true
    }

    fn acknowledge_to(&mut self, agent: &AgentId, key: &TaskKey, uuid: Option<UpdateUuid>) {
        if let Some(uuid) = uuid {
            let (framework, task) = (key.framework.clone(), key.task.clone());
            self.tell_agent(agent, AgentCommand::Acknowledge { framework, task, uuid });
        }
    }

    /// A framework has taken note of an update.
    pub(crate) fn acknowledge(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        task: TaskId,
        uuid: UpdateUuid,
    ) {
        let key = TaskKey { framework: framework.clone(), task };
        let is_connected = self.books.agents.get(agent).is_some_and(|agent| agent.link().is_some());
        if !is_connected {
            return self.drop_with(|| {
                format!("an acknowledgement for task {key}: agent {agent} is not connected and will repeat the update")
            });
        }
        self.acknowledge_to(agent, &key, Some(uuid));
        let Some(task) = self.task_mut(&key).filter(|task| task.agent == *agent) else { return };
        task.unacknowledged.retain(|open| *open != uuid);
        let is_last = task.statuses.iter().any(|s| s.uuid == Some(uuid) && s.state.is_terminal());
        if is_last && task.phase == TaskPhase::Ended {
            self.complete_task(&key);
        }
    }

    pub(crate) fn on_executor_message(&mut self, agent: AgentId, executor: ExecutorKey, data: Payload) {
        let ExecutorKey { framework, executor } = executor;
        self.tell_framework(&framework, SchedulerEvent::Message { agent, executor, data });
    }

    pub(crate) fn on_executor_gone(&mut self, agent: &AgentId, key: ExecutorKey, status: i32) {
        let Some(record) = self.agent_mut(agent) else { return };
        if let Some(executor) = record.executors.remove(&key) {
            let has_others = record.executors.keys().any(|other| other.framework == key.framework);
            self.release(agent, &key.framework, &executor.role, &executor.resources);
            if !has_others {
                self.index.executors_by_framework.remove(&key.framework, agent);
            }
            if !self.books.frameworks.contains_key(&key.framework) {
                self.confirm_if_done(&key.framework, agent);
            }
        }
        let event = SchedulerEvent::Failure {
            agent: agent.clone(),
            executor: Some(key.executor),
            status: Some(status),
        };
        self.tell_framework(&key.framework, event);
    }
}
