//! One task: what was launched, where it is, what it said.

use std::sync::Arc;
use std::time::Duration;

use chapada_model::{ExecutorId, Payload, Reason, TaskKey, TaskState};

use crate::phase::TaskPhase;
use crate::record::{FrameworkRecord, TaskRecord};
use crate::stream::UpdateStream;

/// A launch, as the master sends it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskLaunch {
    /// Whose task it is.
    pub framework: FrameworkRecord,
    /// Its framework and id.
    pub key: TaskKey,
    /// Its executor, when it is not the built-in command executor.
    pub executor: Option<ExecutorId>,
    /// Time to stop before SIGKILL, unless a kill says otherwise.
    pub kill_grace: Duration,
    /// The encoded `TaskInfo`.
    pub info: Payload,
    /// Set when the shell sees that this agent cannot do what the description asks.
    pub refusal: Option<LaunchRefusal>,
}

/// Why a task is not started; it ends with this at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchRefusal {
    /// TASK_ERROR for a description that no attempt can make work.
    pub state: TaskState,
    /// What kind of trouble.
    pub reason: Reason,
    /// Names the field and the remedy.
    pub message: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) record: Arc<TaskRecord>,
    pub(crate) phase: TaskPhase,
    pub(crate) stream: UpdateStream,
}

impl Task {
    pub(crate) fn new(record: Arc<TaskRecord>, phase: TaskPhase) -> Self {
        Self { record, phase, stream: UpdateStream::default() }
    }

    /// Whether it was ever reported to have a process.
    pub(crate) fn has_run(&self) -> bool {
        self.stream.newest().is_some_and(|update| update.pid.is_some())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Framework {
    pub(crate) record: Arc<FrameworkRecord>,
    /// Gone for good: its tasks end, and nobody waits for their updates.
    pub(crate) shut_down: bool,
    /// How many tasks are held for it.
    pub(crate) tasks: usize,
}
