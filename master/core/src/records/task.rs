//! A task as the books have it.

use std::collections::VecDeque;
use std::sync::Arc;

use chapada_model::{
    AgentId, ExecutorId, FrameworkId, KillPolicy, Resources, Role, TaskDescription, TaskKey, TaskState,
    TaskStatus, UpdateUuid, Wall,
};

/// How many statuses of a task are kept, newest last. Health checks repeat; older ones say nothing more.
pub const MAX_STATUSES: usize = 16;

/// How many unacknowledged updates of a task are counted. The agent keeps them all; this is only shown.
pub const MAX_UNACKNOWLEDGED: usize = 64;

/// What a task holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskPhase {
    /// It holds its resources on a registered agent.
    Live,
    /// Its agent is unreachable; it may come back.
    Unreachable,
    /// It has ended and holds nothing; its last update is not acknowledged.
    Ended,
    /// It has ended and everyone knows.
    Completed,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Whose it is.
    pub framework: FrameworkId,
    /// What it is.
    pub description: Arc<TaskDescription>,
    /// Where it is.
    pub agent: AgentId,
    /// What runs it, when that is an executor of the framework's own.
    pub executor: Option<ExecutorId>,
    /// The role its resources count for.
    pub role: Role,
    /// What it holds while live, allocated to nobody's role in form.
    pub resources: Resources,
    /// What it holds.
    pub phase: TaskPhase,
    /// The newest state that is known of it.
    pub state: TaskState,
    /// What was said of it, newest last; at most [`MAX_STATUSES`].
    pub statuses: VecDeque<Arc<TaskStatus>>,
    /// Updates that its framework has not acknowledged, oldest first; at most [`MAX_UNACKNOWLEDGED`].
    pub unacknowledged: VecDeque<UpdateUuid>,
    /// When it was accepted, or first stated by its agent; one that was over before this master led, when it ended.
    pub launched: Wall,
    /// When something was last said of it.
    pub updated: Wall,
    /// When it ended.
    pub finished: Option<Wall>,
    /// Whether it was asked to end, so that an agent that returns is asked again.
    pub killed: bool,
    /// How gently it was last asked to end, when that was said.
    pub kill_policy: Option<KillPolicy>,
}

impl Task {
    /// Its name in the whole cluster.
    pub fn key(&self) -> TaskKey {
        TaskKey { framework: self.framework.clone(), task: self.description.id.clone() }
    }

    /// What was last said of it.
    pub fn latest(&self) -> Option<&Arc<TaskStatus>> {
        self.statuses.back()
    }

    /// Whether it holds resources.
    pub fn is_live(&self) -> bool {
        self.phase == TaskPhase::Live
    }
}
