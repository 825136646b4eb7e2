//! All that is known of one app.

use std::collections::BTreeMap;

use chapada_model::{AgentId, Mono, TaskId, TaskState, TaskStatus};
use chapada_sdk_core::Delay;
use serde::{Deserialize, Serialize};

use super::instances::Class;
use super::{Funnel, Instances};
use crate::app::App;
use crate::id::{DeploymentId, InstanceId};
use crate::instance::{Instance, Task};
use crate::pod::ContainerTask;
use crate::resident::Home;
use crate::settings::Patience;
use crate::timestamp::Timestamp;

/// All that is known of one app.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The definition that counts.
    pub app: App,
    /// The definitions it had, the present one included; the oldest are dropped.
    pub versions: BTreeMap<Timestamp, App>,
    /// Its places.
    pub instances: Instances,
    /// What is kept on agents for instances of a resident app, those that are not there at present included.
    pub homes: BTreeMap<InstanceId, Home>,
    /// Whether it goes away: clients do not see it any more.
    pub deleting: bool,
    /// The deployment that has it locked.
    pub deployment: Option<DeploymentId>,
    /// How many instances there shall be until its turn in that deployment comes; what it depends on comes first.
    pub held: Option<u32>,
    /// How long it waits after failures.
    pub delay: Option<Delay>,
    /// As `delay`, for tasks of the definition before, which are still started while a deployment is paused or watched.
    pub(crate) delay_before: Option<Delay>,
    /// The last task that ended without being asked to.
    pub last_failure: Option<Failure>,
    /// What became of offers since it began to wait.
    pub funnel: Funnel,
    /// The last instances of a pod that ended, the latest first.
    pub terminations: Vec<PodTermination>,
    /// How many of its instances are to be stopped when there is time.
    pub(super) sentenced: usize,
    /// When it is looked at again.
    pub(super) timer: Option<Mono>,
}

/// An instance of a pod that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodTermination {
    /// Which.
    pub instance: InstanceId,
    /// When it was launched.
    pub started_at: Timestamp,
    /// When its last container ended.
    pub at: Timestamp,
    /// What was said of the container that ended it.
    pub message: String,
    /// Its containers as they ended.
    pub containers: Vec<ContainerTask>,
}

/// A task that ended without being asked to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Its id at the master.
    pub task: TaskId,
    /// The app's version it was launched with.
    pub version: Timestamp,
    /// Where it was.
    pub agent: AgentId,
    /// The agent's host name.
    pub hostname: String,
    /// How it ended.
    #[serde(with = "state_by_name")]
    pub state: TaskState,
    /// What was said about it.
    pub message: String,
    /// When it was heard of.
    pub at: Timestamp,
}

/// So many bytes are kept of what was said about a task's end.
const MESSAGE_BYTES: usize = 16 * 1024;

impl Failure {
    pub(super) fn of(task: &Task, status: &TaskStatus, at: Timestamp) -> Self {
        Self::said(task, status.state, status.message.as_deref().unwrap_or_default(), at)
    }

    pub(super) fn said(task: &Task, state: TaskState, said: &str, at: Timestamp) -> Self {
        Self {
            task: task.id.clone(),
            version: task.version,
            agent: task.agent.clone(),
            hostname: task.hostname.clone(),
            state,
            message: said[..said.floor_char_boundary(MESSAGE_BYTES)].to_owned(),
            at,
        }
    }
}

mod state_by_name {
    use chapada_model::TaskState;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(state: &TaskState, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(state.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TaskState, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        TaskState::from_name(&name).ok_or_else(|| D::Error::custom("not the name of a state"))
    }
}

impl AppState {
    pub(super) fn new(app: App, patience: Patience) -> Self {
        Self {
            versions: BTreeMap::from([(app.version, app.clone())]),
            instances: Instances::new(&app, patience),
            app,
            homes: BTreeMap::new(),
            deleting: false,
            deployment: None,
            held: None,
            delay: None,
            delay_before: None,
            last_failure: None,
            funnel: Funnel::default(),
            terminations: Vec::new(),
            sentenced: 0,
            timer: None,
        }
    }

    /// Whether something is to be remembered of how it failed.
    pub(super) fn has_failed(&self) -> bool {
        self.last_failure.is_some() || self.delay.is_some() || self.delay_before.is_some()
    }

    /// How many instances there shall be.
    pub fn target(&self) -> u32 {
        if self.deleting { 0 } else { self.held.unwrap_or(self.app.definition.instances) }
    }

    /// Whether there are more instances than there shall be, those on their way out not counted.
    pub(super) fn has_surplus(&self) -> bool {
        self.instances.counted(&Class::ALL) > self.target() as usize
    }

    /// Whether something is on its way that rests on who is known to do its work.
    pub(super) fn is_changing(&self) -> bool {
        self.deployment.is_some() || self.is_moving() || self.has_surplus()
    }

    /// Forgets the oldest of more than `most` definitions, and which those were. What an instance has is kept, and so are the present
    /// one and the one `before`, to which its deployment may go back.
    pub(super) fn forget_versions(&mut self, most: usize, before: Timestamp) -> Vec<Timestamp> {
        let surplus = self.versions.len().saturating_sub(most);
        let is_kept = |version: &Timestamp| {
            [self.app.version, before].contains(version) || self.instances.has_version(*version)
        };
        let forgotten: Vec<Timestamp> =
            self.versions.keys().copied().filter(|version| !is_kept(version)).take(surplus).collect();
        self.versions.retain(|version, _| !forgotten.contains(version));
        forgotten
    }

    /// Takes another definition as the one that counts.
    pub(super) fn replace_app(&mut self, app: App) -> App {
        self.instances.set_app(&app);
        std::mem::replace(&mut self.app, app)
    }

    /// How many tasks there are that may be running, those being killed included.
    pub fn alive(&self, now: Mono) -> usize {
        self.instances.alive(now)
    }

    /// The tasks it has.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.instances.values().filter_map(Instance::task)
    }
}
