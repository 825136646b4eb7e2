//! From a call to what its container is to be: what of it is done here, and what is refused by the name of its field.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use chapada_agent_core::{LaunchRefusal, View};
use chapada_isolation::beneath;
use chapada_model::TaskDescription;
use chapada_shim::{
    ContainerSpec, ContainerState, JoinedNamespace, Limits, NamespaceKind, NamespaceOf, runtime_dir,
};
use chapada_wire::v1;
use prost::Message;

use super::super::confinement::Confinement;
use super::super::description::{container_wishes, text, unsupported};
use super::super::mounts::Whose;
use super::super::start::{command_of, hidden_paths, user_of};
use super::super::{Means, environment, limits};
use super::NotLaunched;
use super::record::{Record, VERSION};
use crate::attach::ContainerPath;

/// What a call asks for.
#[derive(Debug)]
pub(crate) struct Wish {
    /// Where it stands in the call.
    pub(crate) field: &'static str,
    pub(crate) path: ContainerPath,
    pub(crate) command: v1::CommandInfo,
    pub(crate) container: Option<v1::ContainerInfo>,
    pub(crate) resources: Vec<v1::Resource>,
    pub(crate) limits: HashMap<String, v1::value::Scalar>,
}

/// The container that another is to be in.
struct Above {
    within: Vec<String>,
    sandbox: PathBuf,
    user: Option<String>,
}

/// What is to be made.
pub(super) struct Plan {
    pub(super) record: Record,
    pub(super) spec: ContainerSpec,
}

fn invalid(refusal: LaunchRefusal) -> NotLaunched {
    NotLaunched::Invalid(refusal.message)
}

/// Plans a container. Blocks for a look at small files, and makes its sandbox.
pub(super) fn plan(means: &Means, view: &View, wish: &Wish) -> Result<Plan, NotLaunched> {
    let field = |name: &str| format!("{}.{name}", wish.field);
    refuse(wish)?;
    let above = wish.path.parent().map(|parent| above(means, view, &parent)).transpose()?;
    let wishes = container_wishes(&field("container"), wish.container.as_ref()).map_err(invalid)?;
    if above.is_some() && (wishes.hostname.is_some() || wishes.namespaces.network) {
        let remedy = "it has the name and the network of the container that it is in";
        return Err(invalid(unsupported(&field("container.hostname and network_infos"), remedy)));
    }
    let policy = &means.supplies.policy;
    let confinement = Confinement::of(&field("container"), wish.container.as_ref(), Whose::Single, policy);
    let confinement = confinement.map_err(invalid)?;
    let (resources, asked) = resources(means, wish, above.is_some())?;

    let shim = uuid::Uuid::new_v4().to_string();
    let sandbox = match &above {
        Some(above) => above.sandbox.join("containers").join(wish.path.own().as_str()),
        None => means.layout.standalone().join(wish.path.own().as_str()),
    };
    make_sandbox(above.as_ref().map(|above| above.sandbox.as_path()), &sandbox)
        .map_err(|error| NotLaunched::Failed(format!("cannot make its sandbox: {error}")))?;
    let mut spec = ContainerSpec::new(&shim, &means.runtime_dir, &sandbox, command_of(&wish.command));
    let named = Some(text(&wish.command.user).to_owned()).filter(|user| !user.is_empty());
    let user = named.filter(|_| means.settings.switch_user);
    spec.user = user.or_else(|| above.as_ref()?.user.clone());
    spec.environment = environment::of_launched(&wish.command, &wish.path, &sandbox, &means.settings);
    spec.resources = resources;
    spec.rlimits = wishes.rlimits;
    spec.terminal = wishes.terminal;
    spec.network_mounts = Some(means.supplies.networks.namespaces().to_owned());
    spec.hidden_paths = hidden_paths(means);
    match &above {
        Some(above) => {
            spec.joined = joined(means, above)?;
            spec.within.clone_from(&above.within);
        }
        None => {
            spec.namespaces = wishes.namespaces;
            spec.hostname = wishes.hostname;
        }
    }
    confinement.apply(&mut spec, policy).map_err(NotLaunched::Invalid)?;
    let record = Record {
        version: VERSION,
        path: wish.path.names(),
        shim,
        within: spec.within.clone(),
        sandbox,
        variables: spec.environment.iter().map(|(name, _)| name.clone()).collect(),
        user: spec.user.clone(),
        resources: asked,
    };
    Ok(Plan { record, spec })
}

/// Names what cannot be honoured.
fn refuse(wish: &Wish) -> Result<(), NotLaunched> {
    let field = |name: &str| format!("{}.{name}", wish.field);
    let refuse = |name: &str, remedy: &str| Err(invalid(unsupported(&field(name), remedy)));
    let command = &wish.command;
    if text(&command.value).is_empty() {
        return Err(NotLaunched::Invalid(format!("Expecting '{}' to be present", field("command.value"))));
    }
    if wish.path.own().as_str().contains('.') {
        let message = format!("'{}' contains '.'", field("container_id.value"));
        return Err(NotLaunched::Invalid(message));
    }
    if !command.uris.is_empty() {
        return refuse("command.uris", "fetch in the command, or launch a task");
    }
    let Some(container) = &wish.container else { return Ok(()) };
    let has_image = container.docker.is_some()
        || container.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some())
        || container.r#type() == v1::container_info::Type::Docker;
    if has_image {
        return refuse("container.mesos.image", "launch a task with an image");
    }
    if !container.volumes.is_empty() {
        return refuse("container.volumes", "use the sandbox, or launch a task with volumes");
    }
    Ok(())
}

/// The container of this name, which must run.
fn above(means: &Means, view: &View, parent: &ContainerPath) -> Result<Above, NotLaunched> {
    let unknown = || NotLaunched::Unknown(format!("Container {parent} cannot be found"));
    if let Some(one) = means.nested.find(parent) {
        let runs = one.pid().is_some() && one.ended().is_none();
        let Record { within, shim, sandbox, user, .. } = one.record.clone();
        let within = within.into_iter().chain([shim]).collect();
        return runs.then_some(Above { within, sandbox, user }).ok_or_else(unknown);
    }
    let agent = view.agent.as_ref().ok_or_else(unknown)?;
    let framework = |id| view.frameworks.iter().find(|framework| framework.id == id);
    // Tasks of an executor of the framework's own are in its container.
    let executor = view.executors.iter().find(|executor| executor.record.container == *parent.own());
    let task = view.tasks.iter().find(|task| task.record.container == *parent.own());
    let (pid, sandbox, command, framework) = match (executor, task) {
        (Some(executor), _) => {
            let info = v1::ExecutorInfo::decode(executor.record.info.as_bytes()).unwrap_or_default();
            let sandbox = means.layout.executor_sandbox(agent, &executor.record);
            (executor.phase.pid(), sandbox, info.command, framework(executor.record.key.framework.clone()))
        }
        (None, Some(task)) => {
            let info = v1::TaskInfo::decode(task.record.info.as_bytes()).unwrap_or_default();
            let sandbox = means.layout.sandbox(agent, &task.record);
            (task.phase.pid(), sandbox, info.command, framework(task.record.key.framework.clone()))
        }
        (None, None) => return Err(unknown()),
    };
    if pid.is_none() {
        return Err(unknown());
    }
    let shim = parent.own().to_string();
    if means.supplies.images.config_of(&shim).is_some() {
        let message = format!(
            "Container {parent} has an image, and what is launched in it would see the machine's files: \
             use LAUNCH_NESTED_CONTAINER_SESSION"
        );
        return Err(NotLaunched::Invalid(message));
    }
    let user = framework.and_then(|framework| user_of(means, &command.unwrap_or_default(), framework));
    Ok(Above { within: vec![shim], sandbox, user })
}

/// What it may use, and that as text.
fn resources(means: &Means, wish: &Wish, is_within: bool) -> Result<(Limits, String), NotLaunched> {
    let field = |name: &str| format!("{}.{name}", wish.field);
    let refuse = |problem: String| Err(NotLaunched::Invalid(problem));
    let linux = wish.container.as_ref().and_then(|container| container.linux_info.as_ref());
    let shares = linux.and_then(|linux| linux.share_cgroups).unwrap_or(true);
    if wish.resources.is_empty() && wish.limits.is_empty() {
        return match is_within {
            true => Ok((Limits::default(), String::new())),
            false => refuse(format!(
                "Expecting '{}' to be present: a standalone container needs cpus and mem of its own",
                field("resources")
            )),
        };
    }
    if is_within && shares {
        return refuse(format!(
            "'{}' are for a container with cgroups of its own: set 'container.linux_info.share_cgroups' to false, or ask for none",
            field("resources")
        ));
    }
    if is_within && !means.launcher.cgroups().bounds_within() {
        return refuse(format!(
            "'{}' are not supported by this agent: its cgroups (v2) cannot bound a container within another; ask for none",
            field("resources")
        ));
    }
    // The rules are those of a task, which has a name and an agent.
    let described = v1::TaskInfo {
        name: Some("launched".to_owned()),
        task_id: Some(v1::TaskId { value: Some("launched".to_owned()) }),
        agent_id: Some(v1::AgentId { value: Some("agent".to_owned()) }),
        resources: wish.resources.clone(),
        limits: wish.limits.clone().into_iter().collect::<BTreeMap<_, _>>().into_iter().collect(),
        ..v1::TaskInfo::default()
    };
    let task = TaskDescription::try_from(&described)
        .map_err(|error| NotLaunched::Invalid(format!("'{}': {error}", field("resources"))))?;
    if task.resources.cpus().is_zero() || task.resources.mem().is_zero() {
        return refuse(format!("'{}' must have cpus and mem", field("resources")));
    }
    if let Some(other) =
        task.resources.iter().find(|resource| !["cpus", "mem", "disk"].contains(&&*resource.name))
    {
        return refuse(format!(
            "'{}' has {}, which belongs to tasks: ask for cpus, mem and disk",
            field("resources"),
            other.name
        ));
    }
    Ok((limits::of(&task, means.settings.enforce_cpu), task.resources.to_string()))
}

/// The namespaces that it shares with the container that it is in.
fn joined(means: &Means, above: &Above) -> Result<Vec<JoinedNamespace>, NotLaunched> {
    let failed =
        |why: String| NotLaunched::Failed(format!("cannot find the container that it is to be in: {why}"));
    let shim = above.within.last().map(String::as_str).unwrap_or_default();
    let state = runtime_dir::read_record::<ContainerState>(&means.runtime_dir.join(shim), runtime_dir::STATE);
    let state = state.map_err(|error| failed(error.to_string()))?;
    let state = state.ok_or_else(|| failed("it has ended".to_owned()))?;
    let of = NamespaceOf::Process { pid: state.pid, start_time: state.start_time };
    let join = |kind| JoinedNamespace { kind, of: of.clone() };
    Ok(vec![join(NamespaceKind::Network), join(NamespaceKind::Uts)])
}

/// Makes a sandbox; one within another's without following a link that is there.
fn make_sandbox(above: Option<&Path>, sandbox: &Path) -> std::io::Result<()> {
    match above {
        None => std::fs::create_dir_all(sandbox),
        Some(above) => {
            let opened = beneath::directory(above).map_err(|error| error.source)?;
            let path = sandbox.strip_prefix(above).map_err(std::io::Error::other)?;
            beneath::make_or_open(&opened, path).map(drop)
        }
    }
}
