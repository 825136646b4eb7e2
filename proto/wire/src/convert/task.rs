//! Tasks.

use chapada_model::{FrameworkId, Payload, TaskDescription, TaskState};
use prost::Message as _;

use super::error::{optional, required};
use super::limits::{limits, limits_to_wire};
use super::time::{duration_from_wire, duration_to_wire};
use super::{InvalidField, ReservationFormat, labels, resources_from_wire, resources_to_wire};
use crate::{secrets, v1};

impl TryFrom<&v1::TaskInfo> for TaskDescription {
    type Error = InvalidField;

    fn try_from(info: &v1::TaskInfo) -> Result<Self, InvalidField> {
        described(info, Payload::from(info.encode_to_vec()))
    }
}

/// Reads an encoded `TaskInfo`, which is kept as it is.
///
/// # Errors
/// [`InvalidField`] at or below `field`, also for what is no such message.
pub fn task_from_bytes(field: &str, bytes: &[u8]) -> Result<TaskDescription, InvalidField> {
    let info = v1::TaskInfo::decode(bytes).map_err(|error| InvalidField::new(field, error))?;
    described(&info, Payload::from(bytes)).map_err(|error| error.within(field))
}

fn described(info: &v1::TaskInfo, details: Payload) -> Result<TaskDescription, InvalidField> {
    let name = info.name.as_deref().ok_or_else(|| InvalidField::missing("name"))?;
    Ok(TaskDescription {
        id: required("task_id", info.task_id.as_ref())?,
        name: name.into(),
        agent: required("agent_id", info.agent_id.as_ref())?,
        resources: resources_from_wire("resources", &info.resources)?,
        limits: limits(&info.limits)?,
        has_command: info.command.is_some(),
        executor: optional("executor", info.executor.as_ref())?,
        kill_policy: optional("kill_policy", info.kill_policy.as_ref())?,
        max_completion_time: duration_from_wire("max_completion_time", info.max_completion_time.as_ref())?,
        labels: labels::from_wire("labels", info.labels.as_ref())?,
        details,
    })
}

/// The message it was made from.
impl From<&TaskDescription> for v1::TaskInfo {
    fn from(task: &TaskDescription) -> Self {
        if task.details.is_empty() {
            return typed(task);
        }
        Self::decode(task.details.as_bytes()).unwrap_or_else(|_| typed(task))
    }
}

fn typed(task: &TaskDescription) -> v1::TaskInfo {
    v1::TaskInfo {
        name: Some(task.name.to_string()),
        task_id: Some((&task.id).into()),
        agent_id: Some((&task.agent).into()),
        resources: resources_to_wire(&task.resources, ReservationFormat::Stacked),
        executor: task.executor.as_ref().map(Into::into),
        kill_policy: task.kill_policy.as_ref().map(Into::into),
        labels: labels::to_wire(&task.labels),
        max_completion_time: task.max_completion_time.map(duration_to_wire),
        limits: limits_to_wire(&task.limits),
        ..v1::TaskInfo::default()
    }
}

/// A task as the operator APIs show it, without the values of secrets. The caller adds `statuses` and what is known of the last update.
#[must_use]
pub fn task_record(task: &TaskDescription, framework: &FrameworkId, state: TaskState) -> v1::Task {
    let mut info = v1::TaskInfo::from(task);
    secrets::take(&mut info);
    let command_user = info.command.as_ref().and_then(|command| command.user.clone());
    v1::Task {
        name: info.name,
        task_id: info.task_id,
        framework_id: Some(framework.into()),
        executor_id: task.executor.as_ref().map(|executor| (&executor.id).into()),
        agent_id: info.agent_id,
        state: Some(state.number()),
        resources: resources_to_wire(&task.resources, ReservationFormat::Both),
        labels: info.labels,
        discovery: info.discovery,
        container: info.container,
        health_check: info.health_check,
        kill_policy: info.kill_policy,
        user: command_user,
        limits: info.limits,
        ..v1::Task::default()
    }
}
