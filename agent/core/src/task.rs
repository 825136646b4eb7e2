//! One task: what was launched, where it is, what it said.

use std::sync::Arc;
use std::time::Duration;

use chapada_model::{ExecutorId, ExecutorKind, Payload, Reason, Resources, TaskKey, TaskState};

use crate::checks::{Watch, Watching};
use crate::kill::KillCause;
use crate::limitation::Limitation;
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
    pub executor: Option<ExecutorLaunch>,
    /// Time to stop before SIGKILL, unless a kill says otherwise.
    pub kill_grace: Duration,
    /// What it is watched for while it runs.
    pub watch: Watch,
    /// What it and its executor use of what operations have made: dynamic reservations and volumes, allocated to nobody.
    pub made: Resources,
    /// The encoded `TaskInfo`.
    pub info: Payload,
    /// Set when the shell sees that this agent cannot do what the description asks.
    pub refusal: Option<LaunchRefusal>,
}

/// An executor that tasks are launched on.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutorLaunch {
    /// Its id.
    pub id: ExecutorId,
    /// Whose program it is.
    pub kind: ExecutorKind,
    /// The master has it start now. Tasks for one that is thought to run, and does not, are not taken: the master's books
    /// have nothing for another.
    pub is_new: bool,
    /// Time to end after SHUTDOWN before SIGKILL; absent when the framework leaves it to the agent.
    pub shutdown_grace: Option<Duration>,
    /// The encoded `ExecutorInfo`.
    pub info: Payload,
}

/// Tasks that start together or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupLaunch {
    /// Whose tasks they are.
    pub framework: FrameworkRecord,
    /// Their executor.
    pub executor: ExecutorLaunch,
    /// At least one.
    pub tasks: Vec<GroupTask>,
    /// What all of them and the executor use of what operations have made, allocated to nobody.
    pub made: Resources,
    /// Set when the shell sees that this agent cannot do what the descriptions ask.
    pub refusal: Option<LaunchRefusal>,
}

/// One task of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupTask {
    /// Its framework and id.
    pub key: TaskKey,
    /// Time to stop before SIGKILL, unless a kill says otherwise.
    pub kill_grace: Duration,
    /// What it is watched for while it runs.
    pub watch: Watch,
    /// The encoded `TaskInfo`, with its executor.
    pub info: Payload,
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
    /// Why it is to end, once its phase says that it is.
    pub(crate) cause: KillCause,
    /// What it took too much of, for which it is ended.
    pub(crate) limitation: Option<Limitation>,
    pub(crate) watching: Watching,
    pub(crate) stream: UpdateStream,
    /// What is said of its container when it is said to run.
    pub(crate) note: String,
}

impl Task {
    pub(crate) fn new(record: Arc<TaskRecord>, phase: TaskPhase) -> Self {
        let (cause, watching) = (KillCause::default(), Watching::default());
        Self {
            record,
            phase,
            cause,
            limitation: None,
            watching,
            stream: UpdateStream::default(),
            note: String::new(),
        }
    }

    /// Why it is being ended, if it is.
    pub(crate) fn killed(&self) -> Option<KillCause> {
        self.phase.kill().map(|_| self.cause)
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
    /// How many executors are.
    pub(crate) executors: usize,
}

impl Framework {
    pub(crate) fn new(record: Arc<FrameworkRecord>) -> Self {
        Self { record, shut_down: false, tasks: 0, executors: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tasks == 0 && self.executors == 0
    }
}
