//! Everything the agent can ask its shell to do. The shell makes no choices of its own.

use std::sync::Arc;
use std::time::Duration;

use chapada_model::{
    AgentId, ContainerId, ExecutorId, ExecutorKey, OperationStatus, Payload, Resources, TaskKey, TaskState,
};

use crate::checks::Purpose;
use crate::executor::ToExecutor;
use crate::record::{ExecutorRecord, FrameworkRecord, Record, TaskRecord, Update};

/// Everything the agent can ask its shell to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Append this to the log; answered by [`crate::Event::Logged`] once it is on disk.
    Log {
        /// Grows by one with each record of this process.
        sequence: u64,
        /// What to write.
        record: Record,
    },
    /// Make the container and start the task in it.
    Launch {
        /// The task.
        task: Arc<TaskRecord>,
        /// Whose it is.
        framework: Arc<FrameworkRecord>,
        /// The executor beneath whose container it is, when it is one of a pod.
        pod: Option<Arc<ExecutorRecord>>,
    },
    /// Make the container of an executor of the framework's own and start its program in it.
    LaunchExecutor {
        /// The executor.
        executor: Arc<ExecutorRecord>,
        /// Tasks that it gets once it has subscribed: the container has room for them.
        tasks: Vec<Arc<TaskRecord>>,
        /// Whose it is.
        framework: Arc<FrameworkRecord>,
    },
    /// These are the tasks of the executor from now on: its container is to have room for them, and for no more.
    Resize {
        /// The executor.
        executor: Arc<ExecutorRecord>,
        /// Its live tasks.
        tasks: Vec<Arc<TaskRecord>>,
    },
    /// Send something on the stream of an executor. One that is gone already is no error.
    ToExecutor {
        /// Which executor.
        executor: ExecutorKey,
        /// Which stream.
        stream: u64,
        /// What to say.
        message: ToExecutor,
    },
    /// End the stream of an executor.
    CloseExecutor {
        /// Which executor.
        executor: ExecutorKey,
        /// Which stream.
        stream: u64,
    },
    /// Pass bytes of an executor on to its framework.
    SendMessage {
        /// Which executor.
        executor: ExecutorKey,
        /// The bytes.
        data: Payload,
    },
    /// Say that an executor is over, or was never started.
    SendExecutorGone {
        /// Which executor.
        executor: ExecutorKey,
        /// As wait(2) gives it; -1 when it never ran.
        status: i32,
    },
    /// Send a signal to the processes of a container. One that is gone already is no error.
    Signal {
        /// Which one.
        container: ContainerId,
        /// What to send.
        signal: Signal,
    },
    /// Ask a running task how it is, as its description says; answered by [`crate::Event::Probed`].
    Probe {
        /// The task.
        task: Arc<TaskRecord>,
        /// The container's first process.
        pid: u32,
        /// Which of its checks asks.
        purpose: Purpose,
        /// How long to wait for an answer; [`crate::Answer::Nothing`] after that. For ever when this is absent.
        timeout: Option<Duration>,
    },
    /// Nobody waits for the answers to probes of this task any more.
    EndProbes {
        /// Its container.
        container: ContainerId,
    },
    /// The end of this container is written down: remove its cgroups and its runtime directory, keep its sandbox.
    Remove {
        /// Which one.
        container: ContainerId,
    },
    /// No record knows this container: kill what runs in it, then remove every trace but the sandbox, which ages.
    Destroy {
        /// Which one.
        container: ContainerId,
    },
    /// State on the link all that the agent holds.
    SendHolding(Holding),
    /// Send an update to the framework.
    SendUpdate {
        /// Of which task.
        task: TaskKey,
        /// Whose, when it is not the built-in command executor's.
        executor: Option<ExecutorId>,
        /// What to say.
        update: Arc<Update>,
        /// The newest state, which is ahead of the update's when acknowledgements are slow.
        latest: TaskState,
    },
    /// Say what became of an operation.
    SendOperation {
        /// What.
        status: Arc<OperationStatus>,
    },
    /// Make directories for these volumes, durably, before anything else is done; those that are there stay as they are.
    MakeVolumes {
        /// The volumes.
        volumes: Resources,
    },
    /// These are all the volumes there are: make the directories that are missing, and remove all others with all that is
    /// in them.
    KeepVolumes {
        /// The volumes.
        volumes: Resources,
        /// Volumes on resources that the agent has no more: leave them as they are.
        absent: Resources,
    },
    /// Tell the master that a command made no sense here.
    Refuse {
        /// The command's number on its link.
        sequence: u64,
        /// Why, for the log and the books.
        reason: String,
    },
    /// Close the link and detect the leader afresh.
    DropLink {
        /// Why, for the log.
        reason: String,
    },
    /// The master's word is durable here and obeyed: the link is in use under this id.
    Registered {
        /// The agent's id.
        agent: AgentId,
        /// The epoch of the master.
        epoch: u64,
        /// How many completed tasks of each framework it wants to hear of.
        completed: usize,
    },
    /// The task is over and acknowledged, and nothing of it is held any more.
    Forgotten {
        /// Which one.
        task: TaskKey,
        /// The container it had.
        container: ContainerId,
    },
}

/// A signal of the two that end a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: please end.
    Terminate,
    /// SIGKILL: end.
    Kill,
}

/// All that an agent holds, as it states it on every connect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holding {
    /// The id, when it was registered before.
    pub agent: Option<AgentId>,
    /// The highest epoch that is written down.
    pub epoch: u64,
    /// Tasks, running or with updates to acknowledge.
    pub tasks: Vec<HeldTask>,
    /// Executors that are not the built-in command executor.
    pub executors: Vec<Arc<ExecutorRecord>>,
    /// The frameworks that they belong to.
    pub frameworks: Vec<Arc<FrameworkRecord>>,
    /// Operations whose outcome is not acknowledged.
    pub operations: Vec<Arc<OperationStatus>>,
    /// All that the agent has, with what operations have made of it; empty when nobody said what it is configured with.
    pub resources: Resources,
}

/// One task that an agent holds.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldTask {
    /// What was launched.
    pub record: Arc<TaskRecord>,
    /// The newest update that is written down.
    pub latest: Option<Arc<Update>>,
    /// The state that was acknowledged last.
    pub acknowledged: Option<TaskState>,
}
