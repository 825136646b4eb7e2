//! All that is known of one app.

use std::collections::BTreeMap;

use chapada_model::Mono;

use crate::app::App;
use crate::definition::UnreachableStrategy;
use crate::delay::Delay;
use crate::id::{DeploymentId, InstanceId};
use crate::instance::{Condition, Goal, Instance, Task};
use crate::timestamp::Timestamp;

/// All that is known of one app.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The definition that counts.
    pub app: App,
    /// The definitions it had, the present one included; the oldest are dropped.
    pub versions: BTreeMap<Timestamp, App>,
    /// Its places.
    pub instances: BTreeMap<InstanceId, Instance>,
    /// Whether it goes away: clients do not see it any more.
    pub deleting: bool,
    /// The deployment that has it locked.
    pub deployment: Option<DeploymentId>,
    /// How long it waits after failures.
    pub delay: Option<Delay>,
    /// The last task that ended without being asked to.
    pub last_failure: Option<Failure>,
    /// What became of offers since it began to wait.
    pub funnel: Funnel,
}

/// A task that ended without being asked to.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The task as it was.
    pub task: Task,
    /// How it ended.
    pub state: chapada_model::TaskState,
    /// What was said about it.
    pub message: String,
    /// When it was heard of.
    pub at: Timestamp,
}

/// What became of the offers an app has looked at since it began to wait.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Funnel {
    /// Offers looked at.
    pub processed: u64,
    /// Offers not used.
    pub unused: u64,
    /// Of those, how many for which reason.
    pub reasons: BTreeMap<chapada_sdk_core::MismatchKind, u64>,
    /// When an offer was last not used.
    pub last_unused: Option<Timestamp>,
    /// When an offer was last used.
    pub last_used: Option<Timestamp>,
}

impl AppState {
    pub(super) fn new(app: App) -> Self {
        Self {
            versions: BTreeMap::from([(app.version, app.clone())]),
            app,
            instances: BTreeMap::new(),
            deleting: false,
            deployment: None,
            delay: None,
            last_failure: None,
            funnel: Funnel::default(),
        }
    }

    /// How many instances there shall be.
    pub fn target(&self) -> u32 {
        if self.deleting { 0 } else { self.app.definition.instances }
    }

    /// Whether an instance counts toward the target: it is wanted, and not so long out of reach that it counts no more.
    pub fn counts(&self, instance: &Instance, now: Mono) -> bool {
        instance.goal == Goal::Run && !self.is_inactive(instance, now)
    }

    /// Whether the instance's agent has been out of reach so long that it counts no more.
    pub fn is_inactive(&self, instance: &Instance, now: Mono) -> bool {
        let Some(task) = instance.task().filter(|task| task.condition == Condition::Unreachable) else {
            return false;
        };
        match self.app.definition.unreachable_strategy {
            UnreachableStrategy::Disabled => false,
            UnreachableStrategy::After { inactive, .. } => now >= task.since + inactive.duration(),
        }
    }

    /// How many tasks there are that may be running, those being killed included.
    pub fn alive(&self, now: Mono) -> usize {
        let alive = |instance: &&Instance| instance.task().is_some() && !self.is_inactive(instance, now);
        self.instances.values().filter(alive).count()
    }

    /// The places that wait for an offer.
    pub fn waiting(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values().filter(|instance| instance.task().is_none())
    }

    /// The tasks it has.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.instances.values().filter_map(Instance::task)
    }
}
