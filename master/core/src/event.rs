//! Everything that can happen to the master, already parsed.

use std::net::IpAddr;
use std::sync::Arc;

use chapada_model::{
    AgentDescription, AgentId, ExecutorDescription, ExecutorKey, FrameworkDescription, FrameworkId, Mono,
    OperationStatus, Payload, Role, TaskDescription, TaskState, TaskStatus,
};

use crate::{Call, Caller, OfferConstraints, StreamId, Ticket};

/// Names one connection of an agent. The shell makes a new one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Something that happened. Calls of frameworks come through [`Master::apply_call`](crate::Master::apply_call), which
/// gives a verdict; [`Event::Call`] is the same for those who do not wait for one.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A framework subscribes; answered by `Subscribed` or `Error` on its stream, perhaps after a record is written.
    Subscribe {
        /// Made by the shell; everything for this subscription is sent there.
        stream: StreamId,
        /// What it says about itself; `id` is set when it comes back.
        framework: FrameworkDescription,
        /// The roles in which it wants no offers for now.
        suppressed: Vec<Role>,
        /// Which agents it wants to be offered at all.
        constraints: Arc<OfferConstraints>,
    },
    /// A framework's stream is gone, whoever ended it.
    StreamClosed {
        /// The stream.
        stream: StreamId,
        /// Whose it was.
        framework: FrameworkId,
    },
    /// A framework calls; a refusal is only noted.
    Call {
        /// Who.
        caller: Caller,
        /// What.
        call: Call,
    },
    /// An agent has connected and stated all it holds.
    AgentConnected {
        /// Made by the shell; everything for this agent is sent there.
        link: LinkId,
        /// The address that the connection comes from, as its socket says and not the agent.
        from: IpAddr,
        /// What it says about itself; `id` is set when it was registered before.
        agent: AgentDescription,
        /// All it holds.
        held: Held,
    },
    /// An agent's link is gone, whoever ended it.
    LinkClosed {
        /// The link.
        link: LinkId,
        /// Whose it was.
        agent: AgentId,
        /// When the agent was last heard; its time to come back counts from there.
        last_heard: Mono,
    },
    /// An agent sends a status update.
    Update {
        /// Where it came in.
        link: LinkId,
        /// Who sent it.
        agent: AgentId,
        /// Whose task it is about.
        framework: FrameworkId,
        /// What it says.
        status: TaskStatus,
        /// The newest state the agent knows, which may be ahead of `status`.
        latest: TaskState,
    },
    /// An agent says which tasks of it were over before it came, as its welcome asked for.
    CompletedTasks {
        /// Where it came in.
        link: LinkId,
        /// Who says it.
        agent: AgentId,
        /// The tasks, each with its last status.
        tasks: Vec<HeldTask>,
    },
    /// An agent says what became of an operation.
    OperationUpdate {
        /// Where it came in.
        link: LinkId,
        /// Who says it.
        agent: AgentId,
        /// What it says; the state is terminal.
        status: OperationStatus,
    },
    /// An executor sends bytes to its framework, best effort.
    ExecutorMessage {
        /// Where it runs.
        agent: AgentId,
        /// Who.
        executor: ExecutorKey,
        /// The bytes.
        data: Payload,
    },
    /// An executor has ended.
    ExecutorGone {
        /// Where it ran.
        agent: AgentId,
        /// Who.
        executor: ExecutorKey,
        /// As wait(2) gives it.
        status: i32,
    },
    /// What [`Effect::Record`](crate::Effect::Record) asked for with this ticket is durable.
    Recorded {
        /// The ticket.
        ticket: Ticket,
    },
    /// Time has passed; sent at the latest when [`Master::next_wakeup`](crate::Master::next_wakeup) says so.
    Tick,
    /// An operator removes a framework.
    TeardownFramework {
        /// Which.
        framework: FrameworkId,
    },
}

/// All that an agent holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Held {
    /// Tasks, also ended ones whose last update is not acknowledged.
    pub tasks: Vec<HeldTask>,
    /// The frameworks they belong to, each with its id.
    pub frameworks: Vec<FrameworkDescription>,
    /// Custom executors, with the role that their resources are allocated to when it is known.
    pub executors: Vec<HeldExecutor>,
    /// Operations that were done and are not acknowledged.
    pub operations: Vec<OperationStatus>,
}

/// A task as its agent states it.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldTask {
    /// Whose it is.
    pub framework: FrameworkId,
    /// What it is. The allocation role of its resources is the role they count for.
    pub task: Arc<TaskDescription>,
    /// The newest status the agent has written down; absent when there is none yet.
    pub latest: Option<TaskStatus>,
    /// The state that the framework has acknowledged last.
    pub acknowledged: Option<TaskState>,
}

/// An executor as its agent states it.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldExecutor {
    /// Whose it is.
    pub framework: FrameworkId,
    /// What it is. The allocation role of its resources is the role they count for.
    pub executor: ExecutorDescription,
}

/// A kind of event, so that tests can say that each occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// [`Event::Subscribe`]
    Subscribe,
    /// [`Event::StreamClosed`]
    StreamClosed,
    /// [`Event::Call`]
    Call,
    /// [`Event::AgentConnected`]
    AgentConnected,
    /// [`Event::LinkClosed`]
    LinkClosed,
    /// [`Event::Update`]
    Update,
    /// [`Event::CompletedTasks`]
    CompletedTasks,
    /// [`Event::OperationUpdate`]
    OperationUpdate,
    /// [`Event::ExecutorMessage`]
    ExecutorMessage,
    /// [`Event::ExecutorGone`]
    ExecutorGone,
    /// [`Event::Recorded`]
    Recorded,
    /// [`Event::Tick`]
    Tick,
    /// [`Event::TeardownFramework`]
    TeardownFramework,
}

impl Event {
    /// The kind of this event.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Subscribe { .. } => EventKind::Subscribe,
            Self::StreamClosed { .. } => EventKind::StreamClosed,
            Self::Call { .. } => EventKind::Call,
            Self::AgentConnected { .. } => EventKind::AgentConnected,
            Self::LinkClosed { .. } => EventKind::LinkClosed,
            Self::Update { .. } => EventKind::Update,
            Self::CompletedTasks { .. } => EventKind::CompletedTasks,
            Self::OperationUpdate { .. } => EventKind::OperationUpdate,
            Self::ExecutorMessage { .. } => EventKind::ExecutorMessage,
            Self::ExecutorGone { .. } => EventKind::ExecutorGone,
            Self::Recorded { .. } => EventKind::Recorded,
            Self::Tick => EventKind::Tick,
            Self::TeardownFramework { .. } => EventKind::TeardownFramework,
        }
    }
}

/// Every kind of event.
pub const EVENT_KINDS: [EventKind; 13] = [
    EventKind::Subscribe,
    EventKind::StreamClosed,
    EventKind::Call,
    EventKind::AgentConnected,
    EventKind::LinkClosed,
    EventKind::Update,
    EventKind::CompletedTasks,
    EventKind::OperationUpdate,
    EventKind::ExecutorMessage,
    EventKind::ExecutorGone,
    EventKind::Recorded,
    EventKind::Tick,
    EventKind::TeardownFramework,
];
