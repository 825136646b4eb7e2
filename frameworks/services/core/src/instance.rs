//! One place of an app and the task that runs in it.

use chapada_model::{AgentId, Mono, TaskId, TaskState, Text};
use chapada_sdk_core::{Field, Place};
use serde::{Deserialize, Serialize};

use crate::health::CheckState;
use crate::id::InstanceId;
use crate::pod::PodTask;
use crate::readiness::Readiness;
use crate::resident::LocalVolume;
use crate::timestamp::Timestamp;

/// One place of an app. Tasks come and go in it, one at a time; each is an incarnation.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Which.
    pub id: InstanceId,
    /// Counts the tasks that ran here, from 1; the number of the present or the next one.
    pub incarnation: u32,
    /// Whether it should run or go away.
    pub goal: Goal,
    /// While it waits: the version that its next task shall have, when that is not the present one.
    pub pinned: Option<Timestamp>,
    /// Whether it has a task.
    pub phase: Phase,
}

/// What is wanted of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// A task should run in it.
    Run,
    /// Its task is to be killed, then it is forgotten.
    Stop,
}

/// Whether an instance has a task.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every instance has a task, so a box would only add to it"
)]
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// It waits for an offer.
    Waiting {
        /// Since when.
        since: Timestamp,
    },
    /// A task was launched in it, or is about to be, and has not ended as far as anyone knows.
    Placed(Task),
}

/// A task, from the decision to launch it until it has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its id at the master.
    pub id: TaskId,
    /// The app's version it was launched with.
    pub version: Timestamp,
    /// The configuration it was launched with: when the app last changed in a way that makes tasks out of date. Zero in
    /// records that are older than this field.
    #[serde(default)]
    pub config: Timestamp,
    /// Where it is.
    pub agent: AgentId,
    /// The agent's host name.
    pub hostname: String,
    /// The agent's attributes as texts, for placement rules.
    pub attributes: std::collections::BTreeMap<String, String>,
    /// The region the agent is in, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The zone within the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its host ports, in the order of the definition.
    pub ports: Vec<u16>,
    /// Its own addresses, where it is in a network of its own and they are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<std::net::IpAddr>,
    /// What its agent last found out by the definition's `check`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckResult>,
    /// Its volumes that outlive it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<LocalVolume>,
    /// When the launch was decided.
    pub staged_at: Timestamp,
    /// When it first ran.
    pub started_at: Option<Timestamp>,
    /// What was last heard of it.
    pub condition: Condition,
    /// Whether its health checks, or its executor's, say that it is well.
    pub healthy: Option<bool>,
    /// The containers, when it is of a pod; `id` is that of the first then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Box<PodTask>>,
    /// Whether it can take over from others, as its readiness checks say; always true without any, or when it was
    /// launched while no deployment went on.
    #[serde(default = "always")]
    pub ready: bool,
    /// What each of its readiness checks has found.
    #[serde(skip)]
    pub readiness: Vec<Readiness>,
    /// What each of its health checks has found.
    #[serde(skip)]
    pub health: Vec<CheckState>,
    /// When the condition began, on the clock of this process; after a restart, when it was read back.
    #[serde(skip)]
    pub since: Mono,
    /// When a kill was last sent on the present subscription.
    #[serde(skip)]
    pub kill_sent: Option<Mono>,
    /// How often a kill was sent since this process read it.
    #[serde(skip)]
    pub kills: u32,
    /// The number of the subscription on which the master last said that it is there; 0 before the first.
    #[serde(skip)]
    pub heard: u32,
}

fn always() -> bool {
    true
}

/// What an agent found out by a check. It has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// The status of the answer.
    Http(u16),
    /// Whether the connection was taken.
    Tcp(bool),
    /// How the command ended.
    Command(i32),
}

/// What was last heard of a task that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Condition {
    /// Its agent is out of reach.
    Unreachable,
    /// The launch was decided; nothing was heard yet.
    Provisioned,
    /// The master has it.
    Staging,
    /// The executor has it.
    Starting,
    /// It runs.
    Running,
    /// It is being stopped.
    Killing,
}

impl Condition {
    /// The name in `instance_changed_event`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "Unreachable",
            Self::Provisioned => "Provisioned",
            Self::Staging => "Staging",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Killing => "Killing",
        }
    }

    /// The state that tasks have in the API.
    pub fn task_state(self) -> TaskState {
        match self {
            Self::Unreachable => TaskState::Unreachable,
            Self::Provisioned | Self::Staging => TaskState::Staging,
            Self::Starting => TaskState::Starting,
            Self::Running => TaskState::Running,
            Self::Killing => TaskState::Killing,
        }
    }
}

impl Instance {
    /// A place that waits for its first task.
    pub fn waiting(id: InstanceId, since: Timestamp) -> Self {
        Self { id, incarnation: 1, goal: Goal::Run, pinned: None, phase: Phase::Waiting { since } }
    }
    /// Whether its task is to end: it is not wanted, or a part of it has ended.
    pub fn is_ending(&self) -> bool {
        self.task().is_some_and(|task| self.goal == Goal::Stop || task.has_failed_in_part())
    }

    /// Since when it waits for an offer, if it does.
    pub fn waiting_since(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Waiting { since } => Some(*since),
            Phase::Placed(_) => None,
        }
    }

    /// Its task, if it has one.
    pub fn task(&self) -> Option<&Task> {
        match &self.phase {
            Phase::Waiting { .. } => None,
            Phase::Placed(task) => Some(task),
        }
    }

    /// Its task, to be changed.
    pub(crate) fn task_mut(&mut self) -> Option<&mut Task> {
        match &mut self.phase {
            Phase::Waiting { .. } => None,
            Phase::Placed(task) => Some(task),
        }
    }

    /// Whether it does its work: its task runs, its health checks, if it has any, say that it is well, and so do its
    /// readiness checks.
    pub fn is_good(&self) -> bool {
        self.task().is_some_and(|task| {
            let well = match &task.pod {
                Some(pod) => pod.is_good(),
                None if task.health.is_empty() => task.healthy != Some(false),
                None => task.healthy == Some(true),
            };
            task.condition == Condition::Running && well && task.ready
        })
    }

    /// Whether its task was launched with this configuration. One that waits will be, unless it is pinned to another.
    pub fn is_fresh(&self, config: Timestamp) -> bool {
        self.task().map_or(self.pinned.is_none(), |task| task.is_of(config))
    }
}

impl Task {
    /// The subscription on which all that is there of it was last heard of.
    pub(crate) fn heard(&self) -> u32 {
        let alive =
            |pod: &PodTask| pod.containers.iter().filter(|one| one.is_alive()).map(|one| one.heard).min();
        self.pod.as_deref().map_or(Some(self.heard), alive).unwrap_or(self.heard)
    }

    /// Whether all that this process asks it has been answered since it was read back.
    pub(crate) fn is_checked(&self) -> bool {
        self.health.iter().all(|check| !check.awaited || check.alive.is_some())
    }

    /// Whether one of its checks waits for its turn before it is asked for the first time.
    pub(crate) fn is_patient(&self) -> bool {
        self.health.iter().any(|check| check.patient)
    }

    /// Whether it was launched with this configuration, the last change of an app that made tasks out of date. An app that
    /// goes back to an earlier configuration finds the tasks of that one up to date.
    pub fn is_of(&self, config: Timestamp) -> bool {
        match self.config == Timestamp::default() {
            true => self.version >= config,
            false => self.config == config,
        }
    }
}

impl Place for Task {
    fn value_of(&self, field: &Field) -> Option<Text> {
        let value = match field {
            Field::Hostname => Some(self.hostname.as_str()),
            Field::Region => self.region.as_deref(),
            Field::Zone => self.zone.as_deref(),
            Field::Agent => Some(self.agent.as_str()),
            Field::Attribute(name) => self.attributes.get(&**name).map(String::as_str),
        };
        value.map(Text::from)
    }
}
