//! What an agent writes down, and what it is after a restart: the records, applied in order.

use std::sync::Arc;
use std::time::Duration;

use chapada_model::{
    AgentId, ContainerId, ExecutorId, FrameworkId, OperationKey, OperationStatus, Payload, Reason, Resources,
    Source, TaskKey, TaskState, UpdateUuid, Wall,
};

use crate::exit::MemoryExceeded;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The boot id of the kernel that the records after this one speak of.
    Boot {
        /// As `/proc/sys/kernel/random/boot_id` has it.
        boot_id: String,
    },
    /// The highest epoch seen; nothing older is obeyed after it.
    Epoch(u64),
    /// The id that a master gave; `None` once it was marked gone and every task has ended.
    Agent(Option<AgentId>),
    /// A framework with tasks here, or its new description.
    Framework(Arc<FrameworkRecord>),
    /// The framework is gone for good.
    FrameworkShutdown(FrameworkId),
    /// The framework has no task here any more.
    FrameworkForgotten(FrameworkId),
    /// A task was taken on.
    Task(Arc<TaskRecord>),
    /// The task is to be ended.
    Kill {
        /// Which one.
        task: TaskKey,
        /// Time to stop before SIGKILL, counted afresh after a restart.
        grace: Duration,
    },
    /// An update of a task.
    Update {
        /// Of which task.
        task: TaskKey,
        /// What happened.
        update: Arc<Update>,
    },
    /// The framework has seen an update.
    Acknowledged {
        /// Of which task.
        task: TaskKey,
        /// Which update.
        uuid: UpdateUuid,
    },
    /// The task is over, and nobody waits for its updates.
    TaskForgotten(TaskKey),
    /// What operations have made by now: dynamic reservations and volumes.
    Made(Resources),
    /// An operation was done, or failed.
    Operation {
        /// What operations have made by now.
        made: Resources,
        /// What became of it.
        status: Arc<OperationStatus>,
    },
    /// The outcome of an operation was seen.
    OperationAcknowledged(OperationKey),
}

/// A framework, as far as an agent must know it.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameworkRecord {
    /// Its id.
    pub id: FrameworkId,
    /// It understands TASK_KILLING.
    pub knows_killing: bool,
    /// It understands TASK_GONE and TASK_DROPPED; others get TASK_LOST.
    pub partition_aware: bool,
    /// The encoded `FrameworkInfo`.
    pub info: Payload,
}

/// A task, as it was launched.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRecord {
    /// Its framework and id.
    pub key: TaskKey,
    /// Its executor, when it is not the built-in command executor.
    pub executor: Option<ExecutorId>,
    /// Where it runs.
    pub container: ContainerId,
    /// Time to stop before SIGKILL, unless a kill says otherwise.
    pub kill_grace: Duration,
    /// When the agent took it on.
    pub launched: Wall,
    /// The encoded `TaskInfo`.
    pub info: Payload,
}

/// A status update of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// What an acknowledgement names.
    pub uuid: UpdateUuid,
    /// The state it reports.
    pub state: TaskState,
    /// Who says so.
    pub source: Source,
    /// Why, where it is not the command's own doing.
    pub reason: Option<Reason>,
    /// For people; empty when there is nothing to say.
    pub message: String,
    /// When it happened.
    pub at: Wall,
    /// The container's first process, once there is one.
    pub pid: Option<u32>,
    /// The memory limit that was hit.
    pub memory: Option<MemoryExceeded>,
}
