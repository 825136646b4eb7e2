//! Whether a new task can take over, as its readiness checks found. They are asked only while a deployment goes on.

use chapada_model::{Mono, TaskId};

use crate::definition::ReadinessCheck;

/// What one readiness check of one task has found since this process began to ask.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readiness {
    /// Whether it was answered as it should be; it is not asked again then.
    pub ready: bool,
    /// The last answer, if the check says that it is kept.
    pub response: Option<ReadinessResponse>,
    /// When to ask next. While an answer is awaited: when not to wait for it any more.
    pub due: Mono,
}

/// An answer to a readiness check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadinessResponse {
    /// Its status; 504 when there was no answer at all.
    pub status: u16,
    /// What its body is.
    pub content_type: String,
    /// The body, or its beginning; why there is no answer if there was none.
    pub body: String,
}

/// A question to a task.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadinessProbe {
    /// Whom to ask.
    pub task: TaskId,
    /// Which of its readiness checks, from 0.
    pub check: usize,
    /// The agent's host name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What to ask and how long to wait.
    pub how: ReadinessCheck,
}

impl ReadinessResponse {
    /// What is noted when a task did not answer.
    ///
    /// Source: Marathon notes a 504 with the error's text.
    pub fn none(cause: &str) -> Self {
        Self { status: 504, content_type: "text/plain".to_owned(), body: cause.to_owned() }
    }
}
