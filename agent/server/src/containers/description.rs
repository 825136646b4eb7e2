//! What a task's description asks for beyond a command and resources: what of it is done here, and what is refused by
//! the name of its field. Nothing is ignored in silence.

use chapada_agent_core::LaunchRefusal;
use chapada_model::{Reason, TaskState};
use chapada_shim::{Namespaces, Rlimit, WindowSize};
use chapada_wire::v1;

use super::confinement::Confinement;
use super::image::{image_of, member_container};
use super::mounts::{Whose, secret_value};
use crate::attach::window_size;
use crate::fetch::check_uris;
use crate::networks::{NetworkWish, Ports, network_of, refuse_ports};
use crate::policy::Policy;

/// What is done of a `ContainerInfo`.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub(super) namespaces: Namespaces,
    pub(super) network: NetworkWish,
    pub(super) hostname: Option<String>,
    pub(super) rlimits: Vec<Rlimit>,
    /// A terminal of this size.
    pub(super) terminal: Option<WindowSize>,
}

/// Names the first field that this agent cannot honour.
pub(crate) fn refuse_unsupported(info: &v1::TaskInfo, policy: &Policy) -> Option<LaunchRefusal> {
    match &info.executor {
        // What the task asks for beyond its resources is its executor's to do.
        Some(executor) => refuse_executor("executor", executor, &info.resources, policy)
            .or_else(|| refuse_resources("resources", &info.resources)),
        None => refuse_checks(info)
            .or_else(|| refuse_command("command", info.command.as_ref()?, info.container.as_ref()))
            .or_else(|| refuse_resources("resources", &info.resources))
            .or_else(|| match container_wishes("container", info.container.as_ref()) {
                Ok(wishes) => refuse_ports("container", &wishes.network, &Ports::of(&info.resources)),
                Err(refusal) => Some(refusal),
            })
            .or_else(|| refuse_confinement("container", info.container.as_ref(), Whose::Single, policy)),
    }
}

/// Names the first field of a group that this agent cannot honour. What an executor that runs already has is not looked at.
pub(crate) fn refuse_group(
    executor: &v1::ExecutorInfo,
    tasks: &[v1::TaskInfo],
    is_new: bool,
    policy: &Policy,
) -> Option<LaunchRefusal> {
    if executor.r#type() == v1::executor_info::Type::Custom {
        let given: Vec<_> = tasks.iter().flat_map(|task| &task.resources).cloned().collect();
        return refuse_executor("executor", executor, &given, policy);
    }
    let of_executor = if is_new { refuse_pod(executor, tasks, policy) } else { None };
    of_executor.or_else(|| tasks.iter().find_map(|task| refuse_member(executor, task, policy)))
}

fn refuse_confinement(
    field: &str,
    container: Option<&v1::ContainerInfo>,
    whose: Whose,
    policy: &Policy,
) -> Option<LaunchRefusal> {
    Confinement::of(field, container, whose, policy).err()
}

/// A task that joins an executor that runs already can bring no volume: the executor's mounts are made when it starts.
pub(crate) fn refuse_late_volumes(tasks: &[v1::TaskInfo]) -> Option<LaunchRefusal> {
    if let Some(refused) = tasks.iter().find_map(refuse_late_gpus) {
        return Some(refused);
    }
    let is_volume = |resource: &v1::Resource| {
        resource.disk.as_ref().is_some_and(|disk| disk.persistence.is_some() && disk.volume.is_some())
    };
    tasks.iter().find_map(|info| {
        let index = info.resources.iter().position(is_volume)?;
        let remedy = "use it in a task that starts its executor";
        Some(unsupported(&format!("resources[{index}].disk.persistence"), remedy))
    })
}

/// Nor a GPU, if it is in the executor's container: the nodes are made when that starts.
fn refuse_late_gpus(info: &v1::TaskInfo) -> Option<LaunchRefusal> {
    let custom = |executor: &v1::ExecutorInfo| executor.r#type() != v1::executor_info::Type::Default;
    let index = info.resources.iter().position(|resource| text(&resource.name) == "gpus")?;
    info.executor.as_ref().filter(|executor| custom(executor))?;
    let remedy = "ask for gpus in a task that starts its executor";
    Some(unsupported(&format!("resources[{index}].name"), remedy))
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
        let remedy = "give it to the task, from where a check has it";
        let secret = || unsupported(&format!("{field}.environment"), remedy);
        uris.or_else(|| has_secrets(command).then(secret))
    })
}

/// One task of a pod.
fn refuse_member(executor: &v1::ExecutorInfo, info: &v1::TaskInfo, policy: &Policy) -> Option<LaunchRefusal> {
    let Some(command) = &info.command else { return Some(refusal("command is required".to_owned())) };
    let ports = || Ports::of(executor.resources.iter().chain(&info.resources));
    let container = member_container(executor, info);
    let container = container.as_ref();
    refuse_checks(info)
        .or_else(|| refuse_command("command", command, container))
        .or_else(|| refuse_resources("resources", &info.resources))
        .or_else(|| match container_wishes("container", container) {
            Ok(wishes) => refuse_ports("container", &wishes.network, &ports()),
            Err(refusal) => Some(refusal),
        })
        .or_else(|| refuse_confinement("container", container, Whose::Member, policy))
}

/// The built-in executor of a pod has no process, and so nothing that could be set of one.
fn refuse_pod(executor: &v1::ExecutorInfo, tasks: &[v1::TaskInfo], policy: &Policy) -> Option<LaunchRefusal> {
    let given = executor.resources.iter().chain(tasks.iter().flat_map(|task| &task.resources));
    let of_container = |container: &v1::ContainerInfo| {
        let own = container_wishes("executor.container", Some(container));
        match own {
            Err(refusal) => Some(refusal),
            Ok(_) if container.linux_info.as_ref().is_some_and(|linux| !is_default(linux)) => {
                Some(unsupported("executor.container.linux_info", "give each task of the group its own"))
            }
            Ok(wishes) if !wishes.rlimits.is_empty() => {
                Some(unsupported("executor.container.rlimit_info", "give each task of the group its own"))
            }
            Ok(wishes) if wishes.terminal.is_some() => {
                Some(unsupported("executor.container.tty_info", "give each task of the group its terminal"))
            }
            Ok(wishes) => refuse_ports("executor.container", &wishes.network, &Ports::of(given.clone())),
        }
    };
    let container = executor.container.as_ref();
    refuse_resources("executor.resources", &executor.resources)
        .or_else(|| container.and_then(of_container))
        .or_else(|| refuse_confinement("executor.container", container, Whose::Pod, policy))
}

/// An executor of the framework's own, with what its tasks have.
fn refuse_executor(
    field: &str,
    executor: &v1::ExecutorInfo,
    of_tasks: &[v1::Resource],
    policy: &Policy,
) -> Option<LaunchRefusal> {
    let Some(command) = &executor.command else {
        return Some(refusal(format!("{field}.command is required")));
    };
    refuse_command(&format!("{field}.command"), command, executor.container.as_ref())
        .or_else(|| refuse_resources(&format!("{field}.resources"), &executor.resources))
        .or_else(|| match container_wishes(&format!("{field}.container"), executor.container.as_ref()) {
            Err(refusal) => Some(refusal),
            Ok(wishes) if wishes.network.is_own() && !policy.executor_networks => {
                Some(no_network_of_its_own())
            }
            Ok(wishes) => {
                let ports = Ports::of(executor.resources.iter().chain(of_tasks));
                refuse_ports(&format!("{field}.container"), &wishes.network, &ports)
            }
        })
        .or_else(|| {
            let field = format!("{field}.container");
            refuse_confinement(&field, executor.container.as_ref(), Whose::Single, policy)
        })
}

fn no_network_of_its_own() -> LaunchRefusal {
    let remedy = "an executor reaches its agent over the network of the machine, unless an operator starts it with \
                  --http-executor-domain-sockets";
    unsupported("executor.container.network_infos[0].name", remedy)
}

pub(super) fn refuse_command(
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

fn has_secrets(command: &v1::CommandInfo) -> bool {
    let mut variables = command.environment.iter().flat_map(|environment| &environment.variables);
    variables.any(|variable| variable.secret.is_some())
}

/// Secrets in the environment are values, and text.
fn refuse_secrets(field: &str, command: &v1::CommandInfo) -> Option<LaunchRefusal> {
    let variables = command.environment.iter().flat_map(|environment| &environment.variables);
    variables.enumerate().find_map(|(index, variable)| {
        let field = format!("{field}.environment.variables[{index}].secret");
        match secret_value(&field, variable.secret.as_ref()?) {
            Ok(value) if std::str::from_utf8(value).is_ok_and(|text| !text.contains('\0')) => None,
            Ok(_) => Some(refusal(format!("{field}.value is no text: mount it as a volume"))),
            Err(refusal) => Some(refusal),
        }
    })
}

fn refuse_resources(list: &str, resources: &[v1::Resource]) -> Option<LaunchRefusal> {
    resources.iter().enumerate().find_map(|(index, resource)| {
        let field = |name: &str| format!("{list}[{index}].{name}");
        if resource.disk.as_ref().is_some_and(|disk| disk.volume.is_some() && disk.persistence.is_none()) {
            return Some(unsupported(&field("disk.volume"), "make it a persistent volume by CREATE"));
        }
        let is_part = text(&resource.name) == "gpus"
            && resource.scalar.as_ref().is_some_and(|scalar| scalar.value().fract() != 0.0);
        is_part.then(|| unsupported(&field("scalar.value"), "ask for whole gpus"))
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
    let network = network_of(field, container)?;
    Ok(Wishes {
        namespaces: Namespaces { network: network == NetworkWish::Alone },
        network,
        hostname: container.hostname.clone().filter(|name| !name.is_empty()),
        rlimits: rlimits(container.rlimit_info.as_ref())?,
        terminal: container.tty_info.as_ref().map(window_size),
    })
}

/// Whether nothing is asked for that is not done anyway: every task has cgroups of its own.
fn is_default(linux: &v1::LinuxInfo) -> bool {
    *linux == v1::LinuxInfo { share_cgroups: linux.share_cgroups, ..v1::LinuxInfo::default() }
}

fn rlimits(info: Option<&v1::RLimitInfo>) -> Result<Vec<Rlimit>, LaunchRefusal> {
    let limits = info.iter().flat_map(|info| &info.rlimits).enumerate();
    limits
        .map(|(index, limit)| {
            let known =
                limit.r#type.and_then(|number| v1::r_limit_info::r_limit::Type::try_from(number).ok());
            let name = known.map(|kind| kind.as_str_name().trim_start_matches("RLMT_").to_ascii_lowercase());
            match name {
                Some(_) if limit.soft.is_some() != limit.hard.is_some() => Err(refusal(format!(
                    "container.rlimit_info.rlimits[{index}] has one of soft and hard: name both, or neither for no limit"
                ))),
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
        refuse_unsupported(info, &Policy::with(|_| {})).map(|refusal| refusal.message).unwrap_or_default()
    }

    #[test]
    fn each_unsupported_field_is_named() {
        let volume = v1::Volume::default();
        let network =
            |name: &str| v1::NetworkInfo { name: Some(name.to_owned()), ..v1::NetworkInfo::default() };
        let cases = [
            (
                v1::ContainerInfo { volumes: vec![volume], ..Default::default() },
                "container.volumes[0].container_path",
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
        assert_eq!(refuse_unsupported(&info, &Policy::with(|_| {})), None);
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
