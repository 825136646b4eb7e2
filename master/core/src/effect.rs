//! Everything the master can ask its shell to do. The shell executes effects in order and makes no choices of its own.

use std::sync::Arc;

use chapada_model::{
    AgentId, ExecutorDescription, ExecutorId, FrameworkDescription, FrameworkId, KillPolicy, OfferId,
    OperationKey, OperationStatus, Payload, Reason, Role, TaskDescription, TaskId, TaskState, TaskStatus,
    Text, UpdateUuid, Wall,
};

use crate::draining::Drain;
use crate::{Agent, Framework, InverseOffer, LinkId, Offer, OfferOperation, RegistryChange, StreamId, Task};

/// Names one registry change until it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Why a subscription ends or cannot be, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// It makes no sense or is not allowed; the same again is refused again.
    InvalidSubscription,
    /// The framework was removed: its id is of no use any more.
    FrameworkRemoved,
    /// Another subscription of the same framework took its place.
    FrameworkFailedOver,
}

/// Something for the shell to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send an event on a framework's stream.
    ToFramework {
        /// Whose stream it is.
        framework: FrameworkId,
        /// The stream.
        stream: StreamId,
        /// The event.
        event: SchedulerEvent,
    },
    /// Answer a subscription with an ERROR event and end the stream: there is no framework to speak of.
    RefuseStream {
        /// The stream.
        stream: StreamId,
        /// What kind of refusal it is.
        code: ErrorCode,
        /// Why.
        message: Text,
    },
    /// End a stream after what was sent on it before.
    CloseStream {
        /// The stream.
        stream: StreamId,
    },
    /// Send a command over an agent's link.
    ToAgent {
        /// The link.
        link: LinkId,
        /// Whose link it is; absent in a refusal of one that has no id.
        agent: Option<AgentId>,
        /// The command.
        command: AgentCommand,
    },
    /// End a link after what was sent on it before.
    CloseLink {
        /// The link.
        link: LinkId,
    },
    /// Make a change durable, in the order of tickets, then send [`Event::Recorded`](crate::Event::Recorded). When that
    /// is impossible this master must stop leading.
    Record {
        /// To be named in the answer.
        ticket: Ticket,
        /// The change.
        change: RegistryChange,
    },
    /// Tell those who follow the cluster.
    Operator(OperatorEvent),
    /// Something was passed over; a line for the log.
    Dropped {
        /// What, and why.
        what: String,
    },
    /// Something that an operator should know; a line for the log.
    Warn {
        /// What, why, and what to do.
        what: String,
    },
}

/// An event for a scheduler.
#[derive(Clone, Debug, PartialEq)]
pub enum SchedulerEvent {
    /// First on each stream. The heartbeat follows at once; heartbeats are the shell's.
    Subscribed,
    /// Resources the framework may use.
    Offers(Vec<Arc<Offer>>),
    /// An offer is no longer good.
    Rescind(OfferId),
    /// Agents that the framework is asked to leave.
    InverseOffers(Vec<Arc<InverseOffer>>),
    /// It is not asked to leave any more.
    RescindInverseOffer(OfferId),
    /// News of a task; to be acknowledged when it has a uuid.
    Update(Arc<TaskStatus>),
    /// News of a task whose id may be none, so that it cannot be an [`Update`](Self::Update). Source is the master.
    UpdateMalformed {
        /// The id as the framework gave it.
        task_id: Text,
        /// The agent as the framework gave it.
        agent_id: Text,
        /// What became of it.
        state: TaskState,
        /// Why.
        reason: Reason,
        /// For the framework's author.
        message: Text,
        /// When.
        timestamp: Wall,
    },
    /// News of an operation; to be acknowledged when it has a uuid.
    UpdateOperation(Arc<OperationStatus>),
    /// An operation is in error because its id is none, so that this cannot be an
    /// [`UpdateOperation`](Self::UpdateOperation). Never to be acknowledged.
    OperationMisnamed {
        /// The id as the framework gave it.
        id: Text,
        /// For the framework's author.
        message: Text,
    },
    /// Bytes from an executor.
    Message {
        /// Where it runs.
        agent: AgentId,
        /// Who.
        executor: ExecutorId,
        /// The bytes.
        data: Payload,
    },
    /// An agent is gone, or an executor when one is named.
    Failure {
        /// The agent.
        agent: AgentId,
        /// The executor.
        executor: Option<ExecutorId>,
        /// How the executor ended, as wait(2) gives it.
        status: Option<i32>,
    },
    /// The subscription is over; [`Effect::CloseStream`] follows.
    Error {
        /// What kind of end it is.
        code: ErrorCode,
        /// Why.
        message: Text,
    },
}

/// A command for an agent, or the answer to its hello.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentCommand {
    /// It is registered under this id.
    Welcome {
        /// The id to keep.
        agent: AgentId,
        /// How many completed tasks of each framework are wanted of it; none when they are known.
        completed: u32,
    },
    /// It is not registered; [`Effect::CloseLink`] follows.
    Refused {
        /// What kind of refusal.
        reason: RefusedReason,
        /// For the operator.
        message: Text,
    },
    /// Start a task. The shell writes `role` into `allocation_info` of the task's (and its executor's) resources where
    /// they say nothing, so that the agent can state it later.
    Launch {
        /// Whose it is.
        framework: Arc<FrameworkDescription>,
        /// What it is.
        task: Arc<TaskDescription>,
        /// The role its resources count for.
        role: Role,
        /// Its executor starts with it.
        is_first: bool,
    },
    /// Start tasks together or not at all. The shell writes `role` as with a launch.
    LaunchGroup {
        /// Whose they are.
        framework: Arc<FrameworkDescription>,
        /// Their executor.
        executor: Arc<ExecutorDescription>,
        /// What they are.
        tasks: Vec<Arc<TaskDescription>>,
        /// The role their resources count for.
        role: Role,
        /// Their executor starts with them.
        is_first: bool,
    },
    /// How it is being drained, or was, for whoever asks the agent; nothing when it is offered again.
    Drain {
        /// How, and since when.
        drain: Option<Drain>,
    },
    /// End a task.
    Kill {
        /// Whose.
        framework: FrameworkId,
        /// Which.
        task: TaskId,
        /// How gently.
        policy: Option<KillPolicy>,
    },
    /// An update has arrived and need not be repeated.
    Acknowledge {
        /// Whose.
        framework: FrameworkId,
        /// Which task.
        task: TaskId,
        /// Which update.
        uuid: UpdateUuid,
    },
    /// Do an operation: its conversion, after what was sent before and before what comes after.
    Operate {
        /// Which; its conversion is there.
        operation: Arc<OfferOperation>,
    },
    /// What became of an operation has arrived and need not be repeated.
    AcknowledgeOperation {
        /// Which operation.
        key: OperationKey,
        /// Which status.
        uuid: UpdateUuid,
    },
    /// Bytes for an executor.
    ExecutorMessage {
        /// Whose.
        framework: FrameworkId,
        /// Which executor.
        executor: ExecutorId,
        /// The bytes.
        data: Payload,
    },
    /// End an executor and its tasks.
    ShutdownExecutor {
        /// Whose.
        framework: FrameworkId,
        /// Which executor.
        executor: ExecutorId,
    },
    /// The framework is gone for good: end all it has. Its updates are acknowledged by the master from now on.
    ShutdownFramework {
        /// Which.
        framework: FrameworkId,
    },
    /// The framework says something new about itself.
    UpdateFramework {
        /// What.
        framework: Arc<FrameworkDescription>,
    },
}

/// Why an agent was not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedReason {
    /// Its id was given up by an operator; it must end its tasks and come back as a new agent.
    Gone,
    /// Another live agent has its id.
    IdInUse,
    /// What it states cannot be.
    Invalid,
    /// Its machine is down for maintenance.
    MachineDown,
}

/// News for those who follow the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum OperatorEvent {
    /// A task is in the books.
    TaskAdded(Arc<Task>),
    /// A task has a new state or status.
    TaskUpdated {
        /// The task as it is now.
        task: Arc<Task>,
        /// What was said.
        status: Arc<TaskStatus>,
    },
    /// An agent is registered, for the first time or again.
    AgentAdded(Arc<Agent>),
    /// An agent is unreachable or gone.
    AgentRemoved(AgentId),
    /// A framework is subscribed for the first time.
    FrameworkAdded(Arc<Framework>),
    /// A framework came back, left, or changed.
    FrameworkUpdated(Arc<Framework>),
    /// A framework is removed.
    FrameworkRemoved(Arc<Framework>),
}
