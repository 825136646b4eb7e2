//! Tasks.

use std::collections::BTreeMap;

use chapada_master_core::Task;
use chapada_model::TaskStatus;
use chapada_wire::{Json, JsonFields, v1};
use serde::Serialize;
use serde_json::Value;

use super::resources::{Plain, resources};

/// A task as `/tasks` and `/state` show it.
#[derive(Serialize)]
pub(super) struct TaskView {
    id: String,
    name: String,
    framework_id: String,
    executor_id: String,
    slave_id: String,
    state: &'static str,
    resources: BTreeMap<String, Plain>,
    role: String,
    statuses: Vec<StatusView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<LabelView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discovery: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check: Option<Value>,
}

#[derive(Serialize)]
struct StatusView {
    state: &'static str,
    timestamp: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_status: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy: Option<bool>,
}

#[derive(Serialize)]
struct LabelView {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

impl From<&Task> for TaskView {
    fn from(task: &Task) -> Self {
        let info = v1::TaskInfo::from(&*task.description);
        Self {
            id: task.description.id.to_string(),
            name: task.description.name.to_string(),
            framework_id: task.framework.to_string(),
            executor_id: task.executor.as_ref().map(ToString::to_string).unwrap_or_default(),
            slave_id: task.agent.to_string(),
            state: task.state.name(),
            resources: resources(&task.description.resources),
            role: task.role.to_string(),
            statuses: task.statuses.iter().map(|status| (&**status).into()).collect(),
            labels: task.description.labels.iter().map(label).collect(),
            discovery: info.discovery.as_ref().map(value),
            container: info.container.as_ref().map(value),
            health_check: info.health_check.as_ref().map(value),
        }
    }
}

impl From<&TaskStatus> for StatusView {
    fn from(status: &TaskStatus) -> Self {
        let wire = v1::TaskStatus::from(status);
        let container_status = wire.container_status.map(|mut container| {
            // Mesos leaves the pid out here.
            container.executor_pid = None;
            value(&container)
        });
        Self {
            state: status.state.name(),
            timestamp: status.timestamp.map(chapada_model::Wall::as_secs_f64).unwrap_or_default(),
            container_status,
            healthy: status.healthy,
        }
    }
}

fn label(label: &chapada_model::Label) -> LabelView {
    LabelView { key: label.key.to_string(), value: label.value.as_ref().map(ToString::to_string) }
}

/// A message as a JSON value.
fn value<M: JsonFields>(message: &M) -> Value {
    serde_json::from_slice(&message.to_json()).unwrap_or(Value::Null)
}
