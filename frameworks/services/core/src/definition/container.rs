//! The container of a task: its image, volumes and confinement. Both kinds are run by the same containerizer.

use serde::Serialize;

use super::parameter::{Parameter, parameter_rules, read_parameters};
use super::port::{self, PortMapping};
use super::reader::{Errors, FieldError, Fields};
use super::volume::{self, Volume};

/// The longest name of an image.
const MAX_IMAGE: usize = 512;

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// By whose rules the image is run.
    pub r#type: ContainerKind,
    /// The image, if its files are not the machine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker: Option<Docker>,
    /// What shows in it.
    pub volumes: Vec<Volume>,
    /// Its ports; absent under host networking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_mappings: Option<Vec<PortMapping>>,
    /// How it is confined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux_info: Option<LinuxInfo>,
}

/// By whose rules an image is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ContainerKind {
    /// Those of Mesos' own containerizer.
    Mesos,
    /// Those of `docker run`.
    Docker,
}

/// An image and how it is had and run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Docker {
    /// Its name.
    pub image: String,
    /// Whether the registry is asked each time.
    pub force_pull_image: bool,
    /// Whether it may do everything, if the agent's operator allows that.
    pub privileged: bool,
    /// Options of `docker run`.
    pub parameters: Vec<Parameter>,
}

/// How a container is confined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LinuxInfo {
    /// The filter of system calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Seccomp>,
    /// Memory that its processes share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipc_info: Option<IpcInfo>,
}

/// A filter of system calls: a profile of the agent's operator, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seccomp {
    /// Which profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_name: Option<String>,
    /// Whether there is none.
    pub unconfined: bool,
}

/// Memory that the processes of a container share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IpcInfo {
    /// Always `PRIVATE`.
    pub mode: String,
    /// MiB of `/dev/shm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<u32>,
}

impl Container {
    /// The machine's files, with these ports.
    pub(super) fn plain(port_mappings: Option<Vec<PortMapping>>) -> Self {
        Self {
            r#type: ContainerKind::Mesos,
            docker: None,
            volumes: Vec::new(),
            port_mappings,
            linux_info: None,
        }
    }
}

/// A container as it was written, and what its old fields say of networks.
pub(super) struct Given {
    pub(super) container: Container,
    /// The old `docker.network`.
    pub(super) docker_network: Option<String>,
}

/// `container`, if it is there and makes sense.
pub(super) fn read(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<Given> {
    let container = fields.object("container", wrong)?;
    let docker = container.object("docker", wrong);
    let kind = match container.text("type", wrong).as_deref() {
        None if docker.is_some() => ContainerKind::Docker,
        None | Some("MESOS") => ContainerKind::Mesos,
        Some("DOCKER") => ContainerKind::Docker,
        Some(_) => {
            broken.push(FieldError::new(container.path("type"), "must be MESOS or DOCKER"));
            ContainerKind::Mesos
        }
    };
    let mut port_mappings = port::read_mappings(&container, wrong, broken);
    let mut docker_network = None;
    if let Some(docker) = &docker {
        docker_network = docker.text("network", wrong);
        let old = port::read_mappings(docker, wrong, broken);
        if old.is_some() && port_mappings.is_some() {
            let error = "may not be set in conjunction with container.portMappings";
            broken.push(FieldError::new(docker.path("portMappings"), error));
        }
        port_mappings = port_mappings.or(old);
    }
    let docker = docker.and_then(|docker| read_docker(&docker, kind, wrong, broken));
    if docker.is_none() && kind == ContainerKind::Docker && container.get("docker").is_none() {
        broken.push(FieldError::new(container.path("docker"), "not defined"));
    }
    let volumes = volume::read(&container, wrong, broken);
    let linux_info = read_linux(&container, wrong, broken);
    if linux_info.is_some() && kind == ContainerKind::Docker {
        broken.push(FieldError::new(container.path("linuxInfo"), "is only for containers of type MESOS"));
    }
    let container = Container { r#type: kind, docker, volumes, port_mappings, linux_info };
    Some(Given { container, docker_network })
}

fn read_docker(
    docker: &Fields<'_>,
    kind: ContainerKind,
    wrong: &mut Errors,
    broken: &mut Errors,
) -> Option<Docker> {
    let credentials = "agents have the credentials of registries from their operator (--docker-config)";
    for name in ["credential", "pullConfig"] {
        if docker.says_something(name) {
            broken.push(FieldError::new(docker.path(name), credentials));
        }
    }
    let only = "is only for containers of type DOCKER";
    for name in ["privileged", "parameters"] {
        if kind == ContainerKind::Mesos && docker.says_something(name) {
            broken.push(FieldError::new(docker.path(name), only));
        }
    }
    if docker.get("image").is_none() {
        wrong.push(FieldError::new(docker.path("image"), "error.path.missing"));
    }
    Some(Docker {
        image: docker.text("image", wrong)?,
        force_pull_image: docker.flag("forcePullImage", wrong).unwrap_or(false),
        privileged: docker.flag("privileged", wrong).unwrap_or(false),
        parameters: read_parameters(docker, wrong),
    })
}

/// `linuxInfo`, if it says something.
pub(crate) fn read_linux(fields: &Fields<'_>, wrong: &mut Errors, broken: &mut Errors) -> Option<LinuxInfo> {
    let linux = fields.object("linuxInfo", wrong)?;
    let seccomp = linux.object("seccomp", wrong).map(|seccomp| {
        let profile_name = seccomp.text("profileName", wrong);
        let unconfined = seccomp.flag("unconfined", wrong).unwrap_or(false);
        if profile_name.as_ref().is_some_and(String::is_empty) || profile_name.is_some() == unconfined {
            let error = "must have either a profileName or unconfined: true";
            broken.push(FieldError::new(linux.path("seccomp"), error));
        }
        Seccomp { profile_name, unconfined }
    });
    let ipc_info = linux.object("ipcInfo", wrong).map(|ipc| {
        let mode = ipc.text("mode", wrong).unwrap_or_else(|| "PRIVATE".to_owned());
        if mode != "PRIVATE" {
            let error = "must be PRIVATE: agents give each container its own; share a volume instead";
            broken.push(FieldError::new(ipc.path("mode"), error));
        }
        let shm_size = ipc.count("shmSize", wrong);
        if shm_size == Some(0) {
            broken.push(FieldError::new(ipc.path("shmSize"), "must be greater than 0"));
        }
        IpcInfo { mode, shm_size }
    });
    let linux = LinuxInfo { seccomp, ipc_info };
    (linux != LinuxInfo::default()).then_some(linux)
}

/// What is wrong with a container.
pub(super) fn rules(container: &Container) -> Errors {
    let mut errors = volume::rules("/container/volumes", &container.volumes);
    if let Some(docker) = &container.docker {
        if let Some(error) = image_error(&docker.image) {
            errors.push(FieldError::new("/container/docker/image", error));
        }
        errors.extend(parameter_rules("/container/docker/parameters", &docker.parameters));
    }
    errors
}

/// Why this is not the name of an image.
pub(crate) fn image_error(image: &str) -> Option<&'static str> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
    let edges = image.starts_with(['/', ':', '@']) || image.ends_with(['/', ':', '@']);
    let fits = !image.is_empty() && image.len() <= MAX_IMAGE && image.bytes().all(is_name) && !edges;
    (!fits).then_some("must be [registry/]repository[:tag][@digest]")
}
