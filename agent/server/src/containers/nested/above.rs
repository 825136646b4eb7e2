//! The container that another is to be in.

use std::path::PathBuf;

use chapada_agent_core::{ExecutorView, FrameworkRecord, Runner, TaskView, View};
use chapada_model::{FrameworkId, Resources};
use chapada_shim::Limits;
use chapada_wire::v1;
use prost::Message;

use super::super::confinement::Confinement;
use super::super::image::member_container;
use super::super::mounts::{Mount, Whose};
use super::super::start::{StartError, described, executor_described, room, user_of};
use super::super::volumes::{self, Shared};
use super::super::{Means, limits};
use super::record::Record;
use super::{Launched, NotLaunched};
use crate::attach::ContainerPath;
use crate::networks::Named;

/// What of it concerns those in it.
pub(super) struct Above {
    pub(super) path: ContainerPath,
    /// The shims of those that it is in, and its own.
    pub(super) within: Vec<String>,
    pub(super) sandbox: PathBuf,
    pub(super) user: Option<String>,
    /// What it may use, and with it all that is in it.
    pub(super) limits: Limits,
    pub(super) shared: Shared,
    /// Places in its sandbox where it sees something that nobody else finds there.
    pub(super) hidden: Vec<PathBuf>,
    /// What it knows names by, if it is in networks of its own.
    pub(super) named: Option<Named>,
    /// It does not see the machine's files.
    pub(super) has_image: bool,
}

/// The container of this name, which must run. Blocks for a look at small files.
pub(super) fn above(means: &Means, view: &View, path: &ContainerPath) -> Result<Above, NotLaunched> {
    let unknown = || NotLaunched::Unknown(format!("Container {path} cannot be found"));
    if let Some(one) = means.nested.find(path) {
        let runs = one.pid().is_some() && one.ended().is_none();
        return if runs { of_launched(means, view, path, &one) } else { Err(unknown()) };
    }
    // Tasks of an executor of the framework's own are in its container.
    let executor = view.executors.iter().find(|executor| executor.record.container == *path.own());
    let task = view.tasks.iter().find(|task| task.record.container == *path.own());
    let failed = |error: StartError| NotLaunched::Failed(error.to_string());
    match (executor, task) {
        (Some(executor), _) if executor.phase.pid().is_some() => {
            of_executor(means, view, path, executor).map_err(failed)?.ok_or_else(unknown)
        }
        (None, Some(task)) if task.phase.pid().is_some() => {
            of_task(means, view, path, task).map_err(failed)?.ok_or_else(unknown)
        }
        _ => Err(unknown()),
    }
}

fn of_launched(
    means: &Means,
    view: &View,
    path: &ContainerPath,
    one: &Launched,
) -> Result<Above, NotLaunched> {
    let Record { within, shim, sandbox, user, volumes, resources, hostname, .. } = one.record.clone();
    // What was asked for was written as it is read here.
    let own: Resources = resources.parse().unwrap_or_default();
    let own_limits = || limits::with_tasks(&own, &[], means.settings.enforce_cpu);
    let (limits, named) = match path.parent() {
        Some(parent) => {
            let Above { limits, named, .. } = above(means, view, &parent)?;
            (if own.is_empty() { limits } else { own_limits() }, named)
        }
        None => (own_limits(), named(means, &shim, hostname)),
    };
    Ok(Above {
        path: path.clone(),
        has_image: means.supplies.images.config_of(&shim).is_some(),
        shared: Shared::new(sandbox.clone(), Vec::new(), Vec::new()),
        named,
        within: within.into_iter().chain([shim]).collect(),
        hidden: volumes,
        sandbox,
        user,
        limits,
    })
}

fn of_executor(
    means: &Means,
    view: &View,
    path: &ContainerPath,
    executor: &ExecutorView,
) -> Result<Option<Above>, StartError> {
    let (Some(agent), Some(framework)) = (&view.agent, framework_of(view, &executor.record.key.framework))
    else {
        return Ok(None);
    };
    let (info, resources) = executor_described(&executor.record)?;
    let own = view.tasks.iter().filter(|task| task.record.container == executor.record.container);
    let tasks: Vec<_> = own.map(|task| task.record.clone()).collect();
    let sandbox = means.layout.executor_sandbox(agent, &executor.record);
    let mounts = mounts(means, info.container.as_ref(), Whose::Single)?;
    let shim = path.own().to_string();
    let hostname = info.container.and_then(|container| container.hostname);
    Ok(Some(Above {
        path: path.clone(),
        has_image: means.supplies.images.config_of(&shim).is_some(),
        shared: Shared::new(sandbox.clone(), volumes::persistent(means, &resources), mounts),
        named: named(means, &shim, hostname),
        within: vec![shim],
        hidden: Vec::new(),
        sandbox,
        user: user_of(means, &info.command.unwrap_or_default(), framework),
        limits: room(means, &executor.record, &tasks)?,
    }))
}

fn of_task(
    means: &Means,
    view: &View,
    path: &ContainerPath,
    task: &TaskView,
) -> Result<Option<Above>, StartError> {
    let (Some(agent), Some(framework)) = (&view.agent, framework_of(view, &task.record.key.framework)) else {
        return Ok(None);
    };
    let (info, description) = described(&task.record)?;
    let pod = task.record.executor_key().and_then(|key| {
        let executor = view.executors.iter().find(|executor| executor.record.key == key)?;
        v1::ExecutorInfo::decode(executor.record.info.as_bytes()).ok()
    });
    let mounts = match &pod {
        Some(pod) => mounts(means, member_container(pod, &info).as_ref(), Whose::Member)?,
        None => mounts(means, info.container.as_ref(), Whose::Single)?,
    };
    let sandbox = means.layout.sandbox(agent, &task.record);
    let shim = path.own().to_string();
    let hostname = info.container.and_then(|container| container.hostname);
    let pod_container = match &task.record.runner {
        Runner::Pod { parent, .. } => Some(parent.as_str()),
        Runner::Command | Runner::Custom { .. } => None,
    };
    Ok(Some(Above {
        path: path.clone(),
        has_image: means.supplies.images.config_of(&shim).is_some(),
        shared: Shared::new(sandbox.clone(), volumes::persistent(means, &description.resources), mounts),
        named: named(means, &shim, hostname.clone()).or_else(|| named(means, pod_container?, hostname)),
        within: vec![shim],
        hidden: Vec::new(),
        sandbox,
        user: user_of(means, &info.command.unwrap_or_default(), framework),
        limits: limits::of(&description, means.settings.enforce_cpu),
    }))
}

/// What a container knows names by that joined networks: the host name it asked for, or else its own.
fn named(means: &Means, container: &str, hostname: Option<String>) -> Option<Named> {
    let attached = means.supplies.networks.of(container)?;
    let hostname = hostname.filter(|name| !name.is_empty()).unwrap_or_else(|| container.to_owned());
    Some(Named { attached, hostname })
}

fn framework_of<'a>(view: &'a View, id: &FrameworkId) -> Option<&'a FrameworkRecord> {
    view.frameworks.iter().find(|framework| framework.id == *id).map(AsRef::as_ref)
}

fn mounts(
    means: &Means,
    container: Option<&v1::ContainerInfo>,
    whose: Whose,
) -> Result<Vec<Mount>, StartError> {
    Confinement::of("container", container, whose, &means.supplies.policy)
        .map(|confinement| confinement.mounts)
        .map_err(|refusal| StartError::Description(refusal.message))
}
