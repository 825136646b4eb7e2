//! From a task to a running shim. Blocks for a millisecond or two.

use std::io;
use std::sync::Arc;

use chapada_agent_core::{FrameworkRecord, TaskRecord};
use chapada_model::{AgentId, Resource, TaskDescription};
use chapada_shim::{Command, ContainerSpec, LaunchError, ShimClient, VolumeMount};
use chapada_wire::v1;
use prost::Message;

use super::description::{container_wishes, text};
use super::{Means, environment, limits};
use crate::volumes::Volumes;

/// Why a task's container was not started. The whole chain is in the message: a framework's author reads it.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("the task's description cannot be read: {0}")]
    Description(String),
    #[error("cannot make the sandbox: {0}")]
    Sandbox(io::Error),
    #[error("{}", with_source(.0))]
    Shim(LaunchError),
}

fn with_source(error: &LaunchError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// What is to run, for whom, under which agent's id.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) task: Arc<TaskRecord>,
    pub(crate) framework: Arc<FrameworkRecord>,
    pub(crate) agent: AgentId,
}

/// Starts the shim that makes the container.
pub(super) fn start(means: &Means, order: &Order) -> Result<ShimClient, StartError> {
    let Order { task: record, framework, agent } = order;
    let info =
        v1::TaskInfo::decode(record.info.as_bytes()).map_err(|e| StartError::Description(e.to_string()))?;
    let task = TaskDescription::try_from(&info).map_err(|e| StartError::Description(e.to_string()))?;
    let sandbox = means.layout.make_sandbox(agent, record).map_err(StartError::Sandbox)?;
    let command =
        info.command.as_ref().ok_or_else(|| StartError::Description("command is required".to_owned()))?;
    let wishes = container_wishes(&info).map_err(|refusal| StartError::Description(refusal.message))?;
    let mut spec =
        ContainerSpec::new(record.container.as_str(), &means.runtime_dir, &sandbox, command_of(command));
    let place = environment::Place { agent, record, sandbox: &sandbox, settings: &means.settings };
    spec.environment = environment::of(command, &task, &place);
    spec.user = user_of(means, command, framework);
    spec.resources = limits::of(&task, means.settings.enforce_cpu);
    spec.namespaces = wishes.namespaces;
    spec.hostname = wishes.hostname;
    spec.rlimits = wishes.rlimits;
    spec.volumes = volumes_of(means, &task);
    spec.hidden_paths = vec![means.layout.work_dir().to_owned()];
    if !means.runtime_dir.starts_with(means.layout.work_dir()) {
        spec.hidden_paths.push(means.runtime_dir.clone());
    }
    let launched = means.launcher.launch(&spec).map_err(StartError::Shim)?;
    Ok(launched.client)
}

/// The persistent volumes among a task's resources.
fn volumes_of(means: &Means, task: &TaskDescription) -> Vec<VolumeMount> {
    let volumes = Volumes::new(means.layout.work_dir());
    let mount = |resource: &Resource| {
        let directory = volumes.directory(resource)?;
        let name = resource.disk.as_ref()?.volume.as_ref()?.container_path.to_string();
        Some(VolumeMount { directory, name })
    };
    task.resources.iter().filter_map(mount).collect()
}

fn command_of(command: &v1::CommandInfo) -> Command {
    let value = text(&command.value).to_owned();
    if command.shell.unwrap_or(true) {
        Command::Shell(value)
    } else {
        Command::Program { file: value, argv: command.arguments.clone() }
    }
}

/// The user that the command names, or else its framework.
fn user_of(means: &Means, command: &v1::CommandInfo, framework: &FrameworkRecord) -> Option<String> {
    if !means.settings.switch_user {
        return None;
    }
    let info = v1::FrameworkInfo::decode(framework.info.as_bytes()).unwrap_or_default();
    let named = [&command.user, &info.user].into_iter().map(text).find(|user| !user.is_empty());
    named.map(str::to_owned)
}
