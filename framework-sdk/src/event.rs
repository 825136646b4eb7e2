//! What a master tells a framework, typed.

use chapada_model::{
    AgentId, ExecutorId, FrameworkId, MasterDescription, OfferId, OperationStatus, TaskStatus, Text, Wall,
};
use chapada_sdk_core::Offer;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A subscription begins. Offers made before it are void; tasks run on.
    Subscribed(Subscribed),
    /// The subscription is over. Calls fail until the next [`Event::Subscribed`]; the driver is at it.
    Disconnected,
    /// Resources to be accepted or declined, each once.
    Offers(Vec<Offer>),
    /// An offer is void. It may cross an accept, whose tasks then come back as dropped.
    Rescinded(OfferId),
    /// A machine is to be left.
    InverseOffers(Vec<InverseOffer>),
    /// It need not be left after all.
    InverseOfferRescinded(OfferId),
    /// What became of a task. Comes at least once, in order for each task.
    Update(TaskStatus),
    /// What became of an operation that was given an id. Comes at least once.
    Operation(OperationStatus),
    /// From an executor of one's own; may get lost.
    Message(ExecutorMessage),
    /// An agent was removed or an executor has ended; the tasks' own updates come as well.
    Failure(Failure),
}

/// A subscription.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribed {
    /// This framework's id; stays the same for as long as the master knows it.
    pub framework: FrameworkId,
    /// Who leads.
    pub master: Option<MasterDescription>,
    /// Whether the id was given just now, so that no task of this framework can exist.
    pub new: bool,
}

/// A request to leave a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct InverseOffer {
    /// What it is answered by.
    pub id: OfferId,
    /// The machine's agent.
    pub agent: Option<AgentId>,
    /// When the machine goes.
    pub start: Option<Wall>,
    /// For how long; for good when absent.
    pub duration: Option<std::time::Duration>,
}

/// A message of an executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorMessage {
    /// Where it runs.
    pub agent: AgentId,
    /// Which.
    pub executor: ExecutorId,
    /// What it says.
    pub data: Vec<u8>,
}

/// The end of an agent or of an executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The agent that was removed, or on which the executor ran.
    pub agent: Option<AgentId>,
    /// The executor; absent when it is about the agent.
    pub executor: Option<ExecutorId>,
    /// How the executor ended, as wait(2) gives it.
    pub status: Option<i32>,
}

impl Event {
    /// Its name, for logs.
    pub fn name(&self) -> Text {
        match self {
            Self::Subscribed(_) => "subscribed",
            Self::Disconnected => "disconnected",
            Self::Offers(_) => "offers",
            Self::Rescinded(_) => "rescinded",
            Self::InverseOffers(_) => "inverse offers",
            Self::InverseOfferRescinded(_) => "inverse offer rescinded",
            Self::Update(_) => "update",
            Self::Operation(_) => "operation",
            Self::Message(_) => "message",
            Self::Failure(_) => "failure",
        }
        .into()
    }
}
