//! What agents say: status updates, messages, ends of executors; and the acknowledgements that go back.

use std::sync::Arc;

use chapada_model::{
    AgentId, ExecutorId, ExecutorKey, FrameworkId, Payload, Reason, TaskId, TaskKey, TaskState, TaskStatus,
    UpdateUuid,
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
        let record = self.books.agents.get(&agent).filter(|a| a.state == AgentState::Active { link });
        let Some(record) = record else {
            self.books.counters.invalid_updates += 1;
            return self
                .drop_with(|| format!("an update from agent {agent}, which is not registered on this link"));
        };
        // The ids of the books are kept on, so that each is stored once.
        let agent = record.id.clone();
        let known = self.books.frameworks.get(&framework).map(|framework| framework.id.clone());
        let is_removed = known.is_none();
        let key = TaskKey { framework: known.unwrap_or(framework), task: status.task.clone() };
        if record.strays.contains_key(&key) {
            return self.end_stray(&agent, &key, &status, latest);
        }
        if self.is_another_s(&agent, &key) {
            return self.pass_over(&agent, &key, status.uuid);
        }
        self.books.counters.valid_updates += 1;
        let mut status = self.with_id_of_books(TaskStatus { agent: Some(agent.clone()), ..status }, &key);
        let latest = match self.books.agents.get(&agent).and_then(|agent| agent.drain.as_ref()) {
            Some(drain) if self.is_killing(&agent) => self.drained_state(drain, &key, latest),
            Some(_) | None => latest,
        };
        status = self.say_drained(&agent, &key, status);
        if is_removed && status.state == TaskState::Killed {
            // Its agent was told to end it, and not why.
            status.reason = status.reason.or(Some(Reason::FrameworkRemoved));
        }
        let status = Arc::new(status);
        self.note_update(&agent, &key, &status, latest);
        if self.has(Bug::AcknowledgedEarly) {
            self.acknowledge_to(&agent, &key, status.uuid);
        }
        let is_its_own = |master: &Self| master.books.tasks.get(&key).is_some_and(|task| task.agent == agent);
        if is_removed {
            // Nobody is left to acknowledge.
            self.acknowledge_to(&agent, &key, status.uuid);
            if latest.is_terminal() && is_its_own(self) {
                self.complete_task(&key);
                self.confirm_if_done(&key.framework, &agent);
            }
        } else {
            let is_last = status.uuid.is_none() && status.state.is_terminal() && is_its_own(self);
            self.own_ends.take(&key.framework, &key.task);
            self.tell_framework(&key.framework, SchedulerEvent::Update(status));
            if is_last {
                // Nobody will acknowledge what has no name.
                self.complete_task(&key);
            }
        }
    }

    /// Whether a task lives on another agent, and this one is not known to have run a former one of its name, of which it may repeat what
    /// it said.
    fn is_another_s(&self, agent: &AgentId, key: &TaskKey) -> bool {
        let lives_elsewhere =
            self.books.tasks.get(key).is_some_and(|task| task.is_live() && task.agent != *agent);
        let ran_one = || {
            let history = self.books.completed_tasks.get(&key.framework);
            let mut former = history.into_iter().flatten();
            former.any(|task| task.description.id == key.task && task.agent == *agent)
        };
        lives_elsewhere && !ran_one()
    }

    /// An agent says something of a task that is not its own. Acknowledged it does not repeat that, should it believe so itself.
    fn pass_over(&mut self, agent: &AgentId, key: &TaskKey, uuid: Option<UpdateUuid>) {
        self.books.counters.invalid_updates += 1;
        self.drop_with(|| {
            format!("an update from agent {agent} of task {key}, which lives on another agent")
        });
        self.acknowledge_to(agent, key, uuid);
    }

    /// The same status with the task's id as the books have it, so that it is stored once. The executor of a command has
    /// the same name.
    fn with_id_of_books(&self, mut status: TaskStatus, key: &TaskKey) -> TaskStatus {
        if let Some(task) = self.books.tasks.get(key) {
            status.task = task.description.id.clone();
            if let Some(executor) = &mut status.executor
                && executor.as_str() == status.task.as_str()
            {
                *executor = ExecutorId::from(status.task.clone());
            }
        }
        status
    }

    /// Puts an update into the books of its task, if the task is in the books.
    fn note_update(&mut self, agent: &AgentId, key: &TaskKey, status: &Arc<TaskStatus>, latest: TaskState) {
        let now = self.now.wall;
        let Some(record) = self.books.tasks.get_mut(key).filter(|task| task.agent == *agent) else { return };
        let task = Arc::make_mut(record);
        task.note(status.clone(), now);
        let mut shown = None;
        if task.is_live() && latest.is_terminal() {
            self.end_task(key, latest);
            self.note_emptier(agent);
        } else {
            if task.is_live() {
                task.state = latest;
            }
            shown = Some(record.clone());
        }
        if let Some(task) = shown.or_else(|| self.books.tasks.get(key).cloned()) {
            self.tell_operators(OperatorEvent::TaskUpdated { task, status: status.clone() });
        }
    }

    /// Deals with an update of a task that should not be.
    fn end_stray(&mut self, agent: &AgentId, key: &TaskKey, status: &TaskStatus, latest: TaskState) {
        if latest.is_terminal()
            && let Some(stray) = self.agent_mut(agent).and_then(|record| record.strays.remove(key))
        {
            self.release(agent, &key.framework, &stray.role, &stray.resources);
            self.note_emptier(agent);
        }
        self.acknowledge_to(agent, key, status.uuid);
    }

    /// In place of a framework that is gone. While that is not durable its agent is to say it again: there may be another leader, who
    /// keeps the framework.
    fn acknowledge_to(&mut self, agent: &AgentId, key: &TaskKey, uuid: Option<UpdateUuid>) {
        if let Some(uuid) = uuid.filter(|_| !self.is_removal_pending(&key.framework)) {
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
        if self.own_ends.acknowledge(framework, &key.task, uuid) {
            // Its agent has it no more, and repeats nothing.
            return;
        }
        let (framework, task) = (key.framework.clone(), key.task.clone());
        if !self.tell_agent(agent, AgentCommand::Acknowledge { framework, task, uuid }) {
            return self.drop_with(|| {
                format!("an acknowledgement for task {key}: agent {agent} is not connected and will repeat the update")
            });
        }
        let Some(task) = self.task_mut(&key).filter(|task| task.agent == *agent) else { return };
        task.unacknowledged.retain(|open| *open != uuid);
        if task.unacknowledged.is_empty() {
            // Most tasks are in this state for most of their life: no memory is kept for it.
            task.unacknowledged = std::collections::VecDeque::new();
        }
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
            self.note_emptier(agent);
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
