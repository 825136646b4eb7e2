//! Why a framework is not offered an agent.

use chapada_model::{FrameworkCapability, Mono};

/// Why a framework, in one of its roles, is not offered what an agent has free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The framework has no subscription.
    Disconnected,
    /// The framework wants no offers in this role.
    Suppressed,
    /// The agent is not connected.
    AgentInactive,
    /// The framework does not have the capability that this agent asks for.
    NotCapable(FrameworkCapability),
    /// The framework's own constraints leave this agent out.
    Constrained,
    /// Everything that is for this role is in use or on offer.
    NothingFree,
    /// The same, and the framework comes after all others, because it left its last offers unanswered.
    Unanswered,
    /// The role, or one above it, has all that its quota allows.
    OverLimit,
    /// What is free is kept for roles to which it is guaranteed.
    KeptForGuarantees,
    /// What is free is less than what is worth offering.
    BelowMinimum,
    /// A new leader offers nothing until this time, unless its agents have said before what they hold: it does not know yet
    /// what counts against quotas. The caller says so; the allocator is not told.
    AwaitingAgents(Mono),
    /// The framework has refused as much or more of this agent, until this time.
    FilteredUntil(Mono),
    /// An operator has deactivated the agent. The caller says so; the allocator is not told why an agent is not to be offered.
    AgentDeactivated,
    /// An operator has the agent drained. The caller says so, as above.
    AgentDraining,
}

/// A reason without its particulars, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WhyKind {
    /// [`Why::Disconnected`]
    Disconnected,
    /// [`Why::Suppressed`]
    Suppressed,
    /// [`Why::AgentInactive`]
    AgentInactive,
    /// [`Why::NotCapable`]
    NotCapable,
    /// [`Why::Constrained`]
    Constrained,
    /// [`Why::NothingFree`]
    NothingFree,
    /// [`Why::Unanswered`]
    Unanswered,
    /// [`Why::OverLimit`]
    OverLimit,
    /// [`Why::KeptForGuarantees`]
    KeptForGuarantees,
    /// [`Why::BelowMinimum`]
    BelowMinimum,
    /// [`Why::AwaitingAgents`]
    AwaitingAgents,
    /// [`Why::FilteredUntil`]
    Filtered,
    /// [`Why::AgentDeactivated`]
    AgentDeactivated,
    /// [`Why::AgentDraining`]
    AgentDraining,
}

impl Why {
    /// The reason without its particulars.
    pub fn kind(self) -> WhyKind {
        match self {
            Self::Disconnected => WhyKind::Disconnected,
            Self::Suppressed => WhyKind::Suppressed,
            Self::AgentInactive => WhyKind::AgentInactive,
            Self::NotCapable(_) => WhyKind::NotCapable,
            Self::Constrained => WhyKind::Constrained,
            Self::NothingFree => WhyKind::NothingFree,
            Self::Unanswered => WhyKind::Unanswered,
            Self::OverLimit => WhyKind::OverLimit,
            Self::KeptForGuarantees => WhyKind::KeptForGuarantees,
            Self::BelowMinimum => WhyKind::BelowMinimum,
            Self::AwaitingAgents(_) => WhyKind::AwaitingAgents,
            Self::FilteredUntil(_) => WhyKind::Filtered,
            Self::AgentDeactivated => WhyKind::AgentDeactivated,
            Self::AgentDraining => WhyKind::AgentDraining,
        }
    }
}

impl WhyKind {
    /// All reasons.
    pub const ALL: [Self; 14] = [
        Self::Disconnected,
        Self::Suppressed,
        Self::AgentInactive,
        Self::NotCapable,
        Self::Constrained,
        Self::NothingFree,
        Self::Unanswered,
        Self::OverLimit,
        Self::KeptForGuarantees,
        Self::BelowMinimum,
        Self::AwaitingAgents,
        Self::Filtered,
        Self::AgentDeactivated,
        Self::AgentDraining,
    ];

    /// The reason as the API spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Suppressed => "suppressed",
            Self::AgentInactive => "agent-inactive",
            Self::NotCapable => "not-capable",
            Self::Constrained => "constrained",
            Self::NothingFree => "nothing-free",
            Self::Unanswered => "unanswered",
            Self::OverLimit => "over-limit",
            Self::KeptForGuarantees => "kept-for-guarantees",
            Self::BelowMinimum => "below-minimum",
            Self::AwaitingAgents => "awaiting-agents",
            Self::Filtered => "filtered",
            Self::AgentDeactivated => "agent-deactivated",
            Self::AgentDraining => "agent-draining",
        }
    }
}
