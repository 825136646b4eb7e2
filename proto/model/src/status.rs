//! What is said about a task.

use crate::{
    AgentId, ContainerId, ExecutorId, Payload, Reason, Source, TaskId, TaskState, Text, UpdateUuid, Wall,
};

/// One statement about a task. It must be acknowledged exactly when it has a uuid.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TaskStatus {
    /// Which task.
    pub task: TaskId,
    /// Where it is in its life.
    pub state: TaskState,
    /// For people.
    pub message: Option<Text>,
    /// Who says it.
    pub source: Option<Source>,
    /// Why.
    pub reason: Option<Reason>,
    /// Where it runs.
    pub agent: Option<AgentId>,
    /// What runs it.
    pub executor: Option<ExecutorId>,
    /// When it was said.
    pub timestamp: Option<Wall>,
    /// Names the update; absent on what the master says by itself and on answers to reconciliation.
    pub uuid: Option<UpdateUuid>,
    /// What the health check says.
    pub healthy: Option<bool>,
    /// The container it runs in.
    pub container: Option<ContainerId>,
    /// Since when the agent is unreachable.
    pub unreachable_since: Option<Wall>,
    /// An encoded `TaskStatus` with what is not typed here (data, labels, check and container status, limitation); absent
    /// when there is none of it. Where both say something, the typed field counts.
    pub details: Option<Payload>,
}

impl TaskStatus {
    /// A bare statement; everything else is absent.
    pub fn new(task: TaskId, state: TaskState) -> Self {
        Self {
            task,
            state,
            message: None,
            source: None,
            reason: None,
            agent: None,
            executor: None,
            timestamp: None,
            uuid: None,
            healthy: None,
            container: None,
            unreachable_since: None,
            details: None,
        }
    }
}
