//! What a pod is beyond what scheduling needs of it, which stands in its [`AppDefinition`](crate::AppDefinition).

use std::collections::BTreeMap;

use chapada_model::Milli;
use serde::Serialize;

use super::PodHealthCheck;
use super::check::PodCheck;
use crate::definition::{
    CommandLine, EnvValue, Fetch, LinuxInfo, Network, NetworkMode, Persistent, ResourceLimits, Seconds,
    Secret, VolumeMode,
};

/// The containers of each instance of a pod, and what they share.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Environment of every container.
    pub environment: BTreeMap<String, EnvValue>,
    /// At least one, with names of their own.
    pub containers: Vec<PodContainer>,
    /// The secrets that environments and volumes may name.
    pub secrets: BTreeMap<String, Secret>,
    /// What containers may mount, each of them the same.
    pub volumes: Vec<PodVolume>,
    /// The network that all containers share.
    pub networks: Vec<Network>,
    /// What each instance takes beside its containers.
    pub executor_resources: Amounts,
    /// Whether its containers share limits instead of having each its own. Then none may have limits apart.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub legacy_shared_cgroups: bool,
}

/// Amounts of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Amounts {
    /// CPUs.
    #[serde(serialize_with = "crate::definition::number")]
    pub cpus: Milli,
    /// MiB of memory.
    #[serde(serialize_with = "crate::definition::number")]
    pub mem: Milli,
    /// MiB of disk.
    #[serde(serialize_with = "crate::definition::number")]
    pub disk: Milli,
    /// Whole GPUs.
    pub gpus: u32,
}

/// One container of each instance of a pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodContainer {
    /// Its name within the pod.
    pub name: String,
    /// What it runs; absent for what its image says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<Exec>,
    /// What it takes.
    pub resources: Amounts,
    /// How far it may go above that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_limits: Option<ResourceLimits>,
    /// Where it is spoken to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// Its files; absent for those of the agent's machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Environment of its own, which wins over the pod's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, EnvValue>,
    /// Whom it runs as, when not as the pod says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How its agent tells whether it is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<PodHealthCheck>,
    /// What its agent asks it, without effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<PodCheck>,
    /// Which of the pod's volumes show in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<VolumeMount>,
    /// What is brought into its sandbox before it starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Fetch>,
    /// Free text for tools.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// Whether it has a terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<bool>,
    /// How it is confined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux_info: Option<LinuxInfo>,
}

/// What a container runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exec {
    /// The command.
    pub command: CommandLine,
    /// Whether it takes the place of the image's entry point instead of being its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_entrypoint: Option<bool>,
}

/// Where a container is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its name, of its own within the pod.
    pub name: String,
    /// The port in the pod's own network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_port: Option<u16>,
    /// The port of the machine that leads there: none, any (0), or this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// `tcp`, `udp` or both.
    pub protocol: Vec<String>,
    /// Free text for tools.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// In which of several networks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_names: Vec<String>,
}

/// The image of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Always `DOCKER`.
    pub kind: &'static str,
    /// Its name.
    pub id: String,
    /// Whether it is pulled although it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_pull: Option<bool>,
    /// Free text for tools.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A volume of the pod in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeMount {
    /// Which.
    pub name: String,
    /// Where it shows; relative to the sandbox.
    pub mount_path: String,
    /// Whether it may be read only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
}

/// How a container ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    /// How long it may take from SIGTERM to SIGKILL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill_grace_period_seconds: Option<Seconds>,
}

/// What containers of a pod may mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PodVolume {
    /// A path of the agent's machine, as far as its operator allows.
    Host {
        /// Its name.
        name: String,
        /// The path.
        host: String,
    },
    /// The value of a secret, as a file.
    Secret {
        /// Its name.
        name: String,
        /// Which of the pod's secrets.
        secret: String,
    },
    /// A directory that stays when the instance's containers have ended, and is there for the next ones.
    Persistent {
        /// Its name.
        name: String,
        /// On which disk, and how large.
        persistent: Persistent,
    },
    /// A directory of the instance's own that goes with it.
    Ephemeral {
        /// Its name.
        name: String,
    },
}

impl Pod {
    /// Whether its containers have a network of their own.
    pub fn has_own_network(&self) -> bool {
        self.networks.iter().any(|network| network.mode != NetworkMode::Host)
    }

    /// The volume of this name.
    pub fn volume(&self, name: &str) -> Option<&PodVolume> {
        self.volumes.iter().find(|volume| volume.name() == name)
    }

    /// Its volumes that outlive their containers, each with its name, which is where it shows in the sandbox of the executor.
    pub fn persistent_volumes(&self) -> impl Iterator<Item = (&str, &Persistent)> {
        self.volumes.iter().filter_map(|volume| match volume {
            PodVolume::Persistent { name, persistent } => Some((name.as_str(), persistent)),
            PodVolume::Host { .. } | PodVolume::Secret { .. } | PodVolume::Ephemeral { .. } => None,
        })
    }

    /// The endpoints of all containers, each with that of its container.
    pub fn endpoints(&self) -> impl Iterator<Item = (&PodContainer, &Endpoint)> {
        self.containers
            .iter()
            .flat_map(|container| container.endpoints.iter().map(move |endpoint| (container, endpoint)))
    }

    /// What an instance takes in all.
    pub fn total(&self) -> Amounts {
        let parts = self.containers.iter().map(|container| container.resources);
        parts.fold(self.executor_resources, |sum, part| Amounts {
            cpus: Milli(sum.cpus.0.saturating_add(part.cpus.0)),
            mem: Milli(sum.mem.0.saturating_add(part.mem.0)),
            disk: Milli(sum.disk.0.saturating_add(part.disk.0)),
            gpus: sum.gpus.saturating_add(part.gpus),
        })
    }
}

impl Endpoint {
    /// Its protocols, as apps write them.
    pub(crate) fn protocols(&self) -> &'static str {
        let speaks = |protocol| self.protocol.iter().any(|one| one == protocol);
        match (speaks("udp"), speaks("tcp")) {
            (true, true) => "udp,tcp",
            (true, false) => "udp",
            (false, _) => "tcp",
        }
    }
}

impl PodVolume {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Host { name, .. }
            | Self::Secret { name, .. }
            | Self::Persistent { name, .. }
            | Self::Ephemeral { name } => name,
        }
    }
}

impl VolumeMount {
    /// Whether it may be changed there.
    pub fn mode(&self) -> VolumeMode {
        if self.read_only == Some(true) { VolumeMode::Ro } else { VolumeMode::Rw }
    }
}
