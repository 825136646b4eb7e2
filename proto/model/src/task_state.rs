//! The states of a task, with the API's numbers.

use crate::numbered::numbered;

numbered!(
    /// Where a task is in its life. Source: the v1 API; which are terminal, mesos/src/common.
    TaskState {
        /// Accepted by the master, not yet with an executor.
        Staging = 6 "TASK_STAGING",
        /// The executor has it.
        Starting = 0 "TASK_STARTING",
        /// It runs.
        Running = 1 "TASK_RUNNING",
        /// It was asked to stop; only for frameworks with the capability to hear of it.
        Killing = 8 "TASK_KILLING",
        /// Ended by itself, well.
        Finished = 2 "TASK_FINISHED",
        /// Ended by itself, badly.
        Failed = 3 "TASK_FAILED",
        /// Ended because someone asked for it.
        Killed = 4 "TASK_KILLED",
        /// The description was refused.
        Error = 7 "TASK_ERROR",
        /// Said to frameworks that are not partition-aware when nobody knows better; may come back.
        Lost = 5 "TASK_LOST",
        /// Never started, for a passing reason.
        Dropped = 9 "TASK_DROPPED",
        /// Its agent is not reachable; may come back.
        Unreachable = 10 "TASK_UNREACHABLE",
        /// Known not to run any more.
        Gone = 11 "TASK_GONE",
        /// Its agent was given up by an operator.
        GoneByOperator = 12 "TASK_GONE_BY_OPERATOR",
        /// Nobody has a record of it.
        Unknown = 13 "TASK_UNKNOWN",
    }
);

impl TaskState {
    /// Whether nothing more happens to the task. `Lost` counts, as in Mesos, although the master says it also of tasks on
    /// agents that may return; who keeps books of those asks for the state the agent reported.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Finished
            | Self::Failed
            | Self::Killed
            | Self::Error
            | Self::Lost
            | Self::Dropped
            | Self::Gone
            | Self::GoneByOperator => true,
            Self::Staging
            | Self::Starting
            | Self::Running
            | Self::Killing
            | Self::Unreachable
            | Self::Unknown => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_go_both_ways() {
        for state in TaskState::ALL {
            assert_eq!(TaskState::try_from(state.number()), Ok(*state));
            assert_eq!(TaskState::from_name(state.name()), Some(*state));
        }
        assert!(TaskState::try_from(99).is_err());
        assert_eq!(TaskState::from_name("running"), None);
    }
}
