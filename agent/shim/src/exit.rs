//! How a container ended: what the shim writes durably before it tells anybody.

use chapada_isolation::cgroup::{OomReport, Statistics};
use serde::{Deserialize, Serialize};

use crate::protocol::SetupError;

/// The end of a container, as it stands in the file `exit` of its runtime directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitReport {
    /// Format of this record; see [`crate::PROTOCOL_VERSION`].
    pub version: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Set when the container was killed for want of memory.
    pub oom: Option<OomReport>,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: u64,
    /// What it had used by then.
    pub usage: Statistics,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The command returned.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// A signal ended the command.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// The command never ran.
    NotStarted {
        /// Why.
        error: SetupError,
    },
}

impl Outcome {
    /// Reads what `waitpid` gave for a process that has ended.
    pub fn from_wait_status(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signaled { signal: libc::WTERMSIG(status) }
        } else {
            Self::Exited { code: libc::WEXITSTATUS(status) }
        }
    }

    /// What Mesos calls the wait status (`TaskStatus.message`, `ExecutorTerminated.status`): code times 256, or the signal.
    /// `None` when nothing ran.
    pub fn wait_status(&self) -> Option<i32> {
        match self {
            Self::Exited { code } => Some(code << 8),
            Self::Signaled { signal } => Some(*signal),
            Self::NotStarted { .. } => None,
        }
    }
}
