//! What an app is: Marathon's app definition, read, checked and written back in Marathon's JSON.

pub(crate) mod check;
pub(crate) mod container;
pub(crate) mod fetch;
mod health;
pub(crate) mod limits;
pub(crate) mod network;
mod networking;
mod parameter;
mod parse;
pub(crate) mod persistent;
mod port;
pub(crate) mod reader;
mod readiness;
mod residency;
mod rollout;
pub(crate) mod secret;
mod validate;
pub(crate) mod volume;

use std::collections::BTreeMap;
use std::sync::Arc;

use chapada_model::Milli;
use serde::{Serialize, Serializer};

use crate::group::PathId;
use crate::id::AppId;
use crate::pod::Pod;

pub use check::{Check, CheckKind, CommandLine};
pub use container::{Container, ContainerKind, Docker, IpcInfo, LinuxInfo, Seccomp};
pub use fetch::Fetch;
pub use health::{HealthCheck, HealthCommand, Protocol};
pub use limits::{Bound, ResourceLimits};
pub use network::{NO_NETWORK, Network, NetworkMode};
pub use parameter::Parameter;
pub(crate) use parse::Rules;
pub use parse::{Defaults, InvalidDefinition, merged};
pub use persistent::{DiskType, Persistent};
pub(crate) use port::transports;
pub use port::{HostPort, Port, PortDefinition, PortMapping};
pub use reader::FieldError;
pub use readiness::{ReadinessCheck, ReadinessProtocol};
pub use residency::Residency;
pub use rollout::{CanarySize, CanaryStage, Rollout};
pub use secret::{EnvValue, Secret};
pub(crate) use validate::MAX_INSTANCES;
pub use volume::{Volume, VolumeMode};

/// An app as its owner wrote it, with Marathon's defaults filled in. Serialises to the JSON the API answers with.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppDefinition {
    /// Where in the tree of apps it is.
    pub id: AppId,
    /// A shell command; exclusive with `args`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<String>,
    /// A program and its arguments, run without a shell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// How many are wanted.
    pub instances: u32,
    /// CPUs of each instance.
    #[serde(serialize_with = "number")]
    pub cpus: Milli,
    /// MiB of memory of each instance.
    #[serde(serialize_with = "number")]
    pub mem: Milli,
    /// MiB of disk of each instance.
    #[serde(serialize_with = "number")]
    pub disk: Milli,
    /// Whole GPUs of each instance.
    pub gpus: u32,
    /// How far an instance may go above what it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_limits: Option<ResourceLimits>,
    /// Empty or `//cmd`: the command executor. Nothing else is taken.
    pub executor: String,
    /// The user the command runs as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Environment added to what every task is given; it wins where both name a variable.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, EnvValue>,
    /// The secrets that the environment and volumes refer to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, Secret>,
    /// Free text for tools.
    pub labels: BTreeMap<String, String>,
    /// What is brought into the sandbox before it starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fetch: Vec<Fetch>,
    /// Where instances may be placed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<chapada_sdk_core::Constraint>,
    /// Roles whose resources it may use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accepted_resource_roles: Vec<String>,
    /// The role it is offered resources in.
    pub role: String,
    /// The container, when the definition named one or its networks need one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// At least one, all of one mode.
    pub networks: Vec<Network>,
    /// The ports of each instance under host networking; else they are the container's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_definitions: Option<Vec<PortDefinition>>,
    /// Apps and groups that must be up before it is started or changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<PathId>,
    /// Whether the host ports must be the very numbers of `port_definitions`.
    pub require_ports: bool,
    /// How it is told whether a task is well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub health_checks: Vec<HealthCheck>,
    /// How it is told during a deployment that a new task can take over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readiness_checks: Vec<ReadinessCheck>,
    /// What its agent asks it for people to see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Has no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residency: Option<Residency>,
    /// Whether the command is on a terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<bool>,
    /// The first delay after a failure.
    pub backoff_seconds: Seconds,
    /// What each further failure multiplies the delay by.
    pub backoff_factor: f64,
    /// The longest delay.
    pub max_launch_delay_seconds: Seconds,
    /// How long a killed task may take before SIGKILL; absent leaves it to the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_kill_grace_period_seconds: Option<Seconds>,
    /// Which of surplus instances go first.
    pub kill_selection: KillSelection,
    /// When an instance on a lost agent is replaced and forgotten.
    pub unreachable_strategy: UnreachableStrategy,
    /// How many instances may be missing or extra while they are replaced.
    pub upgrade_strategy: UpgradeStrategy,
    /// How a new configuration is brought out, beyond what Marathon knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// When this is what scheduling needs of a pod: the pod.
    #[serde(skip)]
    pub pod: Option<Arc<Pod>>,
}

/// Whole or broken seconds, as the API counts time.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Seconds(pub f64);

impl Seconds {
    /// The same time, at millisecond precision.
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_millis((self.0.clamp(0.0, 1e12) * 1_000.0).round() as u64)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        shortest(self.0, serializer)
    }
}

/// Which of surplus instances are killed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum KillSelection {
    /// The newest, so that long-running ones stay.
    YoungestFirst,
    /// The oldest.
    OldestFirst,
}

/// What happens to an instance whose agent is out of reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UnreachableStrategy {
    /// It counts for ever and is never replaced.
    Disabled,
    /// It stops counting, then is forgotten (and killed if it returns).
    After {
        /// How long it still counts towards the target.
        inactive: Seconds,
        /// How long it is remembered; no less than `inactive`.
        expunge: Seconds,
    },
}

impl Serialize for UnreachableStrategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Delays {
            inactive_after_seconds: Seconds,
            expunge_after_seconds: Seconds,
        }
        match *self {
            Self::Disabled => serializer.serialize_str("disabled"),
            Self::After { inactive, expunge } => {
                Delays { inactive_after_seconds: inactive, expunge_after_seconds: expunge }
                    .serialize(serializer)
            }
        }
    }
}

/// How many instances may be missing or extra during a replacement, as shares of the target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeStrategy {
    /// The share that stays up.
    #[serde(serialize_with = "share")]
    pub minimum_health_capacity: f64,
    /// The share that may run on top.
    #[serde(serialize_with = "share")]
    pub maximum_over_capacity: f64,
}

impl UpgradeStrategy {
    /// How many good instances must stay up of a target of `instances`.
    pub fn least_good(self, instances: u32) -> u32 {
        (f64::from(instances) * self.minimum_health_capacity).ceil() as u32
    }

    /// How many instances may exist at once for a target of `instances`; one more than the strategy says when a
    /// replacement could otherwise never begin.
    ///
    /// Source: Marathon's rolling replacement.
    pub fn most_at_once(self, instances: u32) -> u32 {
        let most = (f64::from(instances) * (1.0 + self.maximum_over_capacity)).floor() as u32;
        if most == self.least_good(instances) { most + 1 } else { most }
    }
}

impl AppDefinition {
    /// Whether `self` and `other` differ in more than the number of instances, so that running tasks are out of date.
    pub fn needs_new_tasks(&self, other: &Self) -> bool {
        let other = Self { instances: self.instances, rollout: self.rollout.clone(), ..other.clone() };
        *self != other
    }

    /// Where the values of its secrets are kept.
    pub fn secret_sources(&self) -> impl Iterator<Item = &str> {
        let of_pod = self.pod.iter().flat_map(|pod| pod.secrets.values());
        self.secrets.values().chain(of_pod).map(|secret| secret.source.as_str())
    }

    /// Its volumes that outlive their tasks, each with where it shows.
    pub fn persistent_volumes(&self) -> impl Iterator<Item = (&str, &Persistent)> {
        let volumes = self.container.iter().flat_map(|container| &container.volumes);
        let of_app = volumes.filter_map(|volume| match volume {
            Volume::Persistent { container_path, persistent, .. } => {
                Some((container_path.as_str(), persistent))
            }
            Volume::Host { .. } | Volume::Secret { .. } => None,
        });
        of_app.chain(self.pod.iter().flat_map(|pod| pod.persistent_volumes()))
    }

    /// Whether its instances stay where their volumes are.
    pub fn is_resident(&self) -> bool {
        self.persistent_volumes().next().is_some()
    }

    /// How many good instances must stay up while a target of `instances` is replaced. Of a resident app one may always go:
    /// its volume is in one place, so no other can come first.
    ///
    /// Source: Marathon's rolling replacement.
    pub fn least_good(&self, instances: u32) -> u32 {
        let least = self.upgrade_strategy.least_good(instances);
        if self.is_resident() { least.min(instances.saturating_sub(1)) } else { least }
    }

    /// How many instances may exist at once while a target of `instances` is replaced.
    pub fn most_at_once(&self, instances: u32) -> u32 {
        if self.is_resident() { instances } else { self.upgrade_strategy.most_at_once(instances) }
    }

    /// The command, however it was written.
    pub fn runs(&self) -> Command<'_> {
        match &self.cmd {
            Some(cmd) => Command::Shell(cmd),
            None => Command::Program(&self.args),
        }
    }

    /// The ports of each instance, wherever they were written.
    pub fn ports(&self) -> impl Iterator<Item = Port<'_>> + Clone {
        let definitions = self.port_definitions.iter().flatten().map(|port| port.as_port(self.require_ports));
        let mappings = self.container.iter().flat_map(|container| &container.port_mappings).flatten();
        definitions.chain(mappings.map(PortMapping::as_port))
    }

    /// Its ports, each with the host port that was given to it, if it has one. `given` are those in the order of the ports
    /// that need one.
    pub fn ports_with<'a>(&'a self, given: &'a [u16]) -> impl Iterator<Item = (Port<'a>, Option<u16>)> + 'a {
        let mut given = given.iter().copied();
        self.ports().map(move |port| match port.host {
            HostPort::None => (port, None),
            HostPort::Any | HostPort::Fixed(_) => (port, given.next()),
        })
    }

    /// The service ports, to be set.
    pub(crate) fn service_ports_mut(&mut self) -> impl Iterator<Item = &mut u16> {
        let definitions = self.port_definitions.iter_mut().flatten().map(|port| &mut port.port);
        let mappings = self.container.iter_mut().flat_map(|container| &mut container.port_mappings).flatten();
        definitions.chain(mappings.map(|port| &mut port.service_port))
    }

    /// Whether it is in networks of its own, where it has addresses of its own.
    pub fn has_own_address(&self) -> bool {
        self.networks.iter().any(|network| network.mode == NetworkMode::Container)
    }

    /// Whether its network is not the machine's.
    pub fn is_in_own_network(&self) -> bool {
        let networks = self.pod.as_ref().map_or(&self.networks, |pod| &pod.networks);
        networks.iter().any(|network| network.mode != NetworkMode::Host)
    }

    /// Its image, if it has one.
    pub fn image(&self) -> Option<&Docker> {
        self.container.as_ref()?.docker.as_ref()
    }
}

/// What an instance runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// A line for `sh -c`.
    Shell(&'a str),
    /// A program and its arguments.
    Program(&'a [String]),
}

pub(crate) fn number<S: Serializer>(amount: &Milli, serializer: S) -> Result<S::Ok, S::Error> {
    shortest(amount.to_f64(), serializer)
}

fn share<S: Serializer>(share: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    shortest(*share, serializer)
}

/// Whole numbers without a fraction, as Marathon writes them.
fn shortest<S: Serializer>(number: f64, serializer: S) -> Result<S::Ok, S::Error> {
    if number.fract() == 0.0 && (0.0..9e15).contains(&number) {
        serializer.serialize_u64(number as u64)
    } else {
        serializer.serialize_f64(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_during_a_replacement_is_marathons() {
        let strategy =
            |min, over| UpgradeStrategy { minimum_health_capacity: min, maximum_over_capacity: over };
        for (min, over, least, most) in
            [(1.0, 1.0, 4, 8), (0.5, 0.0, 2, 4), (0.0, 0.0, 0, 4), (1.0, 0.0, 4, 5), (0.9, 0.1, 4, 5)]
        {
            assert_eq!(
                (strategy(min, over).least_good(4), strategy(min, over).most_at_once(4)),
                (least, most)
            );
        }
    }
}
