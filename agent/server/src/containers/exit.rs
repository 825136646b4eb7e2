//! A shim's report in the core's words.

use chapada_agent_core::{Exit, ExitCause, FoundContainer, FoundState, Limitation, MemoryExceeded};
use chapada_shim::{ExitReport, OomReport, Outcome, RecoveredContainer, RecoveredState};

/// What those who wait for the end of a container hear.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct End {
    /// Its status as wait(2) gives it; nothing when nobody knows.
    pub(crate) status: Option<i32>,
    /// What it had more of than it may, if that ended it.
    pub(crate) limitation: Option<Limitation>,
    /// Why nobody knows its status.
    pub(crate) message: Option<String>,
}

impl End {
    pub(crate) fn of(exit: &Exit, limitation: Option<Limitation>) -> Self {
        let message = match &exit.cause {
            ExitCause::NotStarted { message } | ExitCause::Unknown { message } => Some(message.clone()),
            ExitCause::Code(_) | ExitCause::Signal(_) => None,
        };
        Self { status: exit.status(), limitation, message }
    }
}

pub(crate) fn exit_of(report: &ExitReport) -> Exit {
    let cause = match &report.outcome {
        Outcome::Exited { code } => ExitCause::Code(u8::try_from(*code).unwrap_or(u8::MAX)),
        Outcome::Signaled { signal } => ExitCause::Signal(*signal),
        Outcome::NotStarted { error } => ExitCause::NotStarted { message: error.message.clone() },
    };
    Exit { cause, memory: report.oom.as_ref().and_then(memory_of) }
}

/// Without a limit it was the machine that was short of memory, not the container that had too much.
fn memory_of(oom: &OomReport) -> Option<MemoryExceeded> {
    let limit_bytes = oom.limit_bytes?;
    Some(MemoryExceeded { limit_bytes, peak_bytes: oom.peak_bytes.unwrap_or(limit_bytes) })
}

/// What became of a container of an earlier process; `None` when its name is none that an agent gives.
pub(crate) fn found_of(recovered: &RecoveredContainer) -> Option<FoundContainer> {
    let state = match &recovered.state {
        RecoveredState::Running { pid: Some(pid) } => {
            FoundState::Running { pid: u32::try_from(*pid).unwrap_or_default() }
        }
        RecoveredState::Running { pid: None } => FoundState::Starting,
        RecoveredState::Exited(report) => FoundState::Exited(exit_of(report)),
        RecoveredState::Dead => FoundState::Dead,
    };
    Some(FoundContainer { container: recovered.id.parse().ok()?, state })
}
