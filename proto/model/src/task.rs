//! A task as a framework describes it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{AgentId, ExecutorDescription, KillPolicy, Labels, Milli, Payload, Resources, TaskId, Text};

/// How far a task may go above what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Limit {
    /// So far.
    Amount(Milli),
    /// As far as the machine lets it.
    Infinite,
}

/// What a framework wants run. Everything a core decides on is typed; the rest is in `details`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TaskDescription {
    /// The framework's name for it, unique among its live tasks.
    pub id: TaskId,
    /// For people.
    pub name: Text,
    /// Where it is to run.
    pub agent: AgentId,
    /// What it needs.
    pub resources: Resources,
    /// How far it may go above that, by resource name.
    pub limits: BTreeMap<Text, Limit>,
    /// Whether it says what to run; exactly one of this and `executor` must hold.
    pub has_command: bool,
    /// The framework's own executor for it.
    pub executor: Option<ExecutorDescription>,
    /// How gently it is ended.
    pub kill_policy: Option<KillPolicy>,
    /// How long it may run.
    pub max_completion_time: Option<Duration>,
    /// Free text for others.
    pub labels: Labels,
    /// The encoded `TaskInfo`, passed on to the agent as it came.
    pub details: Payload,
}
