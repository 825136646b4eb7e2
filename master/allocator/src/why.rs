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
    /// Everything that is for this role is in use or on offer.
    NothingFree,
    /// What is free is less than what is worth offering.
    BelowMinimum,
    /// The framework has refused as much or more of this agent, until this time.
    FilteredUntil(Mono),
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
    /// [`Why::NothingFree`]
    NothingFree,
    /// [`Why::BelowMinimum`]
    BelowMinimum,
    /// [`Why::FilteredUntil`]
    Filtered,
}

impl Why {
    /// The reason without its particulars.
    pub fn kind(self) -> WhyKind {
        match self {
            Self::Disconnected => WhyKind::Disconnected,
            Self::Suppressed => WhyKind::Suppressed,
            Self::AgentInactive => WhyKind::AgentInactive,
            Self::NotCapable(_) => WhyKind::NotCapable,
            Self::NothingFree => WhyKind::NothingFree,
            Self::BelowMinimum => WhyKind::BelowMinimum,
            Self::FilteredUntil(_) => WhyKind::Filtered,
        }
    }
}

impl WhyKind {
    /// The reason as the API spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Suppressed => "suppressed",
            Self::AgentInactive => "agent-inactive",
            Self::NotCapable => "not-capable",
            Self::NothingFree => "nothing-free",
            Self::BelowMinimum => "below-minimum",
            Self::Filtered => "filtered",
        }
    }
}
