//! How an instance of a pod is launched: its executor, which has the network and the ports, and its containers, together.

use std::collections::BTreeMap;

use chapada_model::{AgentId, Resources};

use super::definition::{Endpoint, Pod, PodContainer, PodVolume, VolumeMount};
use super::environment::environment;
use super::share::Pool;
use super::{PodHealthCheck, PodQuestion, PodTask};
use crate::app::App;
use crate::definition::{CommandLine, ContainerKind, HostPort, Port, VolumeMode};
use crate::instance::Task;
use crate::launch::{
    Launch, LaunchCheck, LaunchContainer, LaunchHealth, LaunchImage, LaunchNetwork, LaunchQuestion,
    LaunchSource, LaunchVolume, TaskPort, announced, networks,
};

/// An instance of a pod to launch.
#[derive(Clone, Debug, PartialEq)]
pub struct LaunchGroup {
    /// The id of its executor.
    pub executor: String,
    /// Its name: the pod's path reversed with dots.
    pub name: String,
    /// Where.
    pub agent: AgentId,
    /// What it takes beside its containers; the ports are among it.
    pub resources: Resources,
    /// The networks that its containers share; none for the machine's.
    pub networks: Vec<LaunchNetwork>,
    /// The pod's labels.
    pub labels: BTreeMap<String, String>,
    /// Whether its containers share limits.
    pub shares_cgroups: bool,
    /// Its containers.
    pub tasks: Vec<GroupTask>,
}

/// A container of an instance to launch.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupTask {
    /// As a task.
    pub launch: Launch,
    /// The program that takes the place of the image's entry point.
    pub entry_point: Option<String>,
}

/// An endpoint as it was given to an instance.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) container: &'a PodContainer,
    pub(super) endpoint: &'a Endpoint,
    pub(super) host: Option<u16>,
}

impl Given<'_> {
    /// What is listened on, in the network of the pod.
    pub(super) fn listens(&self) -> u16 {
        match self.endpoint.container_port {
            Some(port) if port != 0 => port,
            Some(_) | None => self.host.unwrap_or(0),
        }
    }
}

/// The endpoints of all containers, each with the port of the machine that leads there.
pub(super) fn given<'a>(pod: &'a Pod, parts: &'a PodTask) -> Vec<Given<'a>> {
    let ports = parts.containers.iter().flat_map(|container| container.host_ports.iter().copied());
    let endpoints = pod.endpoints().zip(ports);
    endpoints.map(|((container, endpoint), host)| Given { container, endpoint, host }).collect()
}

impl LaunchGroup {
    /// How to launch `task`, the containers of which are `parts`, with these resources. `None` when they are not enough.
    pub(crate) fn of(
        app: &App,
        pod: &Pod,
        task: &Task,
        parts: &PodTask,
        resources: Resources,
        env_prefix: &str,
    ) -> Option<Self> {
        let mut pool = Pool::new(resources);
        let mut tasks = Vec::new();
        let given = given(pod, parts);
        for (container, part) in pod.containers.iter().zip(&parts.containers) {
            let resources = pool.take(container.resources)?;
            let environment = environment(app, pod, container, (task, part), &given, env_prefix);
            let own: Vec<Given<'_>> =
                given.iter().copied().filter(|one| one.container.name == container.name).collect();
            let launch = Launch {
                task: part.id.clone(),
                name: container.name.clone(),
                agent: task.agent.clone(),
                resources,
                limits: container.resource_limits.clone(),
                shell: None,
                args: Vec::new(),
                user: container.user.clone().or_else(|| app.definition.user.clone()),
                env: environment,
                fetch: container.artifacts.clone(),
                container: Some(confined(pod, container)),
                health: container.health_check.as_ref().and_then(|check| health(check, &own)),
                check: container.check.as_ref().and_then(|check| {
                    Some(LaunchCheck {
                        asks: question(&check.asks, &own)?,
                        delay: check.delay_seconds.duration(),
                        interval: check.interval_seconds.duration(),
                        timeout: check.timeout_seconds.duration(),
                    })
                }),
                labels: container.labels.clone(),
                ports: announced(&ports(&own)),
                kill_grace: container
                    .lifecycle
                    .and_then(|lifecycle| lifecycle.kill_grace_period_seconds)
                    .map(|seconds| seconds.duration()),
            };
            tasks.push(with_command(launch, container));
        }
        Some(Self {
            executor: parts.executor.clone(),
            name: app.definition.id.hostname_form(),
            agent: task.agent.clone(),
            networks: networks(&pod.networks, &ports(&given)),
            labels: app.definition.labels.clone(),
            shares_cgroups: pod.legacy_shared_cgroups,
            resources: pool.rest(),
            tasks,
        })
    }
}

/// Without an image the first argument is the program; with one it is the first that the image's own program gets, unless
/// the pod says otherwise.
fn with_command(launch: Launch, container: &PodContainer) -> GroupTask {
    let Some(exec) = &container.exec else {
        return GroupTask { launch, entry_point: None };
    };
    match &exec.command {
        CommandLine::Shell(line) => {
            GroupTask { launch: Launch { shell: Some(line.clone()), ..launch }, entry_point: None }
        }
        CommandLine::Argv(argv) => {
            let entry_point = argv.first().filter(|_| exec.override_entrypoint == Some(true)).cloned();
            GroupTask { launch: Launch { args: argv.clone(), ..launch }, entry_point }
        }
    }
}

fn confined(pod: &Pod, container: &PodContainer) -> LaunchContainer {
    LaunchContainer {
        kind: ContainerKind::Mesos,
        image: container.image.as_ref().map(|image| LaunchImage {
            name: image.id.clone(),
            force_pull: image.force_pull == Some(true),
            privileged: false,
            parameters: Vec::new(),
        }),
        volumes: container.volume_mounts.iter().filter_map(|mount| volume(pod, mount)).collect(),
        networks: Vec::new(),
        linux: container.linux_info.clone(),
        tty: container.tty == Some(true),
    }
}

fn volume(pod: &Pod, mount: &VolumeMount) -> Option<LaunchVolume> {
    let (source, read_only) = match pod.volume(&mount.name)? {
        // Below a directory of their own, so that no name meets what the sandbox has itself.
        PodVolume::Ephemeral { name } => (LaunchSource::Parent(format!("volumes/{name}")), false),
        // The executor has it.
        PodVolume::Persistent { name, .. } => (LaunchSource::Parent(name.clone()), false),
        PodVolume::Host { host, .. } if host.starts_with('/') => (LaunchSource::Host(host.clone()), false),
        PodVolume::Host { host, .. } => (LaunchSource::Sandbox(host.clone()), false),
        PodVolume::Secret { secret, .. } => {
            (LaunchSource::Secret(pod.secrets.get(secret)?.source.clone()), true)
        }
    };
    let read_only = read_only || mount.mode() == VolumeMode::Ro;
    Some(LaunchVolume { container_path: mount.mount_path.clone(), source, read_only })
}

fn health(check: &PodHealthCheck, own: &[Given<'_>]) -> Option<LaunchHealth> {
    Some(LaunchHealth {
        asks: question(&check.asks, own)?,
        delay: check.delay_seconds.duration(),
        grace: check.grace_period_seconds.duration(),
        interval: check.interval_seconds.duration(),
        timeout: check.timeout_seconds.duration(),
        failures: Some(check.max_consecutive_failures).filter(|most| *most > 0),
    })
}

fn question(asks: &PodQuestion, own: &[Given<'_>]) -> Option<LaunchQuestion> {
    let port = |name: &str| own.iter().find(|one| one.endpoint.name == name).map(Given::listens);
    Some(match asks {
        PodQuestion::Http { endpoint, path, scheme } => LaunchQuestion::Http {
            tls: scheme == "HTTPS",
            port: port(endpoint)?,
            path: path.clone(),
            ipv6: false,
        },
        PodQuestion::Tcp { endpoint } => LaunchQuestion::Tcp { port: port(endpoint)?, ipv6: false },
        PodQuestion::Exec { command } => LaunchQuestion::Command(command.clone()),
    })
}

fn ports<'a>(given: &[Given<'a>]) -> Vec<TaskPort<'a>> {
    let port = |one: &Given<'a>| TaskPort {
        asked: Port {
            host: one.host.map_or(HostPort::None, HostPort::Fixed),
            container: one.endpoint.container_port,
            service: 0,
            protocol: one.endpoint.protocols(),
            name: Some(&one.endpoint.name),
            labels: &one.endpoint.labels,
            network_names: &one.endpoint.network_names,
        },
        host: one.host,
        listens: one.listens(),
    };
    given.iter().map(port).collect()
}
