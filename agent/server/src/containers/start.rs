//! From a task to a running shim. Blocks for a millisecond or two.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use chapada_agent_core::{ExecutorRecord, FrameworkRecord, LaunchRefusal, TaskRecord};
use chapada_model::{
    AgentId, ContainerId, ExecutorDescription, Resource, ResourceValue, Resources, TaskDescription,
};
use chapada_shim::{Command, ContainerSpec, LaunchError, Limits, ShimClient, VolumeMount, VolumeSource};
use chapada_wire::v1;
use prost::Message;

use super::description::{container_wishes, member_wishes, shared_volumes, text};
use super::image::Rooted;
use super::{Means, environment, limits};
use crate::networks::Joined;

/// Below it only root of the machine may listen. Source: the kernel's default.
const FIRST_OPEN_PORT: u64 = 1024;

/// Why a task's container was not started. The whole chain is in the message: a framework's author reads it.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("the task's description cannot be read: {0}")]
    Description(String),
    #[error("cannot make the sandbox: {0}")]
    Sandbox(io::Error),
    #[error("{0}")]
    Image(String),
    #[error("cannot write down what it knows names by: {0}")]
    Names(io::Error),
    #[error("cannot give it ids of its own: {0}")]
    Ids(io::Error),
    #[error("cannot make the executor's token: {0}")]
    Token(io::Error),
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
    pub(crate) what: What,
    pub(crate) framework: Arc<FrameworkRecord>,
    pub(crate) agent: AgentId,
}

/// What is to run.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A task in a container of its own, beneath its executor's when it is of a pod.
    Task { task: Arc<TaskRecord>, pod: Option<Arc<ExecutorRecord>> },
    /// An executor of the framework's own, with room for these tasks.
    Executor { executor: Arc<ExecutorRecord>, tasks: Vec<Arc<TaskRecord>> },
}

impl Order {
    /// The name of the container.
    pub(crate) fn container(&self) -> &ContainerId {
        match &self.what {
            What::Task { task, .. } => &task.container,
            What::Executor { executor, .. } => &executor.container,
        }
    }
}

/// Starts the shim that makes the container.
pub(super) fn start(
    means: &Means,
    order: &Order,
    rooted: Option<Box<Rooted>>,
    joined: Option<Joined>,
) -> Result<ShimClient, StartError> {
    let (mut spec, command) = match &order.what {
        What::Task { task, pod } => task_spec(means, order, task, pod.as_deref())?,
        What::Executor { executor, tasks } => executor_spec(means, order, executor, tasks)?,
    };
    if let Some(rooted) = rooted {
        rooted.dress(&mut spec, &command).map_err(StartError::Image)?;
    }
    if let Some(joined) = joined {
        joined.give(means, &mut spec).map_err(StartError::Names)?;
    }
    if spec.root.is_some() {
        if means.settings.user_namespaces && !has_privileged_port(&spec, order)? {
            spec.user_namespace = Some(means.supplies.ids.allocate(&spec.id).map_err(StartError::Ids)?);
        }
    }
    spec.network_mounts = Some(means.supplies.networks.namespaces().to_owned());
    spec.never_host_root = !means.settings.allow_host_root;
    spec.hidden_paths =
        vec![means.layout.work_dir().to_owned(), means.supplies.images.directory().to_owned()];
    spec.hidden_paths.extend(means.supplies.volumes.hidden());
    if !means.runtime_dir.starts_with(means.layout.work_dir()) {
        spec.hidden_paths.push(means.runtime_dir.clone());
    }
    let launched = means.launcher.launch(&spec).map_err(StartError::Shim)?;
    Ok(launched.client)
}

fn task_spec(
    means: &Means,
    order: &Order,
    record: &TaskRecord,
    pod: Option<&ExecutorRecord>,
) -> Result<(ContainerSpec, v1::CommandInfo), StartError> {
    let agent = &order.agent;
    let (info, task) = described(record)?;
    let refused = |refusal: LaunchRefusal| StartError::Description(refusal.message);
    let wishes = match pod {
        None => container_wishes("container", info.container.as_ref()),
        Some(_) => member_wishes(&info),
    };
    let wishes = wishes.map_err(refused)?;
    let sandbox = means.layout.make_sandbox(agent, record).map_err(StartError::Sandbox)?;
    let command =
        info.command.as_ref().ok_or_else(|| StartError::Description("command is required".to_owned()))?;
    let mut spec =
        ContainerSpec::new(record.container.as_str(), &means.runtime_dir, &sandbox, command_of(command));
    let place = environment::Place { agent, record, sandbox: &sandbox, settings: &means.settings };
    spec.environment = environment::of(command, &task, &place);
    spec.user = user_of(means, command, &order.framework);
    spec.resources = limits::of(&task, means.settings.enforce_cpu);
    spec.namespaces = wishes.namespaces;
    spec.hostname = wishes.hostname;
    spec.rlimits = wishes.rlimits;
    spec.volumes = volumes_of(means, &task.resources);
    if let Some(pod) = pod {
        let above = means.layout.executor_sandbox(agent, pod);
        spec.volumes.extend(volumes_of(means, &executor_described(pod)?.1));
        for shared in shared_volumes(&info).map_err(refused)? {
            let directory = above.join(&shared.source);
            DirBuilder::new().recursive(true).mode(0o755).create(&directory).map_err(StartError::Sandbox)?;
            spec.volumes.push(VolumeMount::given(directory, shared.name));
        }
    }
    Ok((spec, command.clone()))
}

fn executor_spec(
    means: &Means,
    order: &Order,
    record: &ExecutorRecord,
    tasks: &[Arc<TaskRecord>],
) -> Result<(ContainerSpec, v1::CommandInfo), StartError> {
    let (info, resources) = executor_described(record)?;
    let wishes = container_wishes("executor.container", info.container.as_ref())
        .map_err(|refusal| StartError::Description(refusal.message))?;
    let command = info.command.as_ref();
    let command =
        command.ok_or_else(|| StartError::Description("executor.command is required".to_owned()))?;
    let sandbox = means.layout.make_executor_sandbox(&order.agent, record).map_err(StartError::Sandbox)?;
    let token = means.tokens.issue(&record.container).map_err(StartError::Token)?;
    let mut spec =
        ContainerSpec::new(record.container.as_str(), &means.runtime_dir, &sandbox, command_of(command));
    spec.environment =
        environment::of_executor(command, record, &order.agent, &sandbox, token, &means.settings);
    spec.user = user_of(means, command, &order.framework);
    spec.resources = room(means, record, tasks)?;
    spec.hostname = wishes.hostname;
    spec.rlimits = wishes.rlimits;
    spec.volumes = volumes_of(means, &resources);
    for task in tasks {
        spec.volumes.extend(volumes_of(means, &described(task)?.1.resources));
    }
    Ok((spec, command.clone()))
}

/// Whether it may listen where only root of the machine can: then its root has to be that one.
fn has_privileged_port(spec: &ContainerSpec, order: &Order) -> Result<bool, StartError> {
    let mut resources = Vec::new();
    match &order.what {
        What::Task { task, .. } => resources.push(described(task)?.1.resources),
        What::Executor { executor, tasks } => {
            resources.push(executor_described(executor)?.1);
            for task in tasks {
                resources.push(described(task)?.1.resources);
            }
        }
    }
    let is_privileged = |resource: &Resource| {
        &*resource.name == "ports" && lowest(resource).is_some_and(|port| port < FIRST_OPEN_PORT)
    };
    let asked = resources.iter().any(|resources| resources.iter().any(is_privileged));
    if asked && !spec.namespaces.network && spec.joined.is_empty() {
        tracing::info!(
            container_id = spec.id,
            "its root is the machine's: it has a port below {FIRST_OPEN_PORT}"
        );
        return Ok(true);
    }
    Ok(false)
}

fn lowest(resource: &Resource) -> Option<u64> {
    match &resource.value {
        ResourceValue::Ranges(ranges) => ranges.iter().map(|range| range.begin).min(),
        ResourceValue::Scalar(_) | ResourceValue::Set(_) => None,
    }
}

/// What the container of an executor may use with these tasks in it.
pub(super) fn room(
    means: &Means,
    record: &ExecutorRecord,
    tasks: &[Arc<TaskRecord>],
) -> Result<Limits, StartError> {
    let own = executor_described(record)?.1;
    let tasks = tasks.iter().map(|task| Ok(described(task)?.1)).collect::<Result<Vec<_>, StartError>>()?;
    Ok(limits::with_tasks(&own, &tasks, means.settings.enforce_cpu))
}

pub(super) fn described(record: &TaskRecord) -> Result<(v1::TaskInfo, TaskDescription), StartError> {
    let info =
        v1::TaskInfo::decode(record.info.as_bytes()).map_err(|e| StartError::Description(e.to_string()))?;
    let task = TaskDescription::try_from(&info).map_err(|e| StartError::Description(e.to_string()))?;
    Ok((info, task))
}

fn executor_described(record: &ExecutorRecord) -> Result<(v1::ExecutorInfo, Resources), StartError> {
    let info = v1::ExecutorInfo::decode(record.info.as_bytes())
        .map_err(|e| StartError::Description(e.to_string()))?;
    let described =
        ExecutorDescription::try_from(&info).map_err(|e| StartError::Description(e.to_string()))?;
    Ok((info, described.resources))
}

/// The persistent volumes among resources.
fn volumes_of(means: &Means, resources: &Resources) -> Vec<VolumeMount> {
    let mount = |resource: &Resource| {
        let place = means.supplies.volumes.place(resource)?;
        let target = resource.disk.as_ref()?.volume.as_ref()?.container_path.to_string().into();
        let source = VolumeSource::Host { root: place.root, path: place.path, give: true };
        Some(VolumeMount { source, target, read_only: false })
    };
    resources.iter().filter_map(mount).collect()
}

/// Waits until disks that the container's volumes have to themselves are cleared of the volumes before.
pub(super) async fn cleared(means: &Means, order: &Order) -> Result<(), String> {
    if !means.supplies.volumes.is_clearing() {
        return Ok(());
    }
    let resources = resources_of(order).map_err(|error| error.to_string())?;
    means.supplies.volumes.cleared(&resources).await
}

/// All resources that a container may have to do with.
fn resources_of(order: &Order) -> Result<Vec<Resources>, StartError> {
    let (executor, tasks) = match &order.what {
        What::Task { task, pod } => (pod.as_ref(), std::slice::from_ref(task)),
        What::Executor { executor, tasks } => (Some(executor), tasks.as_slice()),
    };
    let of_executor = executor.map(|executor| Ok(executor_described(executor)?.1));
    of_executor.into_iter().chain(tasks.iter().map(|task| Ok(described(task)?.1.resources))).collect()
}

pub(super) fn command_of(command: &v1::CommandInfo) -> Command {
    let value = text(&command.value).to_owned();
    if command.shell.unwrap_or(true) {
        Command::Shell(value)
    } else {
        Command::Program { file: value, argv: command.arguments.clone() }
    }
}

/// The user that the command names, or else its framework.
pub(super) fn user_of(
    means: &Means,
    command: &v1::CommandInfo,
    framework: &FrameworkRecord,
) -> Option<String> {
    if !means.settings.switch_user {
        return None;
    }
    let info = v1::FrameworkInfo::decode(framework.info.as_bytes()).unwrap_or_default();
    let named = [&command.user, &info.user].into_iter().map(text).find(|user| !user.is_empty());
    named.map(str::to_owned)
}
