//! What the agent reads from outside, as plain functions of bytes, without a connection or a file. The link and the log
//! use the same code; fuzzing and tests call it from here.

use std::path::Path;

use chapada_agent_core::{FromMaster, Record};
use chapada_wire::link::ToAgent;
use prost::Message;

use crate::link::{Inward, read};
use crate::log::{self, LogError};

/// Reads a message of the master. `None` for what is not for the core: a heartbeat, a refusal, a file that is wanted.
///
/// # Errors
/// A sentence that names the field.
pub fn master_message(bytes: &[u8]) -> Result<Option<FromMaster>, String> {
    let message = ToAgent::decode(bytes).map_err(|error| error.to_string())?;
    let Some(body) = message.message else { return Ok(None) };
    Ok(match read(body)? {
        Inward::Command(command) => {
            Some(FromMaster { epoch: message.epoch, sequence: message.sequence, command })
        }
        Inward::Nothing | Inward::Refused(_) | Inward::OpenRelay(_) => None,
    })
}

/// The records in the bytes of an agent's log, oldest first. A torn end is left out.
///
/// # Errors
/// [`LogError`] says why these bytes are no log of ours, or are damaged.
pub fn log_records(bytes: &[u8]) -> Result<Vec<Record>, LogError> {
    log::contents(Path::new("agent.log"), bytes).map(|contents| contents.records)
}

/// The bytes of a log with these records.
pub fn log_bytes(records: &[Record]) -> Vec<u8> {
    log::written(records)
}
