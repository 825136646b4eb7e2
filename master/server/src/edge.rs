//! What crosses the master's edge, as plain functions without a connection: bytes into what the books take, and what
//! the books say into bytes. The doors use the same code; fuzzing and tests call it from here.

use std::net::SocketAddr;
use std::time::Duration;

use chapada_listener::Query;
use chapada_master_core::{
    AgentCall, AgentCommand, Call, Event, Held, LinkId, MaintenanceCall, OfferConstraints, OperatorCall,
    RegistryState, RoleCall, SchedulerEvent, Snapshot,
};
use chapada_model::{AgentDescription, AgentId, FrameworkDescription, FrameworkId, MasterDescription, Role};
use chapada_wire::convert::ReservationFormat;
use chapada_wire::link::{self, ToAgent, from_agent};
use chapada_wire::v1::{master, scheduler};
use chapada_wire::{Json, decode_binary};
use serde_json::Value;

use crate::agent_link::{self, Terms};
use crate::scheduler::{Parsed, Writer, parse};
use crate::{operator, plain, query};

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `application/json`.
    Json,
    /// `application/x-protobuf`.
    Protobuf,
}

/// A call of a scheduler that the books can take.
#[derive(Debug)]
pub enum SchedulerCall {
    /// SUBSCRIBE.
    Subscribe {
        /// What the framework says about itself.
        framework: Box<FrameworkDescription>,
        /// The roles in which it wants no offers for now.
        suppressed: Vec<Role>,
        /// Which agents it wants to be offered.
        constraints: std::sync::Arc<OfferConstraints>,
    },
    /// Anything else.
    Call {
        /// Who calls.
        framework: FrameworkId,
        /// What.
        call: Box<Call>,
    },
}

/// Reads the body of `POST /api/v1/scheduler`.
///
/// # Errors
/// The sentence that the scheduler is answered with; it names the field.
pub fn scheduler_call(body: &[u8], form: Form) -> Result<SchedulerCall, String> {
    let message = match form {
        Form::Json => scheduler::Call::from_json(body),
        Form::Protobuf => decode_binary(body),
    };
    match parse(message.map_err(|error| error.to_string())?).map_err(|error| error.to_string())? {
        Parsed::Subscribe(subscribing) => Ok(SchedulerCall::Subscribe {
            framework: Box::new(subscribing.framework),
            suppressed: subscribing.suppressed,
            constraints: subscribing.constraints,
        }),
        Parsed::Unacceptable(message) => Err(message),
        Parsed::UnknownFramework => Err("Framework cannot be found".to_owned()),
        Parsed::Call { framework, call } => Ok(SchedulerCall::Call { framework, call }),
    }
}

/// An event as it goes to a scheduler; `writer_format` says how its framework reads reservations.
pub fn scheduler_event(
    master: &MasterDescription,
    writer_format: ReservationFormat,
    framework: &FrameworkId,
    event: SchedulerEvent,
) -> scheduler::Event {
    Writer { master: master.clone(), format: writer_format }.event(framework, event)
}

/// What a call of an operator changes.
#[derive(Debug)]
pub enum OperatorChange {
    /// Quotas or weights.
    Roles(RoleCall),
    /// Reservations, volumes, or the end of a framework.
    Resources(OperatorCall),
    /// The schedule of machines, or one that goes down or is up again.
    Maintenance(MaintenanceCall),
    /// Agents taken out of service.
    Agents(AgentCall),
}

/// Reads the body of `POST /api/v1`. `None` for a call that only reads.
///
/// # Errors
/// What is wrong with the body, or the status that the operator is answered with.
pub fn operator_call(body: &[u8], form: Form) -> Result<Option<OperatorChange>, String> {
    let message = match form {
        Form::Json => master::Call::from_json(body),
        Form::Protobuf => decode_binary(body),
    };
    operator::read_call(message.map_err(|error| error.to_string())?).map_err(|status| status.to_string())
}

/// Reads the body of a call in the form before `/api/v1`: `/reserve`, `/unreserve`, `/create-volumes`, `/destroy-volumes` and
/// `/teardown`, `/weights`, and `/quota`, which ends the quota of the role that follows when the body is empty. `None` at other
/// paths.
///
/// # Errors
/// The sentence or the status that the operator is answered with.
pub fn operator_form(path: &str, body: &[u8]) -> Option<Result<OperatorChange, String>> {
    if let Some(read) = plain::read_form(path, body) {
        return Some(read.map(OperatorChange::Resources));
    }
    let read = plain::read_role_setting(path, body)?;
    Some(read.map(OperatorChange::Roles).map_err(|status| status.to_string()))
}

/// A message of an agent.
#[derive(Debug)]
pub enum AgentMessage {
    /// What the agent says about itself.
    Hello(Box<AgentDescription>),
    /// One page of what it holds.
    Holding(Held),
    /// News.
    News(Box<Event>),
    /// It only shows that the agent lives.
    Nothing,
}

/// Reads a message of the agent link as the master does; `agent` is who sent it over `link` from `peer`.
///
/// # Errors
/// A sentence that names the field.
pub fn agent_message(
    bytes: &[u8],
    link: LinkId,
    agent: &AgentId,
    peer: SocketAddr,
) -> Result<AgentMessage, String> {
    let message: link::FromAgent = prost::Message::decode(bytes).map_err(|error| error.to_string())?;
    let read = match message.message {
        None => return Ok(AgentMessage::Nothing),
        Some(from_agent::Message::Hello(hello)) => {
            agent_link::describe(&hello, peer).map(|agent| AgentMessage::Hello(Box::new(agent)))
        }
        Some(from_agent::Message::Holding(page)) => {
            let mut held = Held::default();
            agent_link::hold(&mut held, page).map(|()| AgentMessage::Holding(held))
        }
        Some(other) => agent_link::event(link, agent, other)
            .map(|event| event.map_or(AgentMessage::Nothing, |event| AgentMessage::News(Box::new(event)))),
    };
    read.map_err(|error| error.to_string())
}

/// A command as it goes to an agent.
pub fn agent_command(epoch: u64, sequence: u64, command: &AgentCommand) -> ToAgent {
    let terms = Terms {
        master_id: "edge".into(),
        heartbeat_interval: Duration::from_secs(5),
        silence_limit: Duration::from_secs(15),
    };
    ToAgent { epoch, sequence, message: Some(agent_link::message(command, &terms)) }
}

/// Answers `GET /query/v1/watch?…` once, from these books.
///
/// # Errors
/// A sentence that names the parameter.
pub fn query(books: &Snapshot, parameters: &str) -> Result<Value, String> {
    query::answer_once(books, &Query::parse(parameters))
}

/// Reads what a registry holds, at epoch 1.
///
/// # Errors
/// A sentence that names the record.
pub fn registry(records: &[chapada_coordination::Record]) -> Result<RegistryState, String> {
    crate::registry::read_records(1, records).map_err(|error| error.to_string())
}
