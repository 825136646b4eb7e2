//! Tasks. There may be half a million of them in one answer, so they are written field by field.

use chapada_master_core::Task;
use chapada_model::{Label, TaskStatus, Wall};
use chapada_wire::Json;
use chapada_wire::convert::{container_status, task_extras};

use super::object::{list, text, write};
use super::resources::resources;

/// Writes a task as `/tasks` and `/state` show it.
pub(super) fn task(task: &Task, out: &mut Vec<u8>) {
    let described = &task.description;
    let executor = task.executor.as_ref().map_or("", |id| id.as_str());
    for (key, value) in [
        ("{\"id\":", described.id.as_str()),
        (",\"name\":", &described.name),
        (",\"framework_id\":", task.framework.as_str()),
        (",\"executor_id\":", executor),
        (",\"slave_id\":", task.agent.as_str()),
        (",\"state\":", task.state.name()),
        (",\"role\":", task.role.as_str()),
    ] {
        out.extend_from_slice(key.as_bytes());
        text(out, value);
    }
    out.extend_from_slice(b",\"resources\":");
    resources(&described.resources).write(out);
    out.extend_from_slice(b",\"statuses\":");
    list(out, &task.statuses, |one, out| status(one, out));
    if !described.labels.is_empty() {
        out.extend_from_slice(b",\"labels\":");
        list(out, &described.labels, label);
    }
    let extras = task_extras(described);
    message(out, ",\"discovery\":", extras.discovery.as_ref());
    message(out, ",\"container\":", extras.container.as_ref());
    message(out, ",\"health_check\":", extras.health_check.as_ref());
    out.push(b'}');
}

fn status(status: &TaskStatus, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"state\":");
    text(out, status.state.name());
    out.extend_from_slice(b",\"timestamp\":");
    write(out, &status.timestamp.map(Wall::as_secs_f64).unwrap_or_default());
    let container = container_status(status).map(|mut container| {
        // Mesos leaves the pid out here.
        container.executor_pid = None;
        container
    });
    message(out, ",\"container_status\":", container.as_ref());
    if let Some(healthy) = status.healthy {
        out.extend_from_slice(b",\"healthy\":");
        write(out, &healthy);
    }
    out.push(b'}');
}

fn label(label: &Label, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"key\":");
    text(out, &label.key);
    if let Some(value) = label.value.as_deref() {
        out.extend_from_slice(b",\"value\":");
        text(out, value);
    }
    out.push(b'}');
}

/// A message of the API, left out when there is none.
fn message(out: &mut Vec<u8>, key: &str, message: Option<&impl Json>) {
    if let Some(message) = message {
        out.extend_from_slice(key.as_bytes());
        message.write_json(out);
    }
}
