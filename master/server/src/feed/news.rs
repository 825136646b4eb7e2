//! One event as it is kept: what is needed to write it, and no more.

use std::sync::Arc;

use chapada_master_core::{Agent, Framework, OperatorEvent, Task};
use chapada_model::{AgentDescription, AgentId, FrameworkId, TaskState, TaskStatus};

/// What the fixed part of an event takes, with what is written of it.
const FIXED_BYTES: usize = 1024;

/// An event for those who follow the cluster.
#[derive(Debug)]
pub(crate) enum News {
    TaskAdded(Arc<Task>),
    /// Without the task: it says only what is new.
    TaskUpdated {
        framework: FrameworkId,
        status: Arc<TaskStatus>,
        state: TaskState,
    },
    AgentAdded(Arc<Agent>),
    AgentRemoved(AgentId),
    FrameworkAdded(Arc<Framework>),
    FrameworkUpdated(Arc<Framework>),
    FrameworkRemoved(Arc<Framework>),
}

impl News {
    /// Bytes that it takes at most, written in both forms too, near enough: what can be long counts in full.
    pub(super) fn bytes(&self) -> usize {
        let long = match self {
            Self::TaskAdded(task) => {
                let statuses: usize = task.statuses.iter().map(|status| details(status)).sum();
                task.description.details.len() + statuses
            }
            Self::TaskUpdated { status, .. } => details(status),
            Self::AgentAdded(agent) => said(&agent.description),
            Self::FrameworkAdded(framework)
            | Self::FrameworkUpdated(framework)
            | Self::FrameworkRemoved(framework) => framework.description.details.len(),
            Self::AgentRemoved(_) => 0,
        };
        FIXED_BYTES + 4 * long
    }
}

/// What an agent says about itself, of which there may be much.
fn said(agent: &AgentDescription) -> usize {
    const OF_EACH: usize = 32;
    let attributes = agent.attributes.iter();
    let attributes =
        attributes.map(|attribute| OF_EACH + attribute.name.len() + attribute.value.to_string().len());
    attributes.sum::<usize>() + OF_EACH * agent.resources.iter().count()
}

fn details(status: &TaskStatus) -> usize {
    status.details.as_ref().map_or(0, chapada_model::Payload::len)
        + status.message.as_ref().map_or(0, |m| m.len())
}

impl From<OperatorEvent> for News {
    fn from(event: OperatorEvent) -> Self {
        match event {
            OperatorEvent::TaskAdded(task) => Self::TaskAdded(task),
            OperatorEvent::TaskUpdated { task, status } => {
                Self::TaskUpdated { framework: task.framework.clone(), status, state: task.state }
            }
            OperatorEvent::AgentAdded(agent) => Self::AgentAdded(agent),
            OperatorEvent::AgentRemoved(id) => Self::AgentRemoved(id),
            OperatorEvent::FrameworkAdded(framework) => Self::FrameworkAdded(framework),
            OperatorEvent::FrameworkUpdated(framework) => Self::FrameworkUpdated(framework),
            OperatorEvent::FrameworkRemoved(framework) => Self::FrameworkRemoved(framework),
        }
    }
}
