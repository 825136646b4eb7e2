//! What a task's description asks for beyond a command and resources: what of it is done here, and what is refused by
//! the name of its field. Nothing is ignored in silence.

use chapada_agent_core::LaunchRefusal;
use chapada_model::{Reason, TaskState};
use chapada_shim::{Namespaces, Rlimit};
use chapada_wire::v1;

use super::image::image_of;
use crate::fetch::check_uris;
use crate::networks::{NetworkWish, Ports, network_of, refuse_ports};

/// What is done of a `ContainerInfo`.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) namespaces: Namespaces,
    pub(super) network: NetworkWish,
    pub(super) hostname: Option<String>,
    pub(super) rlimits: Vec<Rlimit>,
    /// Its image may say what to run.
    pub(super) has_image: bool,
}

/// Names the first field that this agent cannot honour.
pub(crate) fn refuse_unsupported(info: &v1::TaskInfo) -> Option<LaunchRefusal> {
    match &info.executor {
        // What the task asks for beyond its resources is its executor's to do.
        Some(executor) => {
            refuse_executor("executor", executor).or_else(|| refuse_resources("resources", &info.resources))
        }
        None => refuse_checks(info)
            .or_else(|| refuse_command("command", info.command.as_ref()?, info.container.as_ref()))
            .or_else(|| refuse_resources("resources", &info.resources))
            .or_else(|| match container_wishes("container", info.container.as_ref()) {
                Ok(wishes) => refuse_ports("container", &wishes.network, &Ports::of(&info.resources)),
                Err(refusal) => Some(refusal),
            }),
    }
}

/// Names the first field of a group that this agent cannot honour. What an executor that runs already has is not looked at.
pub(crate) fn refuse_group(
    executor: &v1::ExecutorInfo,
    tasks: &[v1::TaskInfo],
    is_new: bool,
) -> Option<LaunchRefusal> {
    if executor.r#type() == v1::executor_info::Type::Custom {
        return refuse_executor("executor", executor);
    }
    let of_executor = if is_new { refuse_pod(executor, tasks) } else { None };
    of_executor.or_else(|| tasks.iter().find_map(|task| refuse_member(executor, task)))
}

/// A task that joins an executor that runs already can bring no volume: the executor's mounts are made when it starts.
pub(crate) fn refuse_late_volumes(tasks: &[v1::TaskInfo]) -> Option<LaunchRefusal> {
    let is_volume = |resource: &v1::Resource| {
        resource.disk.as_ref().is_some_and(|disk| disk.persistence.is_some() && disk.volume.is_some())
    };
    tasks.iter().find_map(|info| {
        let index = info.resources.iter().position(is_volume)?;
        let remedy = "use it in a task that starts its executor";
        Some(unsupported(&format!("resources[{index}].disk.persistence"), remedy))
    })
}

/// What a check runs, it runs beside the command with what that has.
fn refuse_checks(info: &v1::TaskInfo) -> Option<LaunchRefusal> {
    let health = info.health_check.as_ref().and_then(|check| check.command.as_ref());
    let check = info.check.as_ref().and_then(|check| check.command.as_ref()?.command.as_ref());
    let commands = [("health_check.command", health), ("check.command.command", check)];
    commands.into_iter().find_map(|(field, command)| {
        let command = command?;
        let fetches = !command.uris.is_empty();
        let uris = fetches.then(|| unsupported(&format!("{field}.uris"), "name them in the task's command"));
        uris.or_else(|| refuse_secrets(field, command))
    })
}

/// One task of a pod.
fn refuse_member(executor: &v1::ExecutorInfo, info: &v1::TaskInfo) -> Option<LaunchRefusal> {
    let Some(command) = &info.command else { return Some(refusal("command is required".to_owned())) };
    let ports = || Ports::of(executor.resources.iter().chain(&info.resources));
    refuse_checks(info)
        .or_else(|| refuse_command("command", command, info.container.as_ref()))
        .or_else(|| refuse_resources("resources", &info.resources))
        .or_else(|| match member_wishes(info) {
            Ok(wishes) => refuse_ports("container", &wishes.network, &ports()),
            Err(refusal) => Some(refusal),
        })
}

/// The built-in executor of a pod has no process, and so nothing that could be set of one.
fn refuse_pod(executor: &v1::ExecutorInfo, tasks: &[v1::TaskInfo]) -> Option<LaunchRefusal> {
    let given = executor.resources.iter().chain(tasks.iter().flat_map(|task| &task.resources));
    let of_container = |container: &v1::ContainerInfo| {
        let own = container_wishes("executor.container", Some(container));
        match own {
            Err(refusal) => Some(refusal),
            Ok(wishes) if wishes.has_image => {
                Some(unsupported("executor.container.mesos.image", "give each task of the group its image"))
            }
            Ok(wishes) => refuse_ports("executor.container", &wishes.network, &Ports::of(given.clone())),
        }
    };
    refuse_resources("executor.resources", &executor.resources)
        .or_else(|| executor.container.as_ref().and_then(of_container))
}

/// An executor of the framework's own.
fn refuse_executor(field: &str, executor: &v1::ExecutorInfo) -> Option<LaunchRefusal> {
    let Some(command) = &executor.command else {
        return Some(refusal(format!("{field}.command is required")));
    };
    refuse_command(&format!("{field}.command"), command, executor.container.as_ref())
        .or_else(|| refuse_resources(&format!("{field}.resources"), &executor.resources))
        .or_else(|| match container_wishes(&format!("{field}.container"), executor.container.as_ref()) {
            Err(refusal) => Some(refusal),
            Ok(wishes) => wishes.network.is_own().then(no_network_of_its_own),
        })
}

fn no_network_of_its_own() -> LaunchRefusal {
    let remedy = "an executor reaches its agent over the network of the machine";
    unsupported("executor.container.network_infos[0].name", remedy)
}

fn refuse_command(
    field: &str,
    command: &v1::CommandInfo,
    container: Option<&v1::ContainerInfo>,
) -> Option<LaunchRefusal> {
    if let Some(problem) = check_uris(field, &command.uris) {
        return Some(refusal(problem));
    }
    // An image that is refused is so by its own name.
    let has_image = container.is_some_and(|container| !matches!(image_of("container", container), Ok(None)));
    if text(&command.value).is_empty() && (command.shell() || !has_image) {
        return Some(refusal(format!("{field}.value is required")));
    }
    refuse_secrets(field, command)
}

fn refuse_secrets(field: &str, command: &v1::CommandInfo) -> Option<LaunchRefusal> {
    let variables = command.environment.iter().flat_map(|environment| &environment.variables);
    let secret = variables.enumerate().find(|(_, variable)| variable.secret.is_some());
    secret.map(|(index, _)| {
        unsupported(&format!("{field}.environment.variables[{index}].secret"), "set its value")
    })
}

fn refuse_resources(list: &str, resources: &[v1::Resource]) -> Option<LaunchRefusal> {
    resources.iter().enumerate().find_map(|(index, resource)| {
        let field = |name: &str| format!("{list}[{index}].{name}");
        if resource.disk.as_ref().is_some_and(|disk| disk.volume.is_some() && disk.persistence.is_none()) {
            return Some(unsupported(&field("disk.volume"), "make it a persistent volume by CREATE"));
        }
        (text(&resource.name) == "gpus").then(|| unsupported(&field("name"), "ask for no gpus"))
    })
}

/// What a `ContainerInfo` asks for; `field` is where it stands.
///
/// # Errors
/// Names the first field that this agent cannot honour.
pub(super) fn container_wishes(
    field: &str,
    container: Option<&v1::ContainerInfo>,
) -> Result<Wishes, LaunchRefusal> {
    let Some(container) = container else { return Ok(Wishes::default()) };
    if !container.volumes.is_empty() {
        return Err(unsupported(&format!("{field}.volumes"), "use the sandbox"));
    }
    wishes(field, container)
}

/// The same for a task of a pod, which may share directories with the others; see [`shared_volumes`].
pub(super) fn member_wishes(info: &v1::TaskInfo) -> Result<Wishes, LaunchRefusal> {
    shared_volumes(info)?;
    info.container.as_ref().map_or(Ok(Wishes::default()), |container| wishes("container", container))
}

fn wishes(field: &str, container: &v1::ContainerInfo) -> Result<Wishes, LaunchRefusal> {
    let named = |name: &str| format!("{field}.{name}");
    let image = image_of(field, container)?;
    let has_image = image.is_some();
    if container.linux_info.as_ref().is_some_and(|linux| !is_default(linux)) {
        return Err(unsupported(&named("linux_info"), "leave the defaults, which drop all capabilities"));
    }
    if container.tty_info.is_some() {
        return Err(unsupported(&named("tty_info"), "run without a terminal"));
    }
    let network = network_of(field, container)?;
    Ok(Wishes {
        namespaces: Namespaces { network: network == NetworkWish::Alone },
        network,
        hostname: container.hostname.clone().filter(|name| !name.is_empty()),
        rlimits: rlimits(container.rlimit_info.as_ref())?,
        has_image,
    })
}

/// Whether nothing is asked for that is not done anyway: every task has cgroups of its own.
fn is_default(linux: &v1::LinuxInfo) -> bool {
    *linux == v1::LinuxInfo { share_cgroups: linux.share_cgroups, ..v1::LinuxInfo::default() }
}

/// A directory of a pod that shows in the sandbox of a task.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SharedVolume {
    /// Its name in the executor's sandbox, which no task can write to.
    pub(super) source: String,
    /// Its name in the task's.
    pub(super) name: String,
}

/// The volumes of a task of a pod: SANDBOX_PATH of type PARENT, each a directory right in the sandboxes, so that no task
/// can put a link in the way.
pub(super) fn shared_volumes(info: &v1::TaskInfo) -> Result<Vec<SharedVolume>, LaunchRefusal> {
    let volumes = info.container.iter().flat_map(|container| &container.volumes).enumerate();
    volumes
        .map(|(index, volume)| {
            let field = |name: &str| format!("container.volumes[{index}].{name}");
            let remedy =
                "share a directory of the executor's sandbox: source.type SANDBOX_PATH, its type PARENT";
            let source =
                volume.source.as_ref().filter(|_| volume.host_path.is_none() && volume.image.is_none());
            let path = source.and_then(|source| source.sandbox_path.as_ref());
            let is_parent = |path: &&v1::volume::source::SandboxPath| {
                path.r#type() == v1::volume::source::sandbox_path::Type::Parent
            };
            let Some(path) = path.filter(is_parent) else {
                return Err(unsupported(&field("source"), remedy));
            };
            if volume.mode() != v1::volume::Mode::Rw {
                return Err(unsupported(&field("mode"), "share it with mode RW"));
            }
            let one = |name: &str, text: &str| match is_plain(text) {
                true => Ok(text.to_owned()),
                false => {
                    Err(unsupported(&field(name), "name a directory right in the sandbox, without a slash"))
                }
            };
            Ok(SharedVolume {
                source: one("source.sandbox_path.path", text(&path.path))?,
                name: one("container_path", text(&volume.container_path))?,
            })
        })
        .collect()
}

/// A name that is no part of how a sandbox is laid out.
fn is_plain(name: &str) -> bool {
    let reserved = ["", ".", "..", "containers", "tasks", "stdout", "stderr"];
    !reserved.contains(&name) && !name.contains(['/', '\0']) && name.len() <= 255
}

fn rlimits(info: Option<&v1::RLimitInfo>) -> Result<Vec<Rlimit>, LaunchRefusal> {
    let limits = info.iter().flat_map(|info| &info.rlimits).enumerate();
    limits
        .map(|(index, limit)| {
            let known =
                limit.r#type.and_then(|number| v1::r_limit_info::r_limit::Type::try_from(number).ok());
            let name = known.map(|kind| kind.as_str_name().trim_start_matches("RLMT_").to_ascii_lowercase());
            match name {
                Some(name) if name != "unknown" => Ok(Rlimit { name, soft: limit.soft, hard: limit.hard }),
                Some(_) | None => {
                    Err(refusal(format!("container.rlimit_info.rlimits[{index}].type is unknown")))
                }
            }
        })
        .collect()
}

/// A text field, empty when it is absent.
pub(crate) fn text(field: &Option<String>) -> &str {
    field.as_deref().unwrap_or_default()
}

pub(crate) fn unsupported(field: &str, remedy: &str) -> LaunchRefusal {
    refusal(format!("{field} is not supported by this agent: {remedy}"))
}

pub(crate) fn refusal(message: String) -> LaunchRefusal {
    LaunchRefusal { state: TaskState::Error, reason: Reason::TaskInvalid, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(container: v1::ContainerInfo) -> v1::TaskInfo {
        let command = v1::CommandInfo { value: Some("true".to_owned()), ..v1::CommandInfo::default() };
        v1::TaskInfo { command: Some(command), container: Some(container), ..v1::TaskInfo::default() }
    }

    fn message(info: &v1::TaskInfo) -> String {
        refuse_unsupported(info).map(|refusal| refusal.message).unwrap_or_default()
    }

    #[test]
    fn each_unsupported_field_is_named() {
        let volume = v1::Volume::default();
        let network =
            |name: &str| v1::NetworkInfo { name: Some(name.to_owned()), ..v1::NetworkInfo::default() };
        let cases = [
            (v1::ContainerInfo { volumes: vec![volume], ..Default::default() }, "container.volumes is"),
            (
                v1::ContainerInfo { tty_info: Some(v1::TtyInfo::default()), ..Default::default() },
                "container.tty_info",
            ),
            (
                v1::ContainerInfo {
                    network_infos: vec![network("none"), network("host")],
                    ..Default::default()
                },
                "container.network_infos[0].name is",
            ),
            (
                v1::ContainerInfo {
                    rlimit_info: Some(v1::RLimitInfo {
                        rlimits: vec![v1::r_limit_info::RLimit { r#type: Some(99), soft: None, hard: None }],
                    }),
                    ..Default::default()
                },
                "container.rlimit_info.rlimits[0].type",
            ),
        ];
        for (container, field) in cases {
            let said = message(&task(container));
            assert!(said.starts_with(field), "{said}");
        }
        let mut info = task(v1::ContainerInfo::default());
        assert_eq!(refuse_unsupported(&info), None);
        let uris = vec![v1::command_info::Uri::default()];
        let command = v1::CommandInfo { uris, ..v1::CommandInfo::default() };
        info.health_check = Some(v1::HealthCheck { command: Some(command), ..Default::default() });
        assert!(message(&info).starts_with("health_check.command.uris is"));
    }

    #[test]
    fn a_volume_that_comes_after_its_executor_is_refused() {
        let mut info = task(v1::ContainerInfo::default());
        assert_eq!(refuse_late_volumes(std::slice::from_ref(&info)), None);
        let disk = v1::resource::DiskInfo {
            persistence: Some(Default::default()),
            volume: Some(v1::Volume::default()),
            ..Default::default()
        };
        info.resources =
            vec![v1::Resource::default(), v1::Resource { disk: Some(disk), ..Default::default() }];
        let refused = refuse_late_volumes(&[info]).unwrap();
        assert!(refused.message.starts_with("resources[1].disk.persistence is"), "{}", refused.message);
    }

    #[test]
    fn what_is_supported_is_done() {
        let limit = v1::r_limit_info::RLimit {
            r#type: Some(v1::r_limit_info::r_limit::Type::RlmtNofile as i32),
            soft: Some(64),
            hard: Some(128),
        };
        let network = v1::NetworkInfo { name: Some("none".to_owned()), ..v1::NetworkInfo::default() };
        let container = v1::ContainerInfo {
            hostname: Some("h".to_owned()),
            network_infos: vec![network],
            rlimit_info: Some(v1::RLimitInfo { rlimits: vec![limit] }),
            ..Default::default()
        };
        let wishes = container_wishes("container", Some(&container)).unwrap();
        assert!(wishes.namespaces.network);
        assert_eq!(wishes.hostname.as_deref(), Some("h"));
        assert_eq!(wishes.rlimits, [Rlimit { name: "nofile".to_owned(), soft: Some(64), hard: Some(128) }]);
    }
}
