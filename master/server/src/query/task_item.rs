//! A task as JSON.

use chapada_master_core::{Snapshot, Task};
use chapada_model::TaskStatus;
use serde_json::{Map, Value, json};

use super::items::{amounts, millis};

/// Ports listed of one task; nobody reads more on a page.
const MAX_PORTS: usize = 64;

pub(super) fn task(task: &Task, books: &Snapshot) -> Value {
    let latest = task.latest();
    let container = task.statuses.iter().rev().find_map(|status| status.container.as_ref());
    let agent = books.agents.get(&task.agent);
    json!({
        "id": task.description.id.as_str(),
        "framework_id": task.framework.as_str(),
        "framework_name": framework_name(task, books),
        "agent_id": task.agent.as_str(),
        "hostname": agent.map(|agent| &*agent.description.hostname).unwrap_or_default(),
        "name": &*task.description.name,
        "state": task.state.name(),
        "reason": latest.and_then(|status| status.reason).map(|reason| reason.name()),
        "message": latest.and_then(|status| status.message.as_deref()),
        "healthy": latest.and_then(|status| status.healthy),
        "resources": amounts(&task.description.resources),
        "launched": millis(task.launched),
        "updated": millis(task.updated),
        "finished": task.finished.map(millis),
        "ports": task.description.resources.ports().take(MAX_PORTS).collect::<Vec<_>>(),
        "labels": labels(task),
        "container_id": container.map(|id| id.as_str()),
        "statuses": task.statuses.iter().map(|one| status(one)).collect::<Vec<_>>(),
    })
}

fn framework_name(task: &Task, books: &Snapshot) -> String {
    let live = books.frameworks.get(&task.framework);
    let completed = || books.completed_frameworks.iter().find(|framework| framework.id == task.framework);
    live.or_else(completed).map(|framework| framework.description.name.to_string()).unwrap_or_default()
}

fn labels(task: &Task) -> Value {
    let pair = |label: &chapada_model::Label| {
        (label.key.to_string(), json!(label.value.as_deref().unwrap_or_default()))
    };
    task.description.labels.iter().map(pair).collect::<Map<_, _>>().into()
}

fn status(status: &TaskStatus) -> Value {
    json!({
        "state": status.state.name(),
        "timestamp": status.timestamp.map(millis),
        "message": status.message.as_deref(),
        "reason": status.reason.map(|reason| reason.name()),
    })
}
