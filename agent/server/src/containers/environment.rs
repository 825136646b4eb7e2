//! The environment of a task: nothing of the agent's own, what Mesos tells an executor, and what the task brings.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use chapada_agent_core::{ExecutorRecord, TaskRecord};
use chapada_model::{AgentId, TaskDescription};
use chapada_wire::v1;

use super::Settings;
use super::description::text;
use crate::attach::ContainerPath;
use crate::layout::executor_of;

/// What a shell finds its programs by, unless the task says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long an executor waits for an agent that is away. Source: Mesos' `--recovery_timeout`.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(15 * 60);

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
        set(&mut environment, text(&variable.name), &value_of(variable));
    }
    environment
}

/// What an executor of the framework's own is told, as Mesos tells it. Here all frameworks' tasks are written down, so that
/// it is to wait for an agent that restarts.
pub(super) fn of_executor(
    command: &v1::CommandInfo,
    record: &ExecutorRecord,
    agent: &AgentId,
    sandbox: &Path,
    token: String,
    settings: &Settings,
) -> Vec<(String, String)> {
    let sandbox = sandbox.display().to_string();
    let ip = settings.endpoint.rsplit_once(':').map_or("", |(ip, _)| ip).trim_matches(['[', ']']);
    let mut environment: Vec<(String, String)> = [
        ("PATH", PATH.to_owned()),
        ("PWD", sandbox.clone()),
        ("HOST", settings.hostname.clone()),
        ("LIBPROCESS_IP", ip.to_owned()),
        ("LIBPROCESS_PORT", "0".to_owned()),
        ("MESOS_SANDBOX", sandbox.clone()),
        ("MESOS_DIRECTORY", sandbox),
        ("MESOS_FRAMEWORK_ID", record.key.framework.to_string()),
        ("MESOS_EXECUTOR_ID", record.key.executor.to_string()),
        ("MESOS_CONTAINER_ID", record.container.to_string()),
        ("MESOS_SLAVE_ID", agent.to_string()),
        ("MESOS_SLAVE_PID", format!("slave(1)@{}", settings.endpoint)),
        ("MESOS_AGENT_ENDPOINT", settings.endpoint.clone()),
        ("MESOS_CHECKPOINT", "1".to_owned()),
        ("MESOS_HTTP_COMMAND_EXECUTOR", "0".to_owned()),
        ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", mesos_duration(record.shutdown_grace)),
        ("MESOS_RECOVERY_TIMEOUT", mesos_duration(RECOVERY_TIMEOUT)),
        ("MESOS_SUBSCRIPTION_BACKOFF_MAX", mesos_duration(settings.executor_return / 2)),
        ("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", token),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    for variable in command.environment.iter().flat_map(|environment| &environment.variables) {
        set(&mut environment, text(&variable.name), &value_of(variable));
    }
    environment
}

/// That of a container of no task.
pub(super) fn of_launched(
    command: &v1::CommandInfo,
    path: &ContainerPath,
    sandbox: &Path,
    settings: &Settings,
) -> Vec<(String, String)> {
    let sandbox = sandbox.display().to_string();
    let mut environment: Vec<(String, String)> = [
        ("PATH", PATH.to_owned()),
        ("PWD", sandbox.clone()),
        ("HOST", settings.hostname.clone()),
        ("MESOS_SANDBOX", sandbox),
        ("MESOS_CONTAINER_ID", path.to_string()),
        ("MESOS_AGENT_ENDPOINT", settings.endpoint.clone()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    for variable in command.environment.iter().flat_map(|environment| &environment.variables) {
        set(&mut environment, text(&variable.name), &value_of(variable));
    }
    environment
}

/// As Mesos writes spans of time: `5secs`.
fn mesos_duration(duration: Duration) -> String {
    match duration.subsec_nanos() {
        0 => format!("{}secs", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

/// As it stands, or its secret.
fn value_of(variable: &v1::environment::Variable) -> Cow<'_, str> {
    let secret = variable.secret.as_ref().and_then(|secret| secret.value.as_ref()?.data.as_deref());
    secret.map_or_else(|| text(&variable.value).into(), String::from_utf8_lossy)
}

fn set(environment: &mut Vec<(String, String)>, name: &str, value: &str) {
    match environment.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => value.clone_into(known),
        None => environment.push((name.to_owned(), value.to_owned())),
    }
}
