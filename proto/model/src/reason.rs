//! Who says something about a task, and why.

use crate::numbered::numbered;

numbered!(
    /// Where a status comes from.
    Source {
        /// The master.
        Master = 0 "SOURCE_MASTER",
        /// The agent.
        Agent = 1 "SOURCE_AGENT",
        /// The executor.
        Executor = 2 "SOURCE_EXECUTOR",
    }
);

numbered!(
    /// Why a task is in the state it is in. All the values of the v1 API.
    Reason {
        /// Not sent any more.
        CommandExecutorFailed = 0 "REASON_COMMAND_EXECUTOR_FAILED",
        /// The executor ended.
        ExecutorTerminated = 1 "REASON_EXECUTOR_TERMINATED",
        /// Not sent any more.
        ExecutorUnregistered = 2 "REASON_EXECUTOR_UNREGISTERED",
        /// The framework was removed.
        FrameworkRemoved = 3 "REASON_FRAMEWORK_REMOVED",
        /// The agent failed to keep a directory from being collected.
        GcError = 4 "REASON_GC_ERROR",
        /// The framework id was wrong.
        InvalidFrameworkId = 5 "REASON_INVALID_FRAMEWORKID",
        /// The offers were not, or no longer, valid.
        InvalidOffers = 6 "REASON_INVALID_OFFERS",
        /// The driver lost the master.
        MasterDisconnected = 7 "REASON_MASTER_DISCONNECTED",
        /// The container went over its memory limit.
        ContainerLimitationMemory = 8 "REASON_CONTAINER_LIMITATION_MEMORY",
        /// The answer to a question, not news.
        Reconciliation = 9 "REASON_RECONCILIATION",
        /// The agent is not connected.
        AgentDisconnected = 10 "REASON_AGENT_DISCONNECTED",
        /// The agent was removed or is unreachable.
        AgentRemoved = 11 "REASON_AGENT_REMOVED",
        /// The agent restarted before the task was with its executor.
        AgentRestarted = 12 "REASON_AGENT_RESTARTED",
        /// The master knows no such agent.
        AgentUnknown = 13 "REASON_AGENT_UNKNOWN",
        /// The task's description was refused.
        TaskInvalid = 14 "REASON_TASK_INVALID",
        /// The framework may not run this task.
        TaskUnauthorized = 15 "REASON_TASK_UNAUTHORIZED",
        /// Nobody has a record of the task.
        TaskUnknown = 16 "REASON_TASK_UNKNOWN",
        /// The container had to make room.
        ContainerPreempted = 17 "REASON_CONTAINER_PREEMPTED",
        /// The master knows no such resources.
        ResourcesUnknown = 18 "REASON_RESOURCES_UNKNOWN",
        /// The container went over a limit.
        ContainerLimitation = 19 "REASON_CONTAINER_LIMITATION",
        /// The container went over its disk limit.
        ContainerLimitationDisk = 20 "REASON_CONTAINER_LIMITATION_DISK",
        /// The container could not be made.
        ContainerLaunchFailed = 21 "REASON_CONTAINER_LAUNCH_FAILED",
        /// The container's resources could not be changed.
        ContainerUpdateFailed = 22 "REASON_CONTAINER_UPDATE_FAILED",
        /// The executor did not register in time.
        ExecutorRegistrationTimeout = 23 "REASON_EXECUTOR_REGISTRATION_TIMEOUT",
        /// The executor did not come back in time after an agent restart.
        ExecutorReregistrationTimeout = 24 "REASON_EXECUTOR_REREGISTRATION_TIMEOUT",
        /// The task group's description was refused.
        TaskGroupInvalid = 25 "REASON_TASK_GROUP_INVALID",
        /// The framework may not run this task group.
        TaskGroupUnauthorized = 26 "REASON_TASK_GROUP_UNAUTHORIZED",
        /// What carries the container's input and output ended.
        IoSwitchboardExited = 27 "REASON_IO_SWITCHBOARD_EXITED",
        /// A check has a new result.
        TaskCheckStatusUpdated = 28 "REASON_TASK_CHECK_STATUS_UPDATED",
        /// A health check has a new result.
        TaskHealthCheckStatusUpdated = 29 "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED",
        /// The task was killed before it ran.
        TaskKilledDuringLaunch = 30 "REASON_TASK_KILLED_DURING_LAUNCH",
        /// An operator gave the agent up.
        AgentRemovedByOperator = 31 "REASON_AGENT_REMOVED_BY_OPERATOR",
        /// The agent came back.
        AgentReregistered = 32 "REASON_AGENT_REREGISTERED",
        /// The task ran longer than it said it would.
        MaxCompletionTimeReached = 33 "REASON_MAX_COMPLETION_TIME_REACHED",
        /// The agent is being drained.
        AgentDraining = 34 "REASON_AGENT_DRAINING",
    }
);
