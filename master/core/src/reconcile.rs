//! Answers to RECONCILE: statuses without uuid, and silence where an agent may still return.

use chapada_model::{AgentId, FrameworkId, Reason, Source, TaskId, TaskKey, TaskState, TaskStatus, Wall};

use crate::planted::Bug;
use crate::{AgentState, Master, SchedulerEvent, Task};

impl Master {
    pub(crate) fn reconcile(&mut self, framework: &FrameworkId, tasks: Vec<(TaskId, Option<AgentId>)>) {
        let answers: Vec<TaskStatus> = match tasks.is_empty() {
            true => self.books.tasks_of(framework).map(|task| self.latest_of(task)).collect(),
            false => {
                tasks.into_iter().filter_map(|(task, agent)| self.answer(framework, task, agent)).collect()
            }
        };
        for status in answers {
            if self.raises_from_the_dead(framework, &status) {
                continue;
            }
            self.tell_framework(framework, SchedulerEvent::Update(status.into()));
        }
    }

    /// Its agent has ended the task, and the status says that it lives. A former leader may have told the end; the updates that
    /// lead there are on their way, and answer.
    fn raises_from_the_dead(&self, framework: &FrameworkId, status: &TaskStatus) -> bool {
        let key = TaskKey { framework: framework.clone(), task: status.task.clone() };
        let known = self.books.tasks.get(&key);
        known.is_some_and(|task| task.state.is_terminal()) && !status.state.is_terminal()
    }

    /// What was last said of a task that is in the books. Of a newer state, which its agent may be in already, the updates
    /// tell, in order.
    fn latest_of(&self, task: &Task) -> TaskStatus {
        let said = task.latest().map(|status| (**status).clone());
        let said = said.unwrap_or_else(|| TaskStatus::new(task.description.id.clone(), task.state));
        TaskStatus {
            source: Some(Source::Master),
            reason: Some(Reason::Reconciliation),
            message: Some("Reconciliation: Latest task state".into()),
            agent: Some(task.agent.clone()),
            // Of a command task the agent says one; Mesos does not when asked.
            executor: task.executor.clone(),
            uuid: None,
            timestamp: Some(self.now.wall),
            ..said
        }
    }

    /// The answer for one task; none while an agent that may have it has not said so. Source: Mesos' `reconcile`.
    fn answer(&self, framework: &FrameworkId, task: TaskId, agent: Option<AgentId>) -> Option<TaskStatus> {
        let key = TaskKey { framework: framework.clone(), task };
        if let Some(status) = self.books.tasks.get(&key).map(|task| self.latest_of(task)) {
            return Some(status);
        }
        let (state, message, since) = match self.standing_of(agent.as_ref()) {
            Standing::MayReturn if !self.has(Bug::AnsweredTooEarly) => return None,
            Standing::Registered => (TaskState::Gone, "Reconciliation: Task is unknown to the agent", None),
            Standing::Unreachable(since) => {
                (TaskState::Unreachable, "Reconciliation: Agent is unreachable", Some(since))
            }
            Standing::Gone => {
                (TaskState::GoneByOperator, "Reconciliation: Agent was removed by operator", None)
            }
            Standing::Unknown | Standing::MayReturn => {
                (TaskState::Unknown, "Reconciliation: Task is unknown", None)
            }
        };
        Some(TaskStatus {
            source: Some(Source::Master),
            reason: Some(Reason::Reconciliation),
            message: Some(message.into()),
            agent,
            timestamp: Some(self.now.wall),
            unreachable_since: since,
            ..TaskStatus::new(key.task, self.or_lost(framework, state))
        })
    }

    /// An agent that is not in the registry may be one that came after the backup from which the registry was restored: for as long
    /// as agents have to come back to a new leader nothing is said of it, and Mesos says at once that it knows nothing.
    pub(crate) fn standing_of(&self, agent: Option<&AgentId>) -> Standing {
        let Some(agent) = agent else {
            return if self.silent.is_empty() { Standing::Unknown } else { Standing::MayReturn };
        };
        if self.silent.contains_key(agent) {
            return Standing::MayReturn;
        }
        match self.books.agents.get(agent).map(|agent| &agent.state) {
            Some(AgentState::Recovered { .. } | AgentState::Admitting { .. }) => Standing::MayReturn,
            Some(AgentState::Active { .. } | AgentState::Disconnected { .. } | AgentState::Leaving) => {
                Standing::Registered
            }
            Some(AgentState::Unreachable { since }) => Standing::Unreachable(*since),
            Some(AgentState::Gone { .. }) => Standing::Gone,
            None if self.strangers_until.is_some_and(|until| self.now.mono < until) => Standing::MayReturn,
            None => Standing::Unknown,
        }
    }
}

/// What is known of the agent that a task is said to be on.
pub(crate) enum Standing {
    MayReturn,
    Registered,
    Unreachable(Wall),
    Gone,
    Unknown,
}
