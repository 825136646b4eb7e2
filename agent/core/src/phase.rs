//! The phases of a task and its container.

use std::time::Duration;

use chapada_model::Mono;

/// Where a task is. Of a task with a container of its own, one phase serves both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskPhase {
    /// Read back from the log; what became of its container is not known yet.
    Recovering {
        /// Set when it was asked to stop, with this grace period.
        kill: Option<Duration>,
    },
    /// An executor of the framework's own has it in hand, or will once it has subscribed.
    Delegated {
        /// Set when the executor is to end it; the grace period it was given.
        kill: Option<Duration>,
    },
    /// Its container is being made.
    Launching {
        /// Set when it is to be ended as soon as there is something to end; the grace period it was given.
        kill: Option<Duration>,
    },
    /// Its command runs.
    Running {
        /// The container's first process.
        pid: u32,
    },
    /// It was asked to stop.
    Killing {
        /// The container's first process.
        pid: u32,
        /// Time to stop before SIGKILL.
        grace: Duration,
        /// When SIGKILL follows, or is repeated.
        force_at: Mono,
        /// SIGKILL was sent at least once.
        forced: bool,
    },
    /// It is over.
    Ended(Ending),
}

/// What is left to do for a task that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its last update is not yet on disk.
    Unlogged,
    /// Its last update is on disk and its container was removed.
    Logged,
}

impl TaskPhase {
    /// Whether the container may still have processes.
    pub fn is_live(&self) -> bool {
        match self {
            Self::Recovering { .. }
            | Self::Delegated { .. }
            | Self::Launching { .. }
            | Self::Running { .. }
            | Self::Killing { .. } => true,
            Self::Ended(_) => false,
        }
    }

    /// The grace period, if the task was asked to stop.
    pub fn kill(&self) -> Option<Duration> {
        match self {
            Self::Recovering { kill } | Self::Delegated { kill } | Self::Launching { kill } => *kill,
            Self::Killing { grace, .. } => Some(*grace),
            Self::Running { .. } | Self::Ended(_) => None,
        }
    }

    /// The container's first process, while there is one.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Running { pid } | Self::Killing { pid, .. } => Some(*pid),
            Self::Recovering { .. } | Self::Delegated { .. } | Self::Launching { .. } | Self::Ended(_) => {
                None
            }
        }
    }
}
