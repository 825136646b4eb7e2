//! Reports on tasks.

use chapada_model::{Payload, Reason, Source, TaskState, TaskStatus, UpdateUuid, Wall};
use prost::Message as _;

use super::InvalidField;
use super::error::{optional, required, text};
use super::time::{wall_from_wire, wall_to_wire};
use crate::v1;

/// For a status that stays; one that does not is read without a copy.
impl TryFrom<&v1::TaskStatus> for TaskStatus {
    type Error = InvalidField;

    fn try_from(status: &v1::TaskStatus) -> Result<Self, InvalidField> {
        status.clone().try_into()
    }
}

impl TryFrom<v1::TaskStatus> for TaskStatus {
    type Error = InvalidField;

    fn try_from(status: v1::TaskStatus) -> Result<Self, InvalidField> {
        let state = status.state.ok_or_else(|| InvalidField::missing("state"))?;
        let container = status.container_status.as_ref().and_then(|status| status.container_id.as_ref());
        Ok(Self {
            task: required("task_id", status.task_id.as_ref())?,
            state: TaskState::try_from(state).map_err(|error| InvalidField::new("state", error))?,
            message: text(status.message.as_ref()),
            source: status.source.and_then(|number| Source::try_from(number).ok()),
            reason: status.reason.and_then(|number| Reason::try_from(number).ok()),
            agent: optional("agent_id", status.agent_id.as_ref())?,
            executor: optional("executor_id", status.executor_id.as_ref())?,
            timestamp: status.timestamp.and_then(Wall::from_secs_f64),
            uuid: status.uuid.as_deref().map(uuid).transpose()?,
            healthy: status.healthy,
            container: optional("container_status.container_id", container)?,
            unreachable_since: status.unreachable_time.as_ref().and_then(wall_from_wire),
            details: rest(status),
        })
    }
}

/// What the model has no field for, encoded; nothing when there is nothing.
fn rest(status: v1::TaskStatus) -> Option<Payload> {
    let rest = v1::TaskStatus {
        data: status.data,
        check_status: status.check_status,
        labels: status.labels,
        container_status: status.container_status,
        limitation: status.limitation,
        // The fields of the model, all of them, so that a new field has to be thought about here.
        task_id: None,
        state: None,
        message: None,
        source: None,
        reason: None,
        agent_id: None,
        executor_id: None,
        timestamp: None,
        uuid: None,
        healthy: None,
        unreachable_time: None,
    };
    let bytes = rest.encode_to_vec();
    (!bytes.is_empty()).then(|| bytes.into())
}

fn uuid(bytes: &[u8]) -> Result<UpdateUuid, InvalidField> {
    UpdateUuid::from_slice(bytes)
        .ok_or_else(|| InvalidField::new("uuid", format_args!("has {} bytes, not 16", bytes.len())))
}

/// What the model does not know comes from the message it was made from; where both say something, the model counts.
impl From<&TaskStatus> for v1::TaskStatus {
    fn from(status: &TaskStatus) -> Self {
        let details = status.details.as_ref().and_then(|details| Self::decode(details.as_bytes()).ok());
        let mut wire = details.unwrap_or_default();
        wire.task_id = Some((&status.task).into());
        wire.state = Some(status.state.number());
        wire.message = status.message.as_ref().map(ToString::to_string);
        wire.source = status.source.map(Source::number);
        wire.reason = status.reason.map(Reason::number);
        wire.agent_id = status.agent.as_ref().map(Into::into);
        wire.executor_id = status.executor.as_ref().map(Into::into);
        wire.timestamp = status.timestamp.map(Wall::as_secs_f64);
        wire.uuid = status.uuid.map(|uuid| uuid.0.to_vec());
        wire.healthy = status.healthy;
        wire.unreachable_time = status.unreachable_since.map(wall_to_wire);
        if let Some(container) = &status.container {
            let known = wire.container_status.get_or_insert_default();
            let id = known.container_id.get_or_insert_default();
            id.value = Some(container.to_string());
        }
        wire
    }
}
