//! From a call to what its container is to be: what of it is done here, and what is refused by the name of its field.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use chapada_agent_core::{LaunchRefusal, View};
use chapada_isolation::beneath;
use chapada_model::{Resources, TaskDescription};
use chapada_shim::{
    ContainerSpec, ContainerState, JoinedNamespace, Limits, NamespaceKind, NamespaceOf, runtime_dir,
};
use chapada_wire::v1;

use super::super::confinement::Confinement;
use super::super::description::{Wishes, container_wishes, refuse_command, text, unsupported};
use super::super::mounts::{Origin, Whose};
use super::super::start::command_of;
use super::super::volumes::Shared;
use super::super::{Means, disk, environment, limits};
use super::NotLaunched;
use super::above::{Above, above};
use super::record::{Record, VERSION};
use crate::attach::ContainerPath;
use crate::networks::{Named, NetworkWish};

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

/// What is to be made.
pub(super) struct Plan {
    pub(super) record: Record,
    pub(super) spec: ContainerSpec,
    pub(super) command: v1::CommandInfo,
    pub(super) container: Option<v1::ContainerInfo>,
    pub(super) confinement: Confinement,
    pub(super) shared: Shared,
    /// What it knows names by, when that is the container's that it is in.
    pub(super) named: Option<Named>,
    /// What fetching for it may use.
    pub(super) limits: Limits,
    /// What it asked for itself.
    asked: Resources,
    /// The sandbox of the container that it is in.
    beneath: Option<PathBuf>,
}

fn invalid(refusal: LaunchRefusal) -> NotLaunched {
    NotLaunched::Invalid(refusal.message)
}

/// Plans a container. Blocks for a look at small files.
pub(super) fn plan(means: &Means, view: &View, wish: &Wish) -> Result<Plan, NotLaunched> {
    let field = |name: &str| format!("{}.{name}", wish.field);
    refuse(wish)?;
    let above = wish.path.parent().map(|parent| above(means, view, &parent)).transpose()?;
    let wishes = container_wishes(&field("container"), wish.container.as_ref()).map_err(invalid)?;
    let whose = if above.is_some() { Whose::Member } else { Whose::Single };
    let policy = &means.supplies.policy;
    let confinement = Confinement::of(&field("container"), wish.container.as_ref(), whose, policy);
    let confinement = confinement.map_err(invalid)?;
    if let Some(above) = &above {
        refuse_within(wish, above, &wishes, &confinement)?;
    }
    let (own_limits, asked) = resources(means, wish, above.is_some())?;
    let sandbox = sandbox(means, wish, above.as_ref());
    let shim = uuid::Uuid::new_v4().to_string();
    let mut spec = ContainerSpec::new(&shim, &means.runtime_dir, &sandbox, command_of(&wish.command));
    let named = Some(text(&wish.command.user).to_owned()).filter(|user| !user.is_empty());
    let user = named.filter(|_| means.settings.switch_user);
    spec.user = user.or_else(|| above.as_ref()?.user.clone());
    spec.environment = environment::of_launched(&wish.command, &wish.path, &sandbox, &means.settings);
    spec.resources = own_limits.clone();
    spec.rlimits = wishes.rlimits;
    spec.terminal = wishes.terminal;
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
    let volumes = confinement.mounts.iter().map(|mount| mount.target.clone());
    let record = Record {
        version: VERSION,
        path: wish.path.names(),
        shim,
        within: spec.within.clone(),
        sandbox,
        variables: spec.environment.iter().map(|(name, _)| name.clone()).collect(),
        user: spec.user.clone(),
        resources: asked.to_string(),
        volumes: volumes.filter(|target| target.is_relative()).collect(),
        hostname: spec.hostname.clone(),
        found_over_ms: None,
    };
    let beneath = above.as_ref().map(|above| above.sandbox.clone());
    let of_above = above.as_ref().filter(|_| asked.is_empty()).map(|above| above.limits.clone());
    let (shared, named) = above.map(|above| (above.shared, above.named)).unwrap_or_default();
    let (command, container) = (wish.command.clone(), wish.container.clone());
    let limits = of_above.unwrap_or(own_limits);
    Ok(Plan { record, spec, command, container, confinement, shared, named, limits, asked, beneath })
}

/// Where its sandbox is.
fn sandbox(means: &Means, wish: &Wish, above: Option<&Above>) -> PathBuf {
    let own = wish.path.own().as_str();
    match above {
        Some(above) => above.sandbox.join("containers").join(own),
        None => means.layout.standalone().join(own),
    }
}

impl Plan {
    /// Makes its sandbox, which holds no more than was asked for where the kernel can see to that. Blocks.
    ///
    /// # Errors
    /// Says why in one line.
    pub(super) fn make_sandbox(&self, means: &Means) -> Result<(), String> {
        let sandbox = &self.record.sandbox;
        make_sandbox(self.beneath.as_deref(), sandbox)
            .map_err(|error| format!("cannot make its sandbox: {error}"))?;
        disk::bound_directory(means, sandbox, std::slice::from_ref(&self.asked))
            .map_err(|error| format!("cannot bound its sandbox: {error}"))
    }
}

/// Names what cannot be honoured.
fn refuse(wish: &Wish) -> Result<(), NotLaunched> {
    let field = |name: &str| format!("{}.{name}", wish.field);
    if wish.path.own().as_str().contains('.') {
        return Err(NotLaunched::Invalid(format!("'{}' contains '.'", field("container_id.value"))));
    }
    refuse_command(&field("command"), &wish.command, wish.container.as_ref())
        .map_or(Ok(()), |refusal| Err(invalid(refusal)))
}

/// What only a container on its own may ask for, and what one with the machine's files may not be in.
fn refuse_within(wish: &Wish, above: &Above, wishes: &Wishes, own: &Confinement) -> Result<(), NotLaunched> {
    let field = |name: &str| format!("{}.container.{name}", wish.field);
    if wishes.hostname.is_some() || wishes.network != NetworkWish::Host {
        let remedy = "it has the name and the network of the container that it is in";
        return Err(invalid(unsupported(&field("hostname and network_infos"), remedy)));
    }
    if above.has_image && !own.has_image {
        return Err(NotLaunched::Invalid(format!(
            "Container {} has an image, and what is launched in it without one would see the machine's files: \
             name an image, or use LAUNCH_NESTED_CONTAINER_SESSION",
            above.path
        )));
    }
    let is_hidden = |path: &Path| above.hidden.iter().any(|volume| path.starts_with(volume));
    let hidden = own.mounts.iter().find_map(|mount| match &mount.origin {
        Origin::Parent(path) if is_hidden(path) => Some(path.display()),
        _ => None,
    });
    match hidden {
        Some(path) => {
            let remedy = format!("{path} is a volume of the container that it is in: mount what that mounts");
            Err(invalid(unsupported(&field("volumes.source.sandbox_path PARENT"), &remedy)))
        }
        None => Ok(()),
    }
}

/// What it may use, and what it asked for.
fn resources(means: &Means, wish: &Wish, is_within: bool) -> Result<(Limits, Resources), NotLaunched> {
    let field = |name: &str| format!("{}.{name}", wish.field);
    let refuse = |problem: String| Err(NotLaunched::Invalid(problem));
    let linux = wish.container.as_ref().and_then(|container| container.linux_info.as_ref());
    let shares = linux.and_then(|linux| linux.share_cgroups).unwrap_or(true);
    if wish.resources.is_empty() && wish.limits.is_empty() {
        return match is_within {
            true => Ok((Limits::default(), Resources::default())),
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
    let limits = limits::of(&task, means.settings.enforce_cpu);
    let limits = if means.settings.limit_swap { limits } else { limits::with_swap(limits) };
    Ok((limits, task.resources))
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

/// Makes a sandbox; one within another's without following a link that is there or above it.
fn make_sandbox(above: Option<&Path>, sandbox: &Path) -> std::io::Result<()> {
    match above {
        None => std::fs::create_dir_all(sandbox),
        Some(above) => {
            let opened = beneath::directory_without_links(above).map_err(|error| error.source)?;
            let path = sandbox.strip_prefix(above).map_err(std::io::Error::other)?;
            beneath::make_or_open(&opened, path).map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_sandbox_within_one_within_another_is_made_through_no_link() {
        let place = tempfile::tempdir().unwrap();
        let (outer, elsewhere) = (place.path().join("outer"), place.path().join("elsewhere"));
        std::fs::create_dir_all(outer.join("containers/mid")).unwrap();
        std::fs::create_dir_all(elsewhere.join("mid")).unwrap();
        let mid = outer.join("containers/mid");
        let inner = mid.join("containers/inner");
        make_sandbox(Some(&mid), &inner).unwrap();
        assert!(inner.is_dir());
        // The user of the outer one has what is in it.
        std::fs::rename(outer.join("containers"), outer.join("before")).unwrap();
        symlink(&elsewhere, outer.join("containers")).unwrap();
        assert!(make_sandbox(Some(&mid), &inner).is_err());
        assert!(!elsewhere.join("mid/containers").exists());
    }
}
