//! What a scheduler can ask for, already parsed, and why it can be refused.

use std::sync::Arc;

use chapada_model::{
    AgentId, ExecutorDescription, ExecutorId, Filters, FrameworkDescription, FrameworkId, KillPolicy, Milli,
    OfferId, OperationId, Payload, Resource, Resources, Role, TaskDescription, TaskId, Text, UpdateUuid,
};

use crate::OfferConstraints;

/// Names one subscription: the value of `Mesos-Stream-Id`. The shell makes a new one for each SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub Text);

/// Who calls, as the shell found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// `framework_id` of the call.
    pub framework: FrameworkId,
    /// What the call named as its stream; absent when it named none.
    pub stream: Option<StreamId>,
    /// Who the connection is authenticated as; absent when nobody asked.
    pub principal: Option<Text>,
}

/// A call of a subscribed framework. SUBSCRIBE is an [`Event`](crate::Event) of its own.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Removes the framework now, with all its tasks.
    Teardown,
    /// Uses offers.
    Accept(Accept),
    /// Gives offers back.
    Decline {
        /// The offers; unknown ones are passed over.
        offers: Vec<OfferId>,
        /// For how long the same is not to be offered again.
        filters: Filters,
    },
    /// Says whether it will leave agents that it is asked to leave.
    AnswerInverse {
        /// The inverse offers; unknown ones are passed over.
        offers: Vec<OfferId>,
        /// Whether it will.
        will_leave: bool,
        /// For how long it is not to be asked again.
        filters: Filters,
    },
    /// Takes offers again in these roles (all when empty) and forgets all refusals in them.
    Revive {
        /// The roles.
        roles: Vec<Role>,
    },
    /// Takes no offers in these roles (all when empty) until it revives them.
    Suppress {
        /// The roles.
        roles: Vec<Role>,
    },
    /// Ends a task.
    Kill {
        /// The task.
        task: TaskId,
        /// Where the framework believes it is.
        agent: Option<AgentId>,
        /// How gently.
        policy: Option<KillPolicy>,
    },
    /// Confirms a status update, so that it is not repeated.
    Acknowledge {
        /// Who sent it.
        agent: AgentId,
        /// The task it was about.
        task: TaskId,
        /// Its name.
        uuid: UpdateUuid,
    },
    /// Confirms what became of an operation, so that it is not repeated.
    AcknowledgeOperation {
        /// Where it was done.
        agent: AgentId,
        /// The operation.
        operation: OperationId,
        /// The name of the status.
        uuid: UpdateUuid,
    },
    /// Asks for the state of operations; of all when empty.
    ReconcileOperations {
        /// The operations, with the agent the framework believes each to be on.
        operations: Vec<(OperationId, Option<AgentId>)>,
    },
    /// Asks for the state of tasks; of all when empty.
    Reconcile {
        /// The tasks, with the agent the framework believes each to be on.
        tasks: Vec<(TaskId, Option<AgentId>)>,
    },
    /// Sends bytes to an executor, best effort.
    Message {
        /// Where it runs.
        agent: AgentId,
        /// The executor.
        executor: ExecutorId,
        /// The bytes.
        data: Payload,
    },
    /// Ends a custom executor.
    Shutdown {
        /// Where it runs.
        agent: AgentId,
        /// The executor.
        executor: ExecutorId,
    },
    /// Changes what the framework said about itself, at once.
    UpdateFramework {
        /// The new description.
        description: FrameworkDescription,
        /// The roles in which it wants no offers from now on.
        suppressed: Vec<Role>,
        /// Which agents it wants to be offered at all from now on.
        constraints: Arc<OfferConstraints>,
    },
    /// Accepted and without effect: REQUEST, which the allocator does not look at.
    WithoutEffect {
        /// The call's name, for the log.
        name: &'static str,
    },
}

/// Uses offers of one agent and role for operations, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Accept {
    /// The offers.
    pub offers: Vec<OfferId>,
    /// What to do with them.
    pub operations: Vec<Operation>,
    /// For how long what is left over is not to be offered again.
    pub filters: Filters,
}

/// One thing done with offered resources.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Starts tasks, each by itself.
    Launch {
        /// The tasks.
        tasks: Vec<Proposal>,
    },
    /// Starts tasks together on one executor, all or none.
    LaunchGroup(TaskGroup),
    /// Changes resources.
    Change {
        /// Set when the framework wants to hear of the outcome.
        id: Option<OperationId>,
        /// How.
        change: Change,
    },
    /// An operation that cannot be read; it is in error.
    Refused {
        /// The operation's name.
        name: &'static str,
        /// Set when the framework wants to hear of the outcome.
        id: Option<OperationId>,
        /// What is wrong.
        message: Text,
    },
    /// An operation whose id is none; it is in error.
    Misnamed {
        /// The operation's name.
        name: &'static str,
        /// The id as the framework gave it.
        id: Text,
        /// What is wrong with it.
        message: Text,
    },
    /// An operation that nothing here can do, however it is asked for: OPERATION_UNSUPPORTED.
    Unsupported {
        /// The operation's name.
        name: &'static str,
        /// Set when the framework wants to hear of the outcome.
        id: Option<OperationId>,
        /// What to do instead.
        message: Text,
    },
}

/// How an operation changes resources.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Keeps resources for a role.
    Reserve {
        /// As they are, when their reservations are to be exchanged; empty when one is to be put on top. Operators' only.
        source: Resources,
        /// As they will be, with the new reservation last.
        resources: Resources,
    },
    /// Undoes the last reservation.
    Unreserve {
        /// As they are.
        resources: Resources,
    },
    /// Makes persistent volumes of reserved disk.
    Create {
        /// As they will be.
        volumes: Resources,
    },
    /// Ends persistent volumes.
    Destroy {
        /// As they are.
        volumes: Resources,
    },
    /// Makes a persistent volume larger.
    GrowVolume {
        /// As it is.
        volume: Box<Resource>,
        /// The disk to put to it.
        addition: Box<Resource>,
    },
    /// Makes a persistent volume smaller.
    ShrinkVolume {
        /// As it is.
        volume: Box<Resource>,
        /// By how much, in thousandths of a MiB.
        subtract: Milli,
    },
}

/// Tasks that start and end together.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskGroup {
    /// What runs them.
    pub executor: Option<Box<ExecutorDescription>>,
    /// The tasks.
    pub tasks: Vec<Proposal>,
    /// A rule that the edge saw broken.
    pub problem: Option<Text>,
}

/// A task as it came: read, or not readable. Either way the framework is answered by a status of that task.
#[derive(Clone, Debug, PartialEq)]
pub enum Proposal {
    /// Readable; the core decides on it.
    Valid(Box<TaskDescription>),
    /// The edge could not read it.
    Malformed(MalformedTask),
}

/// A task whose description has a value that cannot be: an id with a slash, a negative amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedTask {
    /// `task_id` as it came, possibly no valid id.
    pub task_id: Text,
    /// `agent_id` as it came.
    pub agent_id: Text,
    /// What is wrong, for the framework's author.
    pub message: Text,
}

/// Why a call was refused. Nothing has changed then. The shell maps each to a status of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallRefused {
    /// 400: no such framework, or it was removed.
    #[error("Framework cannot be found")]
    UnknownFramework,
    /// 400: the caller is not who the framework belongs to.
    #[error("Authenticated principal '{caller}' does not match principal '{owner}' set in `FrameworkInfo`")]
    PrincipalDiffers {
        /// Who called.
        caller: Text,
        /// Whose the framework is.
        owner: Text,
    },
    /// 403: the framework has no open subscription.
    #[error("Framework is not subscribed")]
    NotSubscribed,
    /// 400: the call names no stream.
    #[error("All non-subscribe calls should include the 'Mesos-Stream-Id' header")]
    StreamIdMissing,
    /// 400: the call names another stream than the open one.
    #[error(
        "The stream ID '{given}' included in this request didn't match the stream ID currently associated with framework ID {framework}"
    )]
    StreamIdDiffers {
        /// What it named.
        given: Text,
        /// Who called.
        framework: FrameworkId,
    },
    /// 400: what the call says cannot be.
    #[error("{0}")]
    Invalid(String),
}
