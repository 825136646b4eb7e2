//! The environment of a task: nothing of the agent's own, what Mesos tells an executor, and what the task brings.

use std::path::Path;

use chapada_agent_core::TaskRecord;
use chapada_model::{AgentId, TaskDescription};
use chapada_wire::v1;

use super::Settings;
use super::description::text;
use crate::layout::executor_of;

/// What a shell finds its programs by, unless the task says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a task runs.
pub(super) struct Place<'a> {
    pub(super) agent: &'a AgentId,
    pub(super) record: &'a TaskRecord,
    pub(super) sandbox: &'a Path,
    pub(super) settings: &'a Settings,
}

/// What the task sets wins.
pub(super) fn of(
    command: &v1::CommandInfo,
    task: &TaskDescription,
    place: &Place<'_>,
) -> Vec<(String, String)> {
    let sandbox = place.sandbox.display().to_string();
    let mut environment: Vec<(String, String)> = [
        ("PATH", PATH.to_owned()),
        ("PWD", sandbox.clone()),
        ("HOST", place.settings.hostname.clone()),
        ("MESOS_SANDBOX", sandbox.clone()),
        ("MESOS_DIRECTORY", sandbox),
        ("MESOS_TASK_ID", place.record.key.task.to_string()),
        ("MESOS_FRAMEWORK_ID", place.record.key.framework.to_string()),
        ("MESOS_EXECUTOR_ID", executor_of(place.record).to_string()),
        ("MESOS_CONTAINER_ID", place.record.container.to_string()),
        ("MESOS_SLAVE_ID", place.agent.to_string()),
        ("MESOS_AGENT_ENDPOINT", place.settings.endpoint.clone()),
        ("MESOS_CHECKPOINT", "1".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let role = task.resources.iter().find_map(|resource| resource.allocation_role.as_ref());
    environment.extend(role.map(|role| ("MESOS_ALLOCATION_ROLE".to_owned(), role.to_string())));
    for variable in command.environment.iter().flat_map(|environment| &environment.variables) {
        set(&mut environment, text(&variable.name), text(&variable.value));
    }
    environment
}

fn set(environment: &mut Vec<(String, String)>, name: &str, value: &str) {
    match environment.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => value.clone_into(known),
        None => environment.push((name.to_owned(), value.to_owned())),
    }
}
