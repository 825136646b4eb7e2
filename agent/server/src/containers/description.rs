//! What a task's description asks for beyond a command and resources: what of it is done here, and what is refused by
//! the name of its field. Nothing is ignored in silence.

use chapada_agent_core::LaunchRefusal;
use chapada_model::{Reason, TaskState};
use chapada_shim::{Namespaces, Rlimit};
use chapada_wire::v1;
use chapada_wire::v1::container_info;

/// The network of this name is one's own, with a loopback and nothing else.
const NO_NETWORK: &str = "none";
/// The network of this name is the machine's.
const HOST_NETWORK: &str = "host";

/// What is done of `TaskInfo.container`.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) namespaces: Namespaces,
    pub(super) hostname: Option<String>,
    pub(super) rlimits: Vec<Rlimit>,
}

/// Names the first field that this agent cannot honour.
pub(crate) fn refuse_unsupported(info: &v1::TaskInfo) -> Option<LaunchRefusal> {
    let absent: [(bool, &str, &str); 4] = [
        (info.executor.is_some(), "executor", "launch a command instead"),
        (info.health_check.is_some(), "health_check", "check from the framework instead"),
        (info.check.is_some(), "check", "check from the framework instead"),
        (
            info.max_completion_time.is_some(),
            "max_completion_time",
            "kill the task from the framework instead",
        ),
    ];
    let absent = absent.into_iter().find(|(asked, ..)| *asked);
    let absent = absent.map(|(_, field, remedy)| unsupported(field, remedy));
    absent
        .or_else(|| refuse_command(info.command.as_ref()?))
        .or_else(|| refuse_resources(&info.resources))
        .or_else(|| container_wishes(info).err())
}

fn refuse_command(command: &v1::CommandInfo) -> Option<LaunchRefusal> {
    if !command.uris.is_empty() {
        return Some(unsupported("command.uris", "fetch what the task needs in its command"));
    }
    if text(&command.value).is_empty() {
        return Some(refusal("command.value is required".to_owned()));
    }
    let variables = command.environment.iter().flat_map(|environment| &environment.variables);
    let secret = variables.enumerate().find(|(_, variable)| variable.secret.is_some());
    secret.map(|(index, _)| {
        unsupported(&format!("command.environment.variables[{index}].secret"), "set its value")
    })
}

fn refuse_resources(resources: &[v1::Resource]) -> Option<LaunchRefusal> {
    resources.iter().enumerate().find_map(|(index, resource)| {
        let field = |name: &str| format!("resources[{index}].{name}");
        if resource.disk.as_ref().is_some_and(|disk| disk.volume.is_some() && disk.persistence.is_none()) {
            return Some(unsupported(&field("disk.volume"), "make it a persistent volume by CREATE"));
        }
        (text(&resource.name) == "gpus").then(|| unsupported(&field("name"), "ask for no gpus"))
    })
}

/// What `TaskInfo.container` asks for.
///
/// # Errors
/// Names the first field that this agent cannot honour.
pub(super) fn container_wishes(info: &v1::TaskInfo) -> Result<Wishes, LaunchRefusal> {
    let Some(container) = &info.container else { return Ok(Wishes::default()) };
    let image = "run a program of the machine instead";
    if container.r#type == Some(v1::container_info::Type::Docker as i32) || container.docker.is_some() {
        return Err(unsupported("container.docker", image));
    }
    if container.mesos.as_ref().is_some_and(|mesos: &container_info::MesosInfo| mesos.image.is_some()) {
        return Err(unsupported("container.mesos.image", image));
    }
    if !container.volumes.is_empty() {
        return Err(unsupported("container.volumes", "use the sandbox"));
    }
    if container.linux_info.as_ref().is_some_and(|linux| *linux != v1::LinuxInfo::default()) {
        return Err(unsupported("container.linux_info", "leave the defaults, which drop all capabilities"));
    }
    if container.tty_info.is_some() {
        return Err(unsupported("container.tty_info", "run without a terminal"));
    }
    Ok(Wishes {
        namespaces: Namespaces { network: own_network(&container.network_infos)? },
        hostname: container.hostname.clone().filter(|name| !name.is_empty()),
        rlimits: rlimits(container.rlimit_info.as_ref())?,
    })
}

/// Whether the task wants a network of its own.
fn own_network(networks: &[v1::NetworkInfo]) -> Result<bool, LaunchRefusal> {
    let [network] = networks else {
        return if networks.is_empty() {
            Ok(false)
        } else {
            Err(unsupported("container.network_infos", "name one network at most"))
        };
    };
    if !network.ip_addresses.is_empty() || !network.port_mappings.is_empty() || !network.groups.is_empty() {
        let field = "container.network_infos[0]";
        return Err(unsupported(field, "name a network without addresses, groups and port mappings"));
    }
    match text(&network.name) {
        NO_NETWORK => Ok(true),
        "" | HOST_NETWORK => Ok(false),
        other => {
            let remedy = format!("use \"{NO_NETWORK}\" or \"{HOST_NETWORK}\" instead of {other:?}");
            Err(unsupported("container.network_infos[0].name", &remedy))
        }
    }
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
pub(super) fn text(field: &Option<String>) -> &str {
    field.as_deref().unwrap_or_default()
}

fn unsupported(field: &str, remedy: &str) -> LaunchRefusal {
    refusal(format!("{field} is not supported by this agent: {remedy}"))
}

fn refusal(message: String) -> LaunchRefusal {
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
                v1::ContainerInfo { network_infos: vec![network("overlay")], ..Default::default() },
                "container.network_infos[0].name is",
            ),
            (
                v1::ContainerInfo {
                    network_infos: vec![network("none"), network("host")],
                    ..Default::default()
                },
                "container.network_infos is",
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
        info.health_check = Some(v1::HealthCheck::default());
        assert!(message(&info).starts_with("health_check is"));
    }

    #[test]
    fn what_is_supported_is_done() {
        let limit = v1::r_limit_info::RLimit {
            r#type: Some(v1::r_limit_info::r_limit::Type::RlmtNofile as i32),
            soft: Some(64),
            hard: Some(128),
        };
        let network = v1::NetworkInfo { name: Some("none".to_owned()), ..v1::NetworkInfo::default() };
        let wishes = container_wishes(&task(v1::ContainerInfo {
            hostname: Some("h".to_owned()),
            network_infos: vec![network],
            rlimit_info: Some(v1::RLimitInfo { rlimits: vec![limit] }),
            ..Default::default()
        }))
        .unwrap();
        assert!(wishes.namespaces.network);
        assert_eq!(wishes.hostname.as_deref(), Some("h"));
        assert_eq!(wishes.rlimits, [Rlimit { name: "nofile".to_owned(), soft: Some(64), hard: Some(128) }]);
    }
}
