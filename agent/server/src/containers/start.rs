//! From a task to a running shim. Blocks for a millisecond or two.

use std::io;
use std::sync::Arc;

use chapada_agent_core::{ExecutorRecord, FrameworkRecord, LaunchRefusal, TaskRecord};
use chapada_isolation::IsolationError;
use chapada_model::{
    AgentId, ContainerId, ExecutorDescription, Resource, ResourceValue, Resources, TaskDescription,
};
use chapada_shim::{Command, ContainerSpec, LaunchError, Limits, ShimClient};
use chapada_wire::v1;
use prost::Message;

use super::allotments::{self, NoneLeft};
use super::bounds::Bounds;
use super::confinement::Confinement;
use super::description::{container_wishes, text};
use super::disk;
use super::furnish::{Furnishing, Made, furnish};
use super::image::member_container;
use super::mounts::Whose;
use super::volumes::{self, Shared};
use super::{Means, environment, limits};

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
    #[error("cannot make a volume: {0}")]
    Volume(io::Error),
    #[error("the values of its secrets are gone, which are not kept over a restart of the agent")]
    Secrets,
    #[error("cannot filter its system calls: {0}")]
    Filter(String),
    #[error("cannot bound what it takes of the disk: {}", chapada_model::chain(.0))]
    Quota(IsolationError),
    #[error("{0}")]
    Allotment(NoneLeft),
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

/// A container that its shim makes.
pub(super) struct Started {
    pub(super) client: ShimClient,
    /// What its framework should know of it; empty when there is nothing to say.
    pub(super) note: String,
}

/// What a container is to be, before its files are known.
struct Plan {
    spec: ContainerSpec,
    command: v1::CommandInfo,
    confinement: Confinement,
    shared: Shared,
}

/// Starts the shim that makes the container.
pub(super) fn start(means: &Means, order: &Order, made: Made) -> Result<Started, StartError> {
    let Plan { mut spec, command, confinement, shared } = match &order.what {
        What::Task { task, pod } => task_plan(means, order, task, pod.as_deref())?,
        What::Executor { executor, tasks } => executor_plan(means, order, executor, tasks)?,
    };
    let is_on_machines_network = !spec.namespaces.network && made.joined.is_none();
    let port = if is_on_machines_network { privileged_port(order)? } else { None };
    let asked = Furnishing { command: &command, confinement, shared: &shared, group: group_of(order), port };
    let note = furnish(means, &mut spec, asked, made)?;
    disk::bound_root(means, &spec).map_err(StartError::Quota)?;
    allotments::give(means, &mut spec, &own_resources(order)?).map_err(StartError::Allotment)?;
    let launched = means.launcher.launch(&spec).map_err(StartError::Shim)?;
    Ok(Started { client: launched.client, note })
}

/// The pod that a container shares ids with.
fn group_of(order: &Order) -> Option<&str> {
    match &order.what {
        What::Task { pod, .. } => pod.as_ref().map(|pod| pod.container.as_str()),
        What::Executor { .. } => None,
    }
}

fn task_plan(
    means: &Means,
    order: &Order,
    record: &TaskRecord,
    pod: Option<&ExecutorRecord>,
) -> Result<Plan, StartError> {
    let agent = &order.agent;
    let (mut info, task) = described(record)?;
    if !means.supplies.secrets.reveal(&record.info, &mut info) {
        return Err(StartError::Secrets);
    }
    let pod = pod.map(|pod| Ok((pod, executor_described(pod)?))).transpose()?;
    let (container, whose) = match &pod {
        None => (info.container.clone(), Whose::Single),
        Some((_, (executor, _))) => (member_container(executor, &info), Whose::Member),
    };
    let refused = |refusal: LaunchRefusal| StartError::Description(refusal.message);
    let wishes = container_wishes("container", container.as_ref()).map_err(refused)?;
    let policy = &means.supplies.policy;
    let confinement = Confinement::of("container", container.as_ref(), whose, policy).map_err(refused)?;
    let sandbox = means.layout.make_sandbox(agent, record).map_err(StartError::Sandbox)?;
    let command =
        info.command.as_ref().ok_or_else(|| StartError::Description("command is required".to_owned()))?;
    let mut spec =
        ContainerSpec::new(record.container.as_str(), &means.runtime_dir, &sandbox, command_of(command));
    let place = environment::Place { agent, record, sandbox: &sandbox, settings: &means.settings };
    spec.environment = environment::of(command, &task, &place);
    spec.user = user_of(means, command, &order.framework);
    spec.resources = limits::of(&task, means.settings.enforce_cpu);
    if !means.settings.limit_swap {
        spec.resources = limits::with_swap(spec.resources);
    }
    spec.namespaces = wishes.namespaces;
    spec.hostname = wishes.hostname;
    spec.rlimits = wishes.rlimits;
    spec.terminal = wishes.terminal;
    spec.volumes = volumes::persistent(means, &task.resources);
    let shared = match &pod {
        None => Shared::default(),
        Some((pod, (executor, resources))) => {
            let own = volumes::persistent(means, resources);
            spec.volumes.extend(own.iter().cloned());
            let above = means.layout.executor_sandbox(agent, pod);
            let theirs =
                Confinement::of("executor.container", executor.container.as_ref(), Whose::Pod, policy);
            Shared::new(above, own, theirs.map_err(refused)?.mounts)
        }
    };
    Ok(Plan { spec, command: command.clone(), confinement, shared })
}

fn executor_plan(
    means: &Means,
    order: &Order,
    record: &ExecutorRecord,
    tasks: &[Arc<TaskRecord>],
) -> Result<Plan, StartError> {
    let (mut info, resources) = executor_described(record)?;
    if !means.supplies.secrets.reveal(&record.info, &mut info) {
        return Err(StartError::Secrets);
    }
    let (field, container) = ("executor.container", info.container.as_ref());
    let refused = |refusal: LaunchRefusal| StartError::Description(refusal.message);
    let wishes = container_wishes(field, container).map_err(refused)?;
    let confinement =
        Confinement::of(field, container, Whose::Single, &means.supplies.policy).map_err(refused)?;
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
    spec.namespaces = wishes.namespaces;
    spec.hostname = wishes.hostname;
    spec.rlimits = wishes.rlimits;
    spec.terminal = wishes.terminal;
    spec.volumes = volumes::persistent(means, &resources);
    if let Some(socket) = &means.supplies.socket {
        socket.show(&mut spec);
    }
    for task in tasks {
        spec.volumes.extend(volumes::persistent(means, &described(task)?.1.resources));
    }
    Ok(Plan { spec, command: command.clone(), confinement, shared: Shared::default() })
}

/// The lowest port of the machine's where only its root may listen, if it has one: then its root has to be that one.
fn privileged_port(order: &Order) -> Result<Option<u64>, StartError> {
    let resources = resources_of(order)?;
    let ports = resources.iter().flatten().filter(|resource| &*resource.name == "ports").filter_map(lowest);
    Ok(ports.min().filter(|port| *port < FIRST_OPEN_PORT))
}

/// What the container itself asks for.
pub(super) fn own_resources(order: &Order) -> Result<Vec<Resources>, StartError> {
    match &order.what {
        What::Task { task, .. } => Ok(vec![described(task)?.1.resources]),
        What::Executor { .. } => resources_of(order),
    }
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
    let (info, own) = executor_described(record)?;
    let bounds = Bounds::of("executor.container", info.container.as_ref());
    let bounds = bounds.map_err(|refusal| StartError::Description(refusal.message))?;
    let limit_swap = means.settings.limit_swap;
    let tasks = tasks.iter().map(|task| Ok(described(task)?.1)).collect::<Result<Vec<_>, StartError>>()?;
    let limits = limits::with_tasks(&own, &tasks, means.settings.enforce_cpu);
    Ok(bounds.limit(if limit_swap { limits } else { limits::with_swap(limits) }))
}

pub(super) fn described(record: &TaskRecord) -> Result<(v1::TaskInfo, TaskDescription), StartError> {
    let info =
        v1::TaskInfo::decode(record.info.as_bytes()).map_err(|e| StartError::Description(e.to_string()))?;
    let task = TaskDescription::try_from(&info).map_err(|e| StartError::Description(e.to_string()))?;
    Ok((info, task))
}

pub(super) fn executor_described(
    record: &ExecutorRecord,
) -> Result<(v1::ExecutorInfo, Resources), StartError> {
    let info = v1::ExecutorInfo::decode(record.info.as_bytes())
        .map_err(|e| StartError::Description(e.to_string()))?;
    let described =
        ExecutorDescription::try_from(&info).map_err(|e| StartError::Description(e.to_string()))?;
    Ok((info, described.resources))
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
