//! What the agent reads from outside, as plain functions of bytes, without a connection or a file. The link
//! uses the same code; fuzzing and tests call it from here.

use chapada_agent_core::{Event, FromMaster, Subscription};
use chapada_wire::Media;
use chapada_wire::link::ToAgent;
use prost::Message;

use crate::config::AgentConfig;
use crate::executors::{Asked, Parsed, parse};
use crate::link::{Inward, Terms, read};
use crate::policy::Policy;
use crate::secrets::Secrets;

/// Reads a message of the master, whose operator allows nothing beyond the defaults. `None` for what is not for the core: a heartbeat, a refusal, a file that is wanted.
///
/// # Errors
/// A sentence that names the field.
pub fn master_message(bytes: &[u8]) -> Result<Option<FromMaster>, String> {
    let message = ToAgent::decode(bytes).map_err(|error| error.to_string())?;
    let Some(body) = message.message else { return Ok(None) };
    let policy = Policy::new(&AgentConfig::default(), Vec::new()).map_err(|error| error.to_string())?;
    let terms = Terms { policy: &policy, secrets: &Secrets::default() };
    Ok(match read(body, &terms)? {
        Inward::Command(command) => {
            Some(FromMaster { epoch: message.epoch, sequence: message.sequence, command })
        }
        Inward::Nothing | Inward::Refused(_) | Inward::OpenRelay(_) => None,
    })
}

/// Reads the body of `POST /api/v1/executor`, in JSON or in protobuf, as what the core hears; a subscription opens `stream`. `None`
/// for a heartbeat.
///
/// # Errors
/// The sentence that the executor is answered with.
pub fn executor_call(media: Media, body: &[u8], stream: u64) -> Result<Option<Event>, String> {
    let call = media.decode(body, "Call").map_err(|error| error.to_string())?;
    let Parsed { executor, asked } = parse(call).map_err(|error| error.to_string())?;
    Ok(match asked {
        Asked::Heartbeat => None,
        Asked::Update(report) => Some(Event::ExecutorUpdate { executor, report }),
        Asked::Message(data) => Some(Event::ExecutorSays { executor, data }),
        Asked::Subscribe { tasks, updates } => {
            Some(Event::ExecutorSubscribed(Box::new(Subscription { executor, stream, tasks, updates })))
        }
    })
}
