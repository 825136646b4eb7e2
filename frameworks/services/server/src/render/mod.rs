//! What is there, in Marathon's JSON. Each key here is one that Marathon's clients know; some refuse any other.

pub(crate) mod about;
pub(crate) mod apps;
mod assembly;
pub(crate) mod deployments;
pub(crate) mod events;
pub(crate) mod groups;
pub(crate) mod plan;
pub(crate) mod pods;
pub(crate) mod queue;
pub(crate) mod stats;
pub(crate) mod tasks;
pub(crate) mod why;

use chapada_model::{Now, TaskState};

pub(crate) use assembly::Assembly;

/// The present moment, as an event's `timestamp`.
pub(crate) fn timestamp(now: Now) -> String {
    chapada_services_core::Timestamp::from(now.wall).to_string()
}

/// The API's name of a state.
pub(crate) fn state_name(state: TaskState) -> &'static str {
    state.name()
}
