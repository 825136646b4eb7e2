//! What is to be launched, in full: everything of a definition that a task's description holds, with the ports and the
//! agent that were chosen for it.

use std::collections::BTreeMap;
use std::time::Duration;

use chapada_model::{AgentId, Resources, TaskId};

use crate::definition::{
    AppDefinition, CheckKind, Command, CommandLine, ContainerKind, EnvValue, Fetch, HealthCheck, HostPort,
    LinuxInfo, Network, NetworkMode, Parameter, Port, Protocol, ResourceLimits, Secret, Volume, VolumeMode,
    transports,
};
use crate::environment::{ENFORCES_ROLE, environment};
use crate::instance::Task;

/// The label that says whether a port is one of the machine's or of the container's network alone.
const SCOPE: &str = "network-scope";
/// From where ports are made up for containers that may have any in a network of their own.
const FIRST_FREE_PORT: u16 = 1_025;

/// A task to launch.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// Its id.
    pub task: TaskId,
    /// Its name: the app's path reversed with dots.
    pub name: String,
    /// Where.
    pub agent: AgentId,
    /// What it takes.
    pub resources: Resources,
    /// How far it may go above that.
    pub limits: Option<ResourceLimits>,
    /// A line for `sh -c`; when absent, `args` is a program and its arguments, or what the image's own command is given.
    pub shell: Option<String>,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Who it runs as.
    pub user: Option<String>,
    /// Its environment.
    pub env: BTreeMap<String, LaunchValue>,
    /// What is brought into its sandbox.
    pub fetch: Vec<Fetch>,
    /// Its container, when it is not the plainest.
    pub container: Option<LaunchContainer>,
    /// How its agent tells whether it is well.
    pub health: Option<LaunchHealth>,
    /// What its agent asks it for people to see.
    pub check: Option<LaunchCheck>,
    /// The app's labels.
    pub labels: BTreeMap<String, String>,
    /// Its ports, for those who look services up.
    pub ports: Vec<LaunchPort>,
    /// How long it may take to stop.
    pub kill_grace: Option<Duration>,
}

/// The value of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchValue {
    /// As it is written.
    Text(String),
    /// That of the secret which is kept here.
    Secret(String),
}

/// A port of a task to launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchPort {
    /// The host port; the container's where none of the machine's leads there.
    pub number: u16,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// Its name.
    pub name: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// The container of a task to launch.
#[derive(Clone, Debug, PartialEq)]
pub struct LaunchContainer {
    /// By whose rules its image is run.
    pub kind: ContainerKind,
    /// Its image, if its files are not the machine's.
    pub image: Option<LaunchImage>,
    /// What shows in it.
    pub volumes: Vec<LaunchVolume>,
    /// The networks it joins; none for the machine's.
    pub networks: Vec<LaunchNetwork>,
    /// How it is confined.
    pub linux: Option<LinuxInfo>,
    /// Whether the command is on a terminal.
    pub tty: bool,
}

/// The image of a task to launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchImage {
    /// Its name.
    pub name: String,
    /// Whether the registry is asked although the agent has it.
    pub force_pull: bool,
    /// Whether it may do everything.
    pub privileged: bool,
    /// Options of `docker run`.
    pub parameters: Vec<Parameter>,
}

/// Something that shows in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchVolume {
    /// Where it shows; relative paths are in the sandbox.
    pub container_path: String,
    /// What shows.
    pub source: LaunchSource,
    /// Whether it may be read only.
    pub read_only: bool,
}

/// What shows in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchSource {
    /// A path of the machine.
    Host(String),
    /// A path of the task's own sandbox.
    Sandbox(String),
    /// A path of the sandbox that the tasks of a pod share.
    Parent(String),
    /// The value of the secret which is kept here.
    Secret(String),
}

/// A network that a container joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchNetwork {
    /// Its name; absent for the bridge of each agent.
    pub name: Option<String>,
    /// Free text for whoever makes it.
    pub labels: BTreeMap<String, String>,
    /// Ports of the machine that lead into it.
    pub mappings: Vec<LaunchMapping>,
}

/// A port of the machine that leads to one of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaunchMapping {
    /// The machine's.
    pub host: u16,
    /// The container's.
    pub container: u16,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
}

/// A health check that the agent makes.
#[derive(Clone, Debug, PartialEq)]
pub struct LaunchHealth {
    /// What it asks.
    pub asks: LaunchQuestion,
    /// How long after its start the task is asked first.
    pub delay: Duration,
    /// For how long after its start it may fail, unless it was well before.
    pub grace: Duration,
    /// From one answer to the next question.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// So many failures in a row end the task; `None` for never.
    pub failures: Option<u32>,
}

/// A check that the agent makes for people to see.
#[derive(Clone, Debug, PartialEq)]
pub struct LaunchCheck {
    /// What it asks.
    pub asks: LaunchQuestion,
    /// How long after its start the task is asked first.
    pub delay: Duration,
    /// From one answer to the next question.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// What an agent asks a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchQuestion {
    /// A GET of this path.
    Http {
        /// Whether with TLS.
        tls: bool,
        /// Of which port, in the task's own network.
        port: u16,
        /// What for.
        path: String,
        /// Whether over IPv6.
        ipv6: bool,
    },
    /// A connection.
    Tcp {
        /// To which port, in the task's own network.
        port: u16,
        /// Whether over IPv6.
        ipv6: bool,
    },
    /// A command beside the task.
    Command(CommandLine),
}

/// A port of a task as it was given to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskPort<'a> {
    /// As it was asked for.
    pub asked: Port<'a>,
    /// The machine's that leads there.
    pub host: Option<u16>,
    /// What the task listens on.
    pub listens: u16,
}

impl TaskPort<'_> {
    /// The number that the task is told, and that others are told about.
    pub fn number(&self) -> u16 {
        self.host.unwrap_or(self.listens)
    }
}

/// The ports of `task`, in the order of the definition.
pub fn task_ports<'a>(app: &'a AppDefinition, task: &'a Task) -> impl Iterator<Item = TaskPort<'a>> {
    app.ports_with(&task.ports).enumerate().map(|(index, (asked, host))| {
        let listens = match (asked.container, host) {
            (Some(port), _) if port != 0 => port,
            (_, Some(host)) => host,
            (_, None) => made_up(task.id.as_str(), index),
        };
        TaskPort { asked, host, listens }
    })
}

/// Where others reach `task` on the port of that index, or on that very one: at an address of its own if it has one, else
/// at its agent's.
pub(crate) fn reached(
    app: &AppDefinition,
    task: &Task,
    index: usize,
    fixed: Option<u16>,
) -> Option<(String, u16)> {
    let port = || task_ports(app, task).nth(index);
    if app.has_own_address() {
        let address = task.addresses.first()?.to_string();
        return Some((address, fixed.or_else(|| Some(port()?.listens))?));
    }
    Some((task.hostname.clone(), fixed.or_else(|| port()?.host)?))
}

/// Some port, the same for the same task. Any will do: the network is the container's own, and no two indices meet.
fn made_up(task: &str, index: usize) -> u16 {
    let hash = task.bytes().fold(2_166_136_261_u32, |hash, b| (hash ^ u32::from(b)).wrapping_mul(16_777_619));
    let span = u32::from(u16::MAX - FIRST_FREE_PORT);
    let offset = (hash % span + index as u32) % span;
    FIRST_FREE_PORT + offset as u16
}

impl Launch {
    /// Its group enforces a role.
    pub(crate) fn in_enforcing_group(&mut self) {
        self.env.insert(ENFORCES_ROLE.to_owned(), LaunchValue::Text("TRUE".to_owned()));
    }

    /// How to launch `task`, which was put together for `app`, with these resources. `env_prefix` stands before the
    /// names of some variables.
    pub(crate) fn of(app: &AppDefinition, task: &Task, resources: Resources, env_prefix: &str) -> Self {
        let (shell, args) = match app.runs() {
            Command::Shell(line) => (Some(line.to_owned()), Vec::new()),
            Command::Program(args) => (None, args.to_vec()),
        };
        let ports: Vec<TaskPort<'_>> = task_ports(app, task).collect();
        Self {
            task: task.id.clone(),
            name: app.id.hostname_form(),
            agent: task.agent.clone(),
            resources,
            limits: app.resource_limits.clone(),
            shell,
            args,
            user: app.user.clone(),
            env: environment(app, task, env_prefix),
            fetch: app.fetch.clone(),
            container: container(app, &ports),
            health: app.health_checks.iter().find_map(|check| health(check, &ports)),
            check: check(app, &ports),
            labels: app.labels.clone(),
            ports: announced(&ports),
            kill_grace: app.task_kill_grace_period_seconds.map(|seconds| seconds.duration()),
        }
    }
}

/// The values of an environment, those of secrets as where they are kept.
pub(crate) fn values(
    env: &BTreeMap<String, EnvValue>,
    secrets: &BTreeMap<String, Secret>,
) -> BTreeMap<String, LaunchValue> {
    let value = |value: &EnvValue| match value {
        EnvValue::Text(text) => Some(LaunchValue::Text(text.clone())),
        EnvValue::Secret(name) => Some(LaunchValue::Secret(secrets.get(name)?.source.clone())),
    };
    env.iter().filter_map(|(name, one)| Some((name.clone(), value(one)?))).collect()
}

/// A port of both protocols is listed once for each.
pub(crate) fn announced(ports: &[TaskPort<'_>]) -> Vec<LaunchPort> {
    let mut listed = Vec::new();
    for port in ports {
        let mut labels = port.asked.labels.clone();
        if port.asked.container.is_some() {
            let scope = if port.host.is_some() { "host" } else { "container" };
            labels.insert(SCOPE.to_owned(), scope.to_owned());
        }
        for protocol in transports(port.asked.protocol) {
            let name = port.asked.name.map(str::to_owned);
            listed.push(LaunchPort { number: port.number(), protocol, name, labels: labels.clone() });
        }
    }
    listed
}

fn container(app: &AppDefinition, ports: &[TaskPort<'_>]) -> Option<LaunchContainer> {
    let networks = networks(&app.networks, ports);
    let tty = app.tty == Some(true);
    let Some(container) = &app.container else {
        let plain = LaunchContainer {
            kind: ContainerKind::Mesos,
            image: None,
            volumes: Vec::new(),
            networks,
            linux: None,
            tty,
        };
        return (tty || !plain.networks.is_empty()).then_some(plain);
    };
    let image = container.docker.as_ref().map(|docker| LaunchImage {
        name: docker.image.clone(),
        force_pull: docker.force_pull_image,
        privileged: docker.privileged,
        parameters: docker.parameters.clone(),
    });
    let volumes = container.volumes.iter().filter_map(|one| volume(one, &app.secrets)).collect();
    let linux = container.linux_info.clone();
    Some(LaunchContainer { kind: container.r#type, image, volumes, networks, linux, tty })
}

fn volume(volume: &Volume, secrets: &BTreeMap<String, Secret>) -> Option<LaunchVolume> {
    Some(match volume {
        Volume::Host { container_path, host_path, mode } => LaunchVolume {
            container_path: container_path.clone(),
            source: match host_path.starts_with('/') {
                true => LaunchSource::Host(host_path.clone()),
                false => LaunchSource::Sandbox(host_path.clone()),
            },
            read_only: *mode == VolumeMode::Ro,
        },
        // The agent shows it: it is a resource of the task.
        Volume::Persistent { .. } => return None,
        Volume::Secret { container_path, secret } => LaunchVolume {
            container_path: container_path.clone(),
            source: LaunchSource::Secret(secrets.get(secret)?.source.clone()),
            read_only: true,
        },
    })
}

/// The networks that are not the machine's, each with the ports that lead into it.
pub(crate) fn networks(networks: &[Network], ports: &[TaskPort<'_>]) -> Vec<LaunchNetwork> {
    let own = networks.iter().filter(|network| network.mode != NetworkMode::Host);
    own.map(|network| {
        let leads_here = |port: &&TaskPort<'_>| match (&network.name, port.asked.network_names) {
            (_, []) => true,
            (Some(name), names) => names.contains(name),
            (None, _) => false,
        };
        let mapping = |port: &TaskPort<'_>| {
            let (host, container) = (port.host, port.listens);
            let each = transports(port.asked.protocol).map(move |protocol| (host, container, protocol));
            each.filter_map(|(host, container, protocol)| {
                Some(LaunchMapping { host: host?, container, protocol })
            })
            .collect::<Vec<_>>()
        };
        LaunchNetwork {
            name: network.name.clone(),
            labels: network.labels.clone(),
            mappings: ports.iter().filter(leads_here).flat_map(mapping).collect(),
        }
    })
    .collect()
}

/// What is asked at the task's own loopback, if the check is the agent's to make.
fn health(check: &HealthCheck, ports: &[TaskPort<'_>]) -> Option<LaunchHealth> {
    let port = || listens(check.port, check.port_index, ports);
    let (path, ipv6) = (check.path.clone().unwrap_or_else(|| "/".to_owned()), check.over_ipv6);
    let asks = match check.protocol {
        Protocol::Http | Protocol::Https | Protocol::Tcp => return None,
        Protocol::Command => {
            LaunchQuestion::Command(CommandLine::Shell(check.command.as_ref()?.value.clone()))
        }
        Protocol::MesosHttp => LaunchQuestion::Http { tls: false, port: port()?, path, ipv6 },
        Protocol::MesosHttps => LaunchQuestion::Http { tls: true, port: port()?, path, ipv6 },
        Protocol::MesosTcp => LaunchQuestion::Tcp { port: port()?, ipv6 },
    };
    Some(LaunchHealth {
        asks,
        delay: check.delay_seconds.unwrap_or_default().duration(),
        grace: check.grace_period_seconds.duration(),
        interval: check.interval_seconds.duration(),
        timeout: check.timeout_seconds.duration(),
        failures: Some(check.max_consecutive_failures).filter(|most| *most > 0),
    })
}

fn check(app: &AppDefinition, ports: &[TaskPort<'_>]) -> Option<LaunchCheck> {
    let check = app.check.as_ref()?;
    let asks = match &check.asks {
        CheckKind::Http { port_index, port, path, .. } => LaunchQuestion::Http {
            tls: false,
            port: listens(*port, *port_index, ports)?,
            path: path.clone(),
            ipv6: false,
        },
        CheckKind::Tcp { port_index, port } => {
            LaunchQuestion::Tcp { port: listens(*port, *port_index, ports)?, ipv6: false }
        }
        CheckKind::Exec { command } => LaunchQuestion::Command(command.clone()),
    };
    Some(LaunchCheck {
        asks,
        delay: check.delay_seconds.duration(),
        interval: check.interval_seconds.duration(),
        timeout: check.timeout_seconds.duration(),
    })
}

fn listens(port: Option<u16>, index: Option<u32>, ports: &[TaskPort<'_>]) -> Option<u16> {
    let own = || ports.get(index.unwrap_or(0) as usize).map(|port| port.listens);
    port.or_else(own)
}

impl AppDefinition {
    /// What an instance needs of the machine's ports, in the order in which they are given to it.
    pub(crate) fn host_ports(&self) -> impl Iterator<Item = HostPort> + '_ {
        self.ports().map(|port| port.host).filter(|port| *port != HostPort::None)
    }
}
