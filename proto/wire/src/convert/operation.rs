//! What became of operations.

use chapada_model::{FrameworkId, OperationKey, OperationState, OperationStatus, UpdateUuid};

use super::error::{optional, text};
use super::{InvalidField, ReservationFormat, resources_from_wire, resources_to_wire};
use crate::v1;

/// Writes a status, its resources with stacks of reservations.
/// The master's name for an operation as the sixteen bytes that Mesos' clients expect: the master's own, and the number.
pub fn operation_uuid(key: &OperationKey) -> v1::Uuid {
    let (master, number) = key.as_str().rsplit_once("-P").unwrap_or((key.as_str(), "0"));
    let master = u128::from_str_radix(&master.replace('-', ""), 16).unwrap_or_default();
    let number: u128 = number.parse().unwrap_or_default();
    v1::Uuid { value: Some((master ^ number).to_be_bytes().to_vec()) }
}

impl From<&OperationStatus> for v1::OperationStatus {
    fn from(status: &OperationStatus) -> Self {
        Self {
            operation_id: status.operation.as_ref().map(Into::into),
            state: Some(status.state.number()),
            message: status.message.as_ref().map(ToString::to_string),
            converted_resources: resources_to_wire(&status.converted, ReservationFormat::Stacked),
            uuid: status.uuid.map(|uuid| v1::Uuid { value: Some(uuid.0.to_vec()) }),
            agent_id: status.agent.as_ref().map(Into::into),
            resource_provider_id: None,
        }
    }
}

/// Reads a status as a framework is told it: whose it is goes without saying.
impl TryFrom<&v1::OperationStatus> for OperationStatus {
    type Error = InvalidField;

    fn try_from(wire: &v1::OperationStatus) -> Result<Self, InvalidField> {
        let state = wire.state.ok_or_else(|| InvalidField::missing("state"))?;
        let uuid = wire.uuid.as_ref().and_then(|uuid| uuid.value.as_deref());
        let uuid = uuid.map(|bytes| {
            UpdateUuid::from_slice(bytes).ok_or_else(|| InvalidField::new("uuid", "must have 16 bytes"))
        });
        Ok(Self {
            key: None,
            operation: optional("operation_id", wire.operation_id.as_ref())?,
            framework: None,
            agent: optional("agent_id", wire.agent_id.as_ref())?,
            state: OperationState::try_from(state).map_err(|error| InvalidField::new("state", error))?,
            message: text(wire.message.as_ref()),
            converted: resources_from_wire("converted_resources", &wire.converted_resources)?,
            uuid: uuid.transpose()?,
        })
    }
}

/// Reads a status of an operation of a framework, or of an operator.
///
/// # Errors
/// [`InvalidField`] for the first that makes no sense.
pub fn operation_status_from_wire(
    key: OperationKey,
    framework: Option<FrameworkId>,
    wire: &v1::OperationStatus,
) -> Result<OperationStatus, InvalidField> {
    Ok(OperationStatus { key: Some(key), framework, ..wire.try_into()? })
}
