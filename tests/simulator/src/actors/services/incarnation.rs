//! What is counted of an app: the task of an instance, or the containers of a pod's instance together.

use std::fmt;

use chapada_model::TaskId;
use chapada_services_core::InstanceId;

/// What runs once in an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Incarnation {
    pub(crate) instance: InstanceId,
    /// Counted from 1.
    pub(crate) number: u32,
}

impl Incarnation {
    /// The one that a task of the services framework is, or is a part of.
    pub(crate) fn of(task: &TaskId) -> Option<Self> {
        let (_, number) = task.as_str().rsplit_once('.')?;
        Some(Self { instance: InstanceId::of_task(task.as_str())?, number: number.parse().ok()? })
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.instance, self.number)
    }
}
