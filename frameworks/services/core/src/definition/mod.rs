//! What an app is: Marathon's app definition, read, checked and written back in Marathon's JSON.

mod health;
mod parse;
mod readiness;
pub(crate) mod reader;
mod rollout;
mod validate;

use std::collections::BTreeMap;
use std::sync::Arc;

use chapada_model::Milli;
use serde::{Serialize, Serializer};

use crate::group::PathId;
use crate::id::AppId;
use crate::pod::Pod;

pub use health::{HealthCheck, Protocol};
pub use parse::{InvalidDefinition, merged};
pub use readiness::{ReadinessCheck, ReadinessProtocol};
pub use reader::FieldError;
pub(crate) use validate::MAX_INSTANCES;
pub use rollout::{CanarySize, CanaryStage, Rollout};

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
    /// Empty or `//cmd`: the command executor. Nothing else is taken.
    pub executor: String,
    /// The user the command runs as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Environment added to what every task is given; it wins where both name a variable.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Free text for tools.
    pub labels: BTreeMap<String, String>,
    /// Where instances may be placed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<chapada_sdk_core::Constraint>,
    /// Roles whose resources it may use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accepted_resource_roles: Vec<String>,
    /// The role it is offered resources in.
    pub role: String,
    /// The container, when the definition named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// Always host networking.
    pub networks: Vec<Network>,
    /// The ports of each instance.
    pub port_definitions: Vec<PortDefinition>,
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

/// A container of the Mesos kind, without an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Container {
    /// Always `MESOS`.
    pub r#type: &'static str,
    /// Always empty.
    pub volumes: [(); 0],
}

/// A network of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Always `host`.
    pub mode: &'static str,
}

/// One port of each instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortDefinition {
    /// The service port, and with `requirePorts` the host port too. 0 until one is assigned.
    pub port: u16,
    /// `tcp`, `udp` or `udp,tcp`.
    pub protocol: String,
    /// The name the environment and DNS tools know it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free text for tools.
    pub labels: BTreeMap<String, String>,
}

/// Whole or broken seconds, as the API counts time.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
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

    /// The command, however it was written.
    pub fn runs(&self) -> Command<'_> {
        match &self.cmd {
            Some(cmd) => Command::Shell(cmd),
            None => Command::Program(&self.args),
        }
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

fn number<S: Serializer>(amount: &Milli, serializer: S) -> Result<S::Ok, S::Error> {
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
