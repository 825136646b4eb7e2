//! Executors that are not the built-in command executor: where they are, and what is said to and by those of frameworks'
//! own. Their life is in [`crate::executors`].

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chapada_model::{ExecutorKey, Mono, Payload, Reason, TaskId, TaskKey, TaskState, UpdateUuid, Wall};

use crate::limitation::Limitation;
use crate::record::{ExecutorRecord, FrameworkRecord, TaskRecord};

/// Where an executor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutorPhase {
    /// Built in, so that it has no process of its own. It is over once its tasks are and their ends are acknowledged, or
    /// `until` has passed.
    Pod {
        /// Set while none of its tasks lives.
        until: Option<Mono>,
        /// It takes no more tasks.
        ending: bool,
    },
    /// Read back from the log; what became of its container is not known yet.
    Recovering {
        /// It was asked to end.
        ending: bool,
    },
    /// Its container is being made.
    Launching {
        /// It is to be ended as soon as there is something to end.
        ending: bool,
    },
    /// Its program runs and must subscribe by `until`.
    Registering {
        /// The container's first process.
        pid: u32,
        /// When it is given up.
        until: Mono,
    },
    /// It has subscribed. It may have no stream for a moment, and comes back.
    Running {
        /// The container's first process.
        pid: u32,
    },
    /// The agent was restarted, and it must subscribe again by `until`.
    Returning {
        /// The container's first process.
        pid: u32,
        /// When it is given up.
        until: Mono,
    },
    /// It was asked to end.
    Ending {
        /// The container's first process.
        pid: u32,
        /// When SIGKILL follows, or is repeated.
        force_at: Mono,
        /// What is said of its tasks instead of how it ended.
        why: Option<GivenUp>,
    },
}

/// Why an executor is ended that nobody asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// It did not subscribe in time.
    NotRegistered(Duration),
    /// It did not come back in time after a restart of the agent.
    NotReturned(Duration),
    /// It took more of something than it may.
    Limited,
}

impl ExecutorPhase {
    /// The container's first process, while there is one.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Registering { pid, .. }
            | Self::Running { pid }
            | Self::Returning { pid, .. }
            | Self::Ending { pid, .. } => Some(*pid),
            Self::Pod { .. } | Self::Recovering { .. } | Self::Launching { .. } => None,
        }
    }

    /// Whether it is ended because it did not come in time, or took too much. Nobody asked for that, and no record says so:
    /// should the agent restart before its end, it has its time again.
    pub fn is_given_up(&self) -> bool {
        matches!(self, Self::Ending { why: Some(_), .. })
    }

    /// Whether it was asked to end, or given up, and takes no more tasks.
    pub fn is_ending(&self) -> bool {
        match self {
            Self::Pod { ending, .. } | Self::Recovering { ending } | Self::Launching { ending } => *ending,
            Self::Ending { .. } => true,
            Self::Registering { .. } | Self::Running { .. } | Self::Returning { .. } => false,
        }
    }
}

/// How long executors may take. Source: Mesos' flags of these names and their defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorTimeouts {
    /// From the start of its program to its subscription.
    pub registration: Duration,
    /// From the restart of the agent to its next subscription.
    pub reregistration: Duration,
    /// From SHUTDOWN to SIGKILL, unless the framework says otherwise.
    pub shutdown: Duration,
}

impl Default for ExecutorTimeouts {
    fn default() -> Self {
        Self {
            registration: Duration::from_secs(60),
            reregistration: Duration::from_secs(2),
            shutdown: Duration::from_secs(5),
        }
    }
}

/// Tasks that are sent together once their records are on disk and the executor has a stream.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// Number of the last of their records; 0 when they were read back.
    pub(crate) after: u64,
    pub(crate) tasks: Vec<TaskKey>,
    pub(crate) is_group: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Executor {
    pub(crate) record: Arc<ExecutorRecord>,
    pub(crate) phase: ExecutorPhase,
    /// Tasks that are held for it, ended ones until they are acknowledged.
    pub(crate) tasks: BTreeSet<TaskKey>,
    /// The stream it has.
    pub(crate) stream: Option<u64>,
    /// Whether it ever had one: then a task may have reached it.
    pub(crate) subscribed: bool,
    /// Tasks that were not sent yet, in order.
    pub(crate) queue: VecDeque<Delivery>,
    /// What it took too much of, for which it is ended.
    pub(crate) limitation: Option<Limitation>,
    /// Its updates that are not on disk yet, by the number of their record: it hears of them then.
    pub(crate) unheard: VecDeque<(u64, TaskId, UpdateUuid)>,
}

impl Executor {
    pub(crate) fn new(record: Arc<ExecutorRecord>, phase: ExecutorPhase) -> Self {
        Self {
            record,
            phase,
            tasks: BTreeSet::new(),
            stream: None,
            subscribed: false,
            queue: VecDeque::new(),
            limitation: None,
            unheard: VecDeque::new(),
        }
    }

    pub(crate) fn is_queued(&self, key: &TaskKey) -> bool {
        self.queue.iter().any(|delivery| delivery.tasks.contains(key))
    }
}

/// An executor that subscribes, or comes back.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    /// Which one.
    pub executor: ExecutorKey,
    /// The shell's number for the stream, never used twice by one process.
    pub stream: u64,
    /// The tasks it was sent and has not heard of since.
    pub tasks: Vec<TaskId>,
    /// The updates it sent and has not heard of since.
    pub updates: Vec<Report>,
}

/// What an executor of a framework's own says of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Which task.
    pub task: TaskId,
    /// The executor's name for the update.
    pub uuid: UpdateUuid,
    /// The state; never TASK_STAGING.
    pub state: TaskState,
    /// Why.
    pub reason: Option<Reason>,
    /// For people.
    pub message: String,
    /// When, as the executor says; absent when it does not.
    pub at: Option<Wall>,
    /// The encoded `TaskStatus`.
    pub details: Payload,
}

/// What an executor of a framework's own is told.
#[derive(Clone, Debug, PartialEq)]
pub enum ToExecutor {
    /// Its subscription stands.
    Subscribed {
        /// What was launched.
        executor: Arc<ExecutorRecord>,
        /// Whose it is.
        framework: Arc<FrameworkRecord>,
    },
    /// Run this.
    Launch(Arc<TaskRecord>),
    /// Run these, all or none.
    LaunchGroup(Vec<Arc<TaskRecord>>),
    /// End this.
    Kill {
        /// Which task.
        task: TaskId,
        /// The grace period, when the framework gave one with the kill.
        grace: Option<Duration>,
    },
    /// An update is on disk.
    Acknowledged {
        /// Of which task.
        task: TaskId,
        /// Which update.
        uuid: UpdateUuid,
    },
    /// Bytes from the framework.
    Message(Payload),
    /// End all tasks, then yourself.
    Shutdown,
}

/// Why an executor's call is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecutorRefused {
    /// There is nothing here of that framework.
    #[error("Framework cannot be found")]
    UnknownFramework,
    /// It has no such executor here, or one that is built in.
    #[error("Executor cannot be found")]
    UnknownExecutor,
    /// It must subscribe first.
    #[error("Executor is not subscribed")]
    NotSubscribed,
}
