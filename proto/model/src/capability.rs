//! What frameworks and agents can do, with the API's numbers.

use crate::numbered::numbered;

numbered!(
    /// What a framework can do.
    FrameworkCapability {
        /// Takes resources that may be taken back.
        RevocableResources = 1 "REVOCABLE_RESOURCES",
        /// Understands `TASK_KILLING`.
        TaskKillingState = 2 "TASK_KILLING_STATE",
        /// Wants agents with GPUs.
        GpuResources = 3 "GPU_RESOURCES",
        /// Takes shared volumes.
        SharedResources = 4 "SHARED_RESOURCES",
        /// Understands the finer states of absent tasks.
        PartitionAware = 5 "PARTITION_AWARE",
        /// Has a list of roles.
        MultiRole = 6 "MULTI_ROLE",
        /// Understands stacks of reservations.
        ReservationRefinement = 7 "RESERVATION_REFINEMENT",
        /// Takes agents of other regions.
        RegionAware = 8 "REGION_AWARE",
    }
);

numbered!(
    /// What an agent can do.
    AgentCapability {
        /// Understands frameworks with several roles.
        MultiRole = 1 "MULTI_ROLE",
        /// Understands roles that are paths.
        HierarchicalRole = 2 "HIERARCHICAL_ROLE",
        /// Understands stacks of reservations.
        ReservationRefinement = 3 "RESERVATION_REFINEMENT",
        /// Serves resource providers.
        ResourceProvider = 4 "RESOURCE_PROVIDER",
        /// Can grow and shrink volumes.
        ResizeVolume = 5 "RESIZE_VOLUME",
        /// Reports the outcome of operations on its own resources.
        AgentOperationFeedback = 6 "AGENT_OPERATION_FEEDBACK",
        /// Can be drained.
        AgentDraining = 7 "AGENT_DRAINING",
        /// Honours limits above requests.
        TaskResourceLimits = 8 "TASK_RESOURCE_LIMITS",
    }
);
