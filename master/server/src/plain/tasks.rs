//! Tasks.

use chapada_master_core::Task;
use chapada_model::{Label, TaskStatus, Wall};
use chapada_wire::convert::{container_status, task_extras};

use super::object::Object;
use super::resources::resources;

/// Writes a task as `/tasks` and `/state` show it.
pub(super) fn task(task: &Task, out: &mut Vec<u8>) {
    let described = &task.description;
    let extras = task_extras(described);
    let mut object = Object::open(out);
    object.value("id", described.id.as_str());
    object.value("name", &*described.name);
    object.value("framework_id", task.framework.as_str());
    object.value("executor_id", task.executor.as_ref().map_or("", |id| id.as_str()));
    object.value("slave_id", task.agent.as_str());
    object.value("state", task.state.name());
    object.value("resources", &resources(&described.resources));
    object.value("role", task.role.as_str());
    object.list("statuses", &task.statuses, |one, out| status(one, out));
    if !described.labels.is_empty() {
        object.list("labels", &described.labels, label);
    }
    object.message("discovery", extras.discovery.as_ref());
    object.message("container", extras.container.as_ref());
    object.message("health_check", extras.health_check.as_ref());
    object.close();
}

fn status(status: &TaskStatus, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.value("state", status.state.name());
    object.value("timestamp", &status.timestamp.map(Wall::as_secs_f64).unwrap_or_default());
    let container = container_status(status).map(|mut container| {
        // Mesos leaves the pid out here.
        container.executor_pid = None;
        container
    });
    object.message("container_status", container.as_ref());
    object.optional("healthy", status.healthy);
    object.close();
}

fn label(label: &Label, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.value("key", &*label.key);
    object.optional("value", label.value.as_deref());
    object.close();
}
