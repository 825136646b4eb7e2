//! Known bugs that can be planted, to prove that the simulator finds them. The switch exists only with the feature
//! `testing`; without it nothing is ever planted.

use chapada_model::{AgentDescription, Resource, Resources};

use crate::Master;

/// A bug that schedulers of this kind have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "testing"), expect(unreachable_pub, reason = "it is public with the feature"))]
pub enum Bug {
    /// What a task has taken of an offer is offered again.
    OfferUsedTwice,
    /// An update is acknowledged to its agent before its framework has seen it.
    AcknowledgedEarly,
    /// A declined agent is never offered again.
    FilterNeverExpires,
    /// A new leader forgets the frameworks of the registry.
    FrameworkForgotten,
    /// A new leader takes an agent for what it is configured with, without what operations have made of it.
    ReservationLost,
    /// A new leader answers for tasks of agents that have not come back yet, and their framework launches them again.
    AnsweredTooEarly,
    /// Agents are given up however many they are, and however new the leader is.
    BrakeOff,
    /// A new leader forgets which agents are drained.
    DrainForgotten,
}

#[cfg(feature = "testing")]
impl Bug {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::OfferUsedTwice,
        Self::AcknowledgedEarly,
        Self::FilterNeverExpires,
        Self::FrameworkForgotten,
        Self::ReservationLost,
        Self::AnsweredTooEarly,
        Self::BrakeOff,
        Self::DrainForgotten,
    ];
}

impl Master {
    /// All that an agent has, by its own word.
    pub(crate) fn stated_total(&self, description: &AgentDescription) -> Resources {
        match self.has(Bug::ReservationLost) {
            true => Resources::from_list(description.resources.iter().map(Resource::configured)),
            false => Ok(description.resources.clone()),
        }
        .unwrap_or_default()
    }

    /// Whether this bug is planted.
    #[cfg(feature = "testing")]
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.settings.planted == Some(bug)
    }

    /// Whether this bug is planted: never.
    #[cfg(not(feature = "testing"))]
    pub(crate) fn has(&self, _bug: Bug) -> bool {
        false
    }
}
