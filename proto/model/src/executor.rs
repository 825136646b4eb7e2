//! What runs tasks on an agent.

use crate::{ExecutorId, FrameworkId, Payload, Resources, Text};

/// Whose program the executor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ExecutorKind {
    /// Not said; with a plain launch that means the framework's own.
    Unknown,
    /// The built-in one for task groups.
    Default,
    /// The framework's own.
    Custom,
}

/// An executor as a framework describes it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ExecutorDescription {
    /// The framework's name for it.
    pub id: ExecutorId,
    /// Whose it is, when said.
    pub framework: Option<FrameworkId>,
    /// Whose program it is.
    pub kind: ExecutorKind,
    /// What it needs beside its tasks.
    pub resources: Resources,
    /// Whether it says what to run.
    pub has_command: bool,
    /// For people.
    pub name: Option<Text>,
    /// The encoded `ExecutorInfo`, passed on as it came.
    pub details: Payload,
}
