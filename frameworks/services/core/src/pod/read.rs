//! From the JSON of a request or of the store to a pod.

use serde_json::{Map, Value};

use crate::definition::{AppDefinition, FieldError, InvalidDefinition};

/// Reads a definition. `default_role` is taken when it names no role.
///
/// # Errors
/// Every field that has the wrong type; or, when none has, every field that breaks a rule or asks for something that is
/// not supported.
pub fn read(_object: &Map<String, Value>, _default_role: &str) -> Result<AppDefinition, InvalidDefinition> {
    Err(InvalidDefinition::BreaksRule(vec![FieldError::new("/", "pods are not supported yet")]))
}
