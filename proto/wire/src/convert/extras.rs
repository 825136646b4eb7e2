//! Single parts of the messages that descriptions keep, for those who show many: what is not asked for is skipped over and
//! takes no memory.

use chapada_model::{TaskDescription, TaskStatus};
use prost::Message;

use crate::{secrets, v1};

/// What a `TaskInfo` says that the model does not know and that lists of tasks show. The numbers are those of its fields.
#[derive(Clone, PartialEq, Message)]
pub struct TaskExtras {
    /// How its health is checked.
    #[prost(message, optional, tag = "8")]
    pub health_check: Option<v1::HealthCheck>,
    /// The container it wants.
    #[prost(message, optional, tag = "9")]
    pub container: Option<v1::ContainerInfo>,
    /// How others find it.
    #[prost(message, optional, tag = "11")]
    pub discovery: Option<v1::DiscoveryInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct StatusExtras {
    #[prost(message, optional, tag = "13")]
    container_status: Option<v1::ContainerStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct CheckExtras {
    #[prost(message, optional, tag = "15")]
    check_status: Option<v1::CheckStatusInfo>,
}

/// These parts of the message that the description was made from, without the values of secrets.
#[must_use]
pub fn task_extras(task: &TaskDescription) -> TaskExtras {
    let mut extras = TaskExtras::decode(task.details.as_bytes()).unwrap_or_default();
    secrets::take(&mut extras.container);
    secrets::take(&mut extras.health_check);
    extras
}

/// The container a status speaks of, as `v1::TaskStatus::from` has it.
#[must_use]
pub fn container_status(status: &TaskStatus) -> Option<v1::ContainerStatus> {
    let details = status.details.as_ref().and_then(|details| StatusExtras::decode(details.as_bytes()).ok());
    let mut known = details.and_then(|details| details.container_status);
    if let Some(container) = &status.container {
        let id = known.get_or_insert_default().container_id.get_or_insert_default();
        id.value = Some(container.to_string());
    }
    known
}

/// What the check of the task that a status speaks of has found.
#[must_use]
pub fn check_status(status: &TaskStatus) -> Option<v1::CheckStatusInfo> {
    let details = status.details.as_ref()?;
    CheckExtras::decode(details.as_bytes()).ok()?.check_status
}
