//! Everything that can happen to an agent, already parsed and validated.

use std::time::Duration;

use chapada_model::{
    AgentId, ContainerId, ExecutorId, ExecutorKey, FrameworkId, OperationKey, Payload, TaskKey, UpdateUuid,
    Wall,
};

use crate::checks::{Answer, Purpose};
use crate::executor::{Report, Subscription};
use crate::exit::Exit;
use crate::limitation::Limitation;
use crate::operations::Operate;
use crate::record::FrameworkRecord;
use crate::recovery::FoundContainer;
use crate::task::{GroupLaunch, TaskLaunch};

/// Everything that can happen to the agent.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// What the machine holds after the records were read back; the first event after a start.
    Recovered {
        /// Every container that left a trace, running or not.
        found: Vec<FoundContainer>,
        /// The kernel's boot id now.
        boot_id: String,
    },
    /// Everything up to this number of [`crate::Effect::Log`] is on disk.
    Logged {
        /// The number of the last record that is durable.
        through: u64,
    },
    /// A connection to a leader stands; nothing was said on it yet.
    LinkOpened,
    /// The connection is gone.
    LinkLost,
    /// The master said something.
    FromMaster(FromMaster),
    /// The container's first instruction is about to run, or has.
    ContainerStarted {
        /// Which one.
        container: ContainerId,
        /// Its first process, as the host numbers it.
        pid: u32,
        /// What its framework should know of how it was made; empty when there is nothing to say.
        note: String,
    },
    /// The container could not be made; nothing of it is left running.
    LaunchFailed {
        /// Which one.
        container: ContainerId,
        /// What failed, for the framework's author.
        message: String,
    },
    /// The container's processes are all gone.
    ContainerExited {
        /// Which one.
        container: ContainerId,
        /// How it ended.
        exit: Exit,
    },
    /// The container took more of something than it may.
    ContainerLimited {
        /// Which one: a task's, that of a framework's own executor, or of a pod as a whole.
        container: ContainerId,
        /// What of.
        limitation: Box<Limitation>,
    },
    /// What came of a probe; see [`crate::Effect::Probe`].
    Probed {
        /// Whose task's.
        container: ContainerId,
        /// Which of its checks asked.
        purpose: Purpose,
        /// The answer.
        answer: Answer,
    },
    /// An executor of a framework's own has opened a stream; see [`crate::Agent::check_executor`].
    ExecutorSubscribed(Box<Subscription>),
    /// The stream of an executor is gone.
    ExecutorClosed {
        /// Which executor.
        executor: ExecutorKey,
        /// Which stream.
        stream: u64,
    },
    /// An executor of a framework's own says something of a task.
    ExecutorUpdate {
        /// Which executor.
        executor: ExecutorKey,
        /// What it says.
        report: Box<Report>,
    },
    /// An executor sends bytes to its framework, best effort.
    ExecutorSays {
        /// Which executor.
        executor: ExecutorKey,
        /// The bytes.
        data: Payload,
    },
    /// Time has passed; see [`crate::Agent::next_deadline`].
    Tick,
}

/// One message of the master.
#[derive(Clone, Debug, PartialEq)]
pub struct FromMaster {
    /// Of the leadership that sent it.
    pub epoch: u64,
    /// Number of the command on its link, 0 for what is no command.
    pub sequence: u64,
    /// What it wants.
    pub command: Command,
}

/// How an agent is drained: for those who ask it, since the master decides what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentDrain {
    /// The longest time that a task is given from the kill to its end; absent when each has its own.
    pub max_grace: Option<Duration>,
    /// Whether the agent is given up for good once nothing is left.
    pub mark_gone: bool,
    /// Since when.
    pub since: Wall,
}

/// What a master can want of an agent.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// The agent is admitted under this id.
    Welcome {
        /// The id to keep.
        agent: AgentId,
        /// How many completed tasks of each framework the master wants to hear of.
        completed: usize,
    },
    /// The agent's id was marked gone: its tasks end, and it comes back as a new agent.
    Gone,
    /// Starts a task.
    Launch(Box<TaskLaunch>),
    /// Starts tasks together or not at all.
    LaunchGroup(Box<GroupLaunch>),
    /// How the agent is being drained, or was; nothing when it is offered again.
    Drain(Option<AgentDrain>),
    /// Ends a task.
    Kill {
        /// Which one.
        task: TaskKey,
        /// Overrides the task's own grace period.
        grace: Option<Duration>,
    },
    /// The framework has seen an update.
    Acknowledge {
        /// Of which task.
        task: TaskKey,
        /// Which update.
        uuid: UpdateUuid,
    },
    /// Changes what the agent has.
    Operate(Box<Operate>),
    /// What became of an operation has been seen.
    AcknowledgeOperation {
        /// Which operation.
        key: OperationKey,
        /// Which status.
        uuid: UpdateUuid,
    },
    /// Ends an executor and its tasks.
    ShutdownExecutor {
        /// Whose.
        framework: FrameworkId,
        /// Which one; the executor of a command task has the name of its task.
        executor: ExecutorId,
    },
    /// The framework is gone for good: its tasks end, and nobody waits for their updates.
    ShutdownFramework {
        /// Which one.
        framework: FrameworkId,
    },
    /// The framework changed its description.
    UpdateFramework(FrameworkRecord),
    /// Data for an executor; best effort.
    ExecutorMessage {
        /// Whose.
        framework: FrameworkId,
        /// Which one.
        executor: ExecutorId,
        /// The bytes.
        data: Payload,
    },
}
