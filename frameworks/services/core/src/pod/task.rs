//! The containers of one incarnation of a pod's instance, each of which is a task to the master.

use chapada_model::{TaskId, TaskState};
use serde::{Deserialize, Serialize};

use super::{Pod, PodContainer};
use crate::id::InstanceId;
use crate::instance::{Condition, Task};
use crate::timestamp::Timestamp;

/// What runs in a pod's instance beyond what an app's has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodTask {
    /// The id of its executor at the master.
    pub executor: String,
    /// Its containers, in the order of the definition.
    pub containers: Vec<ContainerTask>,
    /// Whether one of them ended in a way that ends the instance as a whole.
    pub failed: bool,
}

/// One container, from the decision to launch it until its instance has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerTask {
    /// Its id at the master.
    pub id: TaskId,
    /// Its name in the definition.
    pub name: String,
    /// What was last heard of it.
    pub state: ContainerState,
    /// Since when.
    pub since: Timestamp,
    /// The host port of each of its endpoints that has one.
    pub host_ports: Vec<Option<u16>>,
    /// Whether it has a health check.
    pub checked: bool,
    /// What its health check says.
    pub healthy: Option<bool>,
    /// Since when it says so.
    pub healthy_since: Option<Timestamp>,
    /// What was last said about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The number of the subscription on which the master last said that it is there; 0 before the first.
    #[serde(skip)]
    pub heard: u32,
}

/// Whether a container is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// It has not ended as far as anyone knows.
    Alive(Condition),
    /// It ended well: the others go on.
    Finished,
    /// It ended in any other way.
    Ended(End),
}

/// How a container ended that did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// By itself.
    Failed,
    /// Because it was told to, by us or by its executor.
    Killed,
    /// It could not be launched.
    Error,
    /// It never reached its agent.
    Dropped,
    /// Its agent is gone, or does not know it any more.
    Gone,
}

impl ContainerState {
    /// The state that it has in the API.
    pub fn task_state(self) -> TaskState {
        match self {
            Self::Alive(condition) => condition.task_state(),
            Self::Finished => TaskState::Finished,
            Self::Ended(End::Failed) => TaskState::Failed,
            Self::Ended(End::Killed) => TaskState::Killed,
            Self::Ended(End::Error) => TaskState::Error,
            Self::Ended(End::Dropped) => TaskState::Dropped,
            Self::Ended(End::Gone) => TaskState::Gone,
        }
    }

    /// How it ended, when it did: in `state` as the master said it.
    pub(crate) fn ended(state: TaskState) -> Self {
        match state {
            TaskState::Finished => Self::Finished,
            TaskState::Killed => Self::Ended(End::Killed),
            TaskState::Error => Self::Ended(End::Error),
            TaskState::Dropped => Self::Ended(End::Dropped),
            TaskState::Failed => Self::Ended(End::Failed),
            TaskState::Gone
            | TaskState::GoneByOperator
            | TaskState::Lost
            | TaskState::Unknown
            | TaskState::Unreachable
            | TaskState::Staging
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Killing => Self::Ended(End::Gone),
        }
    }

    fn condition(self) -> Option<Condition> {
        match self {
            Self::Alive(condition) => Some(condition),
            Self::Finished | Self::Ended(_) => None,
        }
    }
}

impl ContainerTask {
    /// Whether it has not ended as far as anyone knows.
    pub fn is_alive(&self) -> bool {
        self.state.condition().is_some()
    }

    /// Whether it does its work, or has done it.
    fn is_good(&self) -> bool {
        match self.state {
            ContainerState::Alive(Condition::Running) if self.checked => self.healthy == Some(true),
            ContainerState::Alive(Condition::Running) => self.healthy != Some(false),
            ContainerState::Finished => true,
            ContainerState::Alive(_) | ContainerState::Ended(_) => false,
        }
    }
}

impl PodTask {
    /// The containers of `pod` in an incarnation of `instance` that is launched `at` a moment. `ports` are those of the
    /// machine, in the order of the endpoints that have one.
    pub(crate) fn new(
        pod: &Pod,
        instance: &InstanceId,
        incarnation: u32,
        ports: &[u16],
        at: Timestamp,
    ) -> Self {
        let mut ports = ports.iter().copied();
        let container = |container: &PodContainer| ContainerTask {
            id: instance.container_task(&container.name, incarnation),
            name: container.name.clone(),
            state: ContainerState::Alive(Condition::Provisioned),
            since: at,
            host_ports: container
                .endpoints
                .iter()
                .map(|one| one.host_port.and_then(|_| ports.next()))
                .collect(),
            checked: container.health_check.is_some(),
            healthy: None,
            healthy_since: None,
            message: String::new(),
            heard: 0,
        };
        Self {
            executor: format!("instance-{instance}.{incarnation}"),
            containers: pod.containers.iter().map(container).collect(),
            failed: false,
        }
    }

    /// Whether nothing of it is there any more.
    pub(crate) fn is_over(&self) -> bool {
        !self.containers.iter().any(ContainerTask::is_alive)
    }

    /// Whether every container does its work, or has done it.
    pub(crate) fn is_good(&self) -> bool {
        !self.failed && self.containers.iter().all(ContainerTask::is_good)
    }

    /// The condition of the whole while anything of it is there: that of the container that is the least well, and once
    /// one has failed, that it is being ended.
    pub(crate) fn condition(&self) -> Option<Condition> {
        let alive = self.containers.iter().filter_map(|container| container.state.condition());
        let condition = alive.min_by_key(|condition| match condition {
            Condition::Unreachable => 0,
            Condition::Killing => 1,
            Condition::Provisioned => 2,
            Condition::Staging => 3,
            Condition::Starting => 4,
            Condition::Running => 5,
        })?;
        Some(match condition {
            Condition::Unreachable => Condition::Unreachable,
            _ if self.failed => Condition::Killing,
            condition => condition,
        })
    }

    /// Whether the health checks of its containers say that it is well; `None` when they have not all said so.
    pub(crate) fn healthy(&self) -> Option<bool> {
        let mut checked = self.containers.iter().filter(|container| container.checked).peekable();
        checked.peek()?;
        let said: Vec<Option<bool>> = checked.map(|container| container.healthy).collect();
        match said.contains(&Some(false)) {
            true => Some(false),
            false => said.iter().all(Option::is_some).then_some(true),
        }
    }
}

impl Task {
    /// The ids at the master of all that has not ended: of an app's instance its one task, of a pod's its containers.
    pub fn live_ids(&self) -> impl Iterator<Item = &TaskId> {
        let containers = self.pod.iter().flat_map(|pod| &pod.containers);
        let alive = containers.filter(|container| container.is_alive()).map(|container| &container.id);
        self.pod.is_none().then_some(&self.id).into_iter().chain(alive)
    }

    /// Whether a container of it failed, so that the others are to end as well.
    pub(crate) fn has_failed_in_part(&self) -> bool {
        self.pod.as_ref().is_some_and(|pod| pod.failed)
    }

    /// Whether `id` is its, ended or not.
    pub fn goes_by(&self, id: &TaskId) -> bool {
        match &self.pod {
            None => self.id == *id,
            Some(pod) => pod.containers.iter().any(|container| container.id == *id),
        }
    }
}
