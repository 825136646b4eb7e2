//! What becomes of tasks: ended by word of the agent or the master, lost and found with their agents, forgotten.

use std::collections::BTreeSet;
use std::sync::Arc;

use chapada_model::{AgentId, FrameworkId, Reason, Source, TaskKey, TaskState, TaskStatus, Wall};

use crate::{
    MAX_COMPLETED_TASKS, MAX_STATUSES, MAX_UNACKNOWLEDGED, MAX_UNREACHABLE_TASKS, Master, OperatorEvent,
    SchedulerEvent, Task, TaskPhase,
};

impl Task {
    /// A task that was just accepted or found. `resources` are those of its description, allocated to nobody.
    pub(crate) fn new(
        framework: FrameworkId,
        description: Arc<chapada_model::TaskDescription>,
        resources: chapada_model::Resources,
        agent: AgentId,
        role: chapada_model::Role,
        now: Wall,
    ) -> Self {
        Self {
            framework,
            executor: description.executor.as_ref().map(|executor| executor.id.clone()),
            resources,
            description,
            agent,
            role,
            phase: TaskPhase::Live,
            state: TaskState::Staging,
            statuses: std::collections::VecDeque::new(),
            unacknowledged: std::collections::VecDeque::new(),
            launched: now,
            updated: now,
            finished: None,
            killed: false,
            kill_policy: None,
        }
    }

    /// Remembers what its agent states of it. That is the newest update; should it be unacknowledged, it comes as one
    /// behind the earlier ones, and only then may it be repeated.
    pub(crate) fn note_held(&mut self, status: TaskStatus, now: Wall) {
        let uuid = status.uuid;
        self.note(Arc::new(status), now);
        self.unacknowledged.retain(|open| Some(*open) != uuid);
    }

    /// Remembers what was said of it. The same update twice is remembered once.
    pub(crate) fn note(&mut self, status: Arc<TaskStatus>, now: Wall) {
        self.updated = now;
        if let Some(uuid) = status.uuid {
            if self.unacknowledged.contains(&uuid) {
                return;
            }
            // Known all the same: its agent has stated it, or it was acknowledged. Its place is where it comes as an update.
            self.statuses.retain(|known| known.uuid != Some(uuid));
            if self.unacknowledged.len() < MAX_UNACKNOWLEDGED {
                self.unacknowledged.push_back(uuid);
            }
        }
        self.statuses.push_back(status);
        if self.statuses.len() > MAX_STATUSES {
            self.statuses.pop_front();
        }
    }
}

impl Master {
    /// Ends a task that its agent does not have, and says so.
    pub(crate) fn end_by_master(&mut self, key: &TaskKey, state: TaskState, reason: Reason, message: &str) {
        let state = self.or_lost(&key.framework, state);
        let status = self.status_by_master(key, state, reason, message);
        self.note_within_reach(key);
        let Some(task) = self.task_mut(key) else { return };
        task.state = state;
        task.phase = TaskPhase::Ended;
        *self.books.counters.ended.entry(state).or_default() += 1;
        let said = self.say(key, status);
        self.complete_task(key);
        self.remember_end(key, &said);
    }

    /// The finer state for those who know it, `TASK_LOST` for the others.
    pub(crate) fn or_lost(&self, framework: &FrameworkId, state: TaskState) -> TaskState {
        let knows = self.books.frameworks.get(framework).is_none_or(|f| f.description.is_partition_aware());
        if knows { state } else { TaskState::Lost }
    }

    /// A statement of the master's own: without uuid, so no agent repeats it.
    pub(crate) fn status_by_master(
        &self,
        key: &TaskKey,
        state: TaskState,
        reason: Reason,
        message: &str,
    ) -> TaskStatus {
        let task = self.books.tasks.get(key);
        TaskStatus {
            source: Some(Source::Master),
            reason: Some(reason),
            message: Some(message.into()),
            agent: task.map(|task| task.agent.clone()),
            executor: task.and_then(|task| task.executor.clone()),
            timestamp: Some(self.now.wall),
            ..TaskStatus::new(key.task.clone(), state)
        }
    }

    /// Notes a statement of the master's own and tells the framework and the operators.
    pub(crate) fn say(&mut self, key: &TaskKey, status: TaskStatus) -> Arc<TaskStatus> {
        let (status, now) = (Arc::new(status), self.now.wall);
        if let Some(task) = self.task_mut(key) {
            task.note(status.clone(), now);
            let task = Arc::new(task.clone());
            self.tell_operators(OperatorEvent::TaskUpdated { task, status: status.clone() });
        }
        self.tell_framework(&key.framework, SchedulerEvent::Update(status.clone()));
        status
    }

    /// A live task has ended: what it held is free.
    pub(crate) fn end_task(&mut self, key: &TaskKey, state: TaskState) {
        let now = self.now.wall;
        let Some(task) = self.task_mut(key).filter(|task| task.is_live()) else { return };
        task.phase = TaskPhase::Ended;
        task.state = state;
        task.finished = Some(now);
        let (agent, role, resources) = (task.agent.clone(), task.role.clone(), task.resources.clone());
        if let Some(record) = self.agent_mut(&agent) {
            record.tasks = record.tasks.saturating_sub(1);
        }
        *self.books.counters.ended.entry(state).or_default() += 1;
        self.release(&agent, &key.framework, &role, &resources);
    }

    /// Nothing more happens to the task: it goes to the bounded history of its framework.
    pub(crate) fn complete_task(&mut self, key: &TaskKey) {
        if let Some(state) = self.books.tasks.get(key).filter(|task| task.is_live()).map(|task| task.state) {
            self.end_task(key, state);
        }
        self.note_within_reach(key);
        let Some(task) = self.books.tasks.remove(key) else { return };
        self.index.tasks_by_agent.remove(&task.agent, key);
        self.note_emptier(&task.agent);
        let mut task = Arc::unwrap_or_clone(task);
        task.phase = TaskPhase::Completed;
        task.unacknowledged.clear();
        task.finished = task.finished.or(Some(self.now.wall));
        if self.is_remembered(&key.framework) {
            let history = self.books.completed_tasks.entry(key.framework.clone()).or_default();
            history.push_back(Arc::new(task));
            if history.len() > MAX_COMPLETED_TASKS {
                history.pop_front();
            }
        }
    }

    /// The tasks of an agent that was given up: they may come back, and hold nothing meanwhile. The agent's own books are
    /// already empty.
    pub(crate) fn lose_tasks_of(&mut self, agent: &AgentId, since: Wall) {
        let hostname = self.books.agents.get(agent).map(|agent| agent.description.hostname.clone());
        let message = format!("Agent {} is unreachable", hostname.as_deref().unwrap_or_default());
        let mut frameworks = BTreeSet::new();
        for key in self.index.tasks_by_agent.of(agent) {
            let state = self.or_lost(&key.framework, TaskState::Unreachable);
            let mut status = self.status_by_master(&key, state, Reason::AgentRemoved, &message);
            status.unreachable_since = Some(since);
            let Some(task) = self.task_mut(&key).filter(|task| task.is_live()) else { continue };
            task.phase = TaskPhase::Unreachable;
            task.state = state;
            self.say(&key, status);
            let at = (self.now.wall, key.clone());
            self.index.unreachable_by_framework.insert(&key.framework, at);
            match self.books.frameworks.contains_key(&key.framework) {
                true => drop(frameworks.insert(key.framework)),
                false => self.complete_task(&key),
            }
        }
        for framework in frameworks {
            self.forget_surplus_unreachable(&framework);
        }
    }

    fn forget_surplus_unreachable(&mut self, framework: &FrameworkId) {
        let surplus =
            self.index.unreachable_by_framework.count(framework).saturating_sub(MAX_UNREACHABLE_TASKS);
        let longest = self.index.unreachable_by_framework.iter(framework).take(surplus);
        for (_, key) in longest.cloned().collect::<Vec<_>>() {
            self.complete_task(&key);
        }
    }

    /// To be called before anything changes of a task that may be out of reach and will not be.
    pub(crate) fn note_within_reach(&mut self, key: &TaskKey) {
        if let Some(task) = self.books.tasks.get(key).filter(|task| task.phase == TaskPhase::Unreachable) {
            self.index.unreachable_by_framework.remove(&key.framework, &(task.updated, key.clone()));
        }
    }

    /// A task is back with its agent: its framework hears the state it is in.
    pub(crate) fn tell_returned(&mut self, key: &TaskKey) {
        let Some(task) = self.books.tasks.get(key) else { return };
        let state = task.state;
        let hostname = self.books.agents.get(&task.agent).map(|agent| agent.description.hostname.clone());
        let message = format!("Agent {} has come back", hostname.as_deref().unwrap_or_default());
        let said = task.statuses.iter().rev().find(|status| status.source != Some(Source::Master)).cloned();
        let status = self.status_by_master(key, state, Reason::AgentReregistered, &message);
        let status = match said {
            Some(said) => TaskStatus { healthy: said.healthy, container: said.container.clone(), ..status },
            None => status,
        };
        self.say(key, status);
    }
}
