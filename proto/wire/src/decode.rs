//! Bodies into messages, and why a body was refused.

use crate::json::{JsonFields, Path};

/// Why a body is not the message it should be. Shown to the sender, so it names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The text is no JSON, or a value in it does not suit its field.
    #[error("{}{problem}", prefix(.path))]
    Json {
        /// Where, as `accept.offer_ids[0].value`; empty for the whole body.
        path: String,
        /// What is wrong there, with line and column.
        problem: String,
    },
    /// A required field is missing.
    #[error("{path} is required")]
    Missing {
        /// The field, as `kill.task_id`.
        path: String,
    },
    /// The bytes are no protobuf message of this type.
    #[error("the body is not a valid protobuf message")]
    Binary(#[source] prost::DecodeError),
}

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

/// Decodes a protobuf body and checks that every required field is there.
///
/// # Errors
/// [`DecodeError::Binary`] for bytes that are no such message (or are nested more than a hundred levels deep),
/// [`DecodeError::Missing`] for the first required field that is missing.
pub fn decode_binary<T: prost::Message + JsonFields>(bytes: &[u8]) -> Result<T, DecodeError> {
    let message = T::decode(bytes).map_err(DecodeError::Binary)?;
    check_required(&message)?;
    Ok(message)
}

/// Checks that every required field is there, for messages that another library decoded, such as those of gRPC.
///
/// # Errors
/// [`DecodeError::Missing`] for the first that is not.
pub fn check_required<T: JsonFields>(message: &T) -> Result<(), DecodeError> {
    let mut path = Path::default();
    if message.is_complete(&mut path) { Ok(()) } else { Err(DecodeError::Missing { path: path.to_string() }) }
}
