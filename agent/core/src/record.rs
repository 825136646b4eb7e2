//! What an agent writes down, and what it is after a restart: the records, applied in order.

use std::sync::Arc;
use std::time::Duration;

use chapada_model::{
    AgentId, ContainerId, ExecutorId, ExecutorKey, ExecutorKind, FrameworkId, OperationKey, OperationStatus,
    Payload, Reason, Resources, Source, TaskId, TaskKey, TaskState, UpdateUuid, Wall,
};

use crate::checks::{CheckStatus, Watch};
use crate::kill::KillCause;

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
    /// An executor was taken on.
    Executor(Arc<ExecutorRecord>),
    /// The executor has subscribed: what it was sent from then on may have reached it.
    ExecutorSubscribed(ExecutorKey),
    /// The executor is to end.
    ExecutorShutdown(ExecutorKey),
    /// The executor is over.
    ExecutorForgotten(ExecutorKey),
    /// A task was taken on.
    Task(Arc<TaskRecord>),
    /// The task is to be ended.
    Kill {
        /// Which one.
        task: TaskKey,
        /// Time to stop before SIGKILL, counted afresh after a restart.
        grace: Duration,
        /// Why.
        cause: KillCause,
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
    /// What runs it.
    pub runner: Runner,
    /// Where it runs: a container of its own, or its executor's.
    pub container: ContainerId,
    /// Time to stop before SIGKILL, unless a kill says otherwise.
    pub kill_grace: Duration,
    /// What it is watched for while it runs.
    pub watch: Watch,
    /// When the agent took it on.
    pub launched: Wall,
    /// The encoded `TaskInfo`.
    pub info: Payload,
}

/// What runs a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runner {
    /// The built-in command executor: the task has a container of its own.
    Command,
    /// An executor of the framework's own, in whose container the task is.
    Custom {
        /// Which one.
        executor: ExecutorId,
        /// The first task of its group, by which the group is known; `None` for a task that was launched by itself.
        group: Option<TaskId>,
    },
    /// The built-in default executor: the task has a container of its own beneath the executor's.
    Pod {
        /// Which one.
        executor: ExecutorId,
        /// The executor's container.
        parent: ContainerId,
        /// The first task of its group, by which the group is known.
        group: TaskId,
    },
}

impl TaskRecord {
    /// Its executor, when it is not the built-in command executor.
    pub fn executor(&self) -> Option<&ExecutorId> {
        match &self.runner {
            Runner::Command => None,
            Runner::Custom { executor, .. } | Runner::Pod { executor, .. } => Some(executor),
        }
    }

    /// The same, with whose it is.
    pub fn executor_key(&self) -> Option<ExecutorKey> {
        let (framework, executor) = (self.key.framework.clone(), self.executor()?.clone());
        Some(ExecutorKey { framework, executor })
    }

    /// Whether an executor of the framework's own has it in hand, so that there is no container to look after.
    pub fn is_delegated(&self) -> bool {
        matches!(self.runner, Runner::Custom { .. })
    }
}

/// An executor, as it was launched.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutorRecord {
    /// Its framework and id.
    pub key: ExecutorKey,
    /// Whose program it is; the default one is built in and has no process.
    pub kind: ExecutorKind,
    /// Where it runs; the containers of a pod's tasks are beneath it.
    pub container: ContainerId,
    /// Time to end after SHUTDOWN before SIGKILL.
    pub shutdown_grace: Duration,
    /// When the agent took it on.
    pub launched: Wall,
    /// The encoded `ExecutorInfo`.
    pub info: Payload,
}

impl ExecutorRecord {
    /// Whether it is the built-in one for task groups.
    pub fn is_pod(&self) -> bool {
        self.kind == ExecutorKind::Default
    }

    /// Whether a task is of this executor, and not of an earlier one of the same name.
    pub(crate) fn has(&self, task: &TaskRecord) -> bool {
        match &task.runner {
            Runner::Command => false,
            Runner::Custom { .. } => task.container == self.container,
            Runner::Pod { parent, .. } => *parent == self.container,
        }
    }
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
    /// What it took too much of, and how much that was; empty when it was not ended for that.
    pub exceeded: Resources,
    /// What its health check says.
    pub healthy: Option<bool>,
    /// What its check found.
    pub check: Option<CheckStatus>,
    /// The encoded `TaskStatus` of an executor of the framework's own, for what is not typed here.
    pub details: Option<Payload>,
}
