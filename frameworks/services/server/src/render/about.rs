//! What an event is about: who may not see that may not hear of it.

use chapada_services_core::{Deployment, Published};

/// The paths of the apps, pods and groups that an event tells of. None at all: anybody may hear of it.
pub(crate) fn about(event: &Published) -> Vec<String> {
    match event {
        Published::Status { app, .. } | Published::Terminated(app) => vec![app.to_string()],
        Published::Instance { id, .. }
        | Published::CheckFailed { id, .. }
        | Published::Health { id, .. }
        | Published::InstanceHealth { id, .. }
        | Published::UnhealthyKill { id, .. }
        | Published::UnknownTerminated { id, .. } => vec![id.app().to_string()],
        Published::Step { plan, .. }
        | Published::StepDone { plan, .. }
        | Published::Deployed(plan)
        | Published::Cancelled(plan)
        | Published::Failed { plan, .. } => plan.apps().map(ToString::to_string).collect(),
        Published::Changed { group, .. } | Published::GroupFailed { group, .. } => match group.to_string() {
            root if root == "/" => Vec::new(),
            group => vec![group],
        },
    }
}

/// The deployment that an event carries, if it carries one.
pub(crate) fn plan(event: &Published) -> Option<&Deployment> {
    match event {
        Published::Step { plan, .. }
        | Published::StepDone { plan, .. }
        | Published::Deployed(plan)
        | Published::Cancelled(plan)
        | Published::Failed { plan, .. } => Some(plan),
        _ => None,
    }
}
