//! A framework as the books have it.

use std::collections::BTreeSet;
use std::sync::Arc;

use chapada_allocator::FrameworkInput;
use chapada_model::{FrameworkDescription, FrameworkId, Mono, Role, Wall};

use crate::{OfferConstraints, StreamId};

/// Whether a framework can be talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameworkState {
    /// Its subscription waits for the registry.
    Subscribing {
        /// Where it will be answered.
        stream: StreamId,
    },
    /// Subscribed.
    Active {
        /// Its stream.
        stream: StreamId,
    },
    /// Without a subscription.
    Disconnected {
        /// When it is removed.
        until: Mono,
    },
    /// Removed; perhaps some of its tasks have not ended yet.
    Completed {
        /// Since when.
        at: Wall,
    },
}

/// A framework.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framework {
    /// Its id.
    pub id: FrameworkId,
    /// What it says about itself; `id` is set.
    pub description: Arc<FrameworkDescription>,
    /// Whether it can be talked to.
    pub state: FrameworkState,
    /// When it first subscribed.
    pub registered: Wall,
    /// When it last came back.
    pub reregistered: Option<Wall>,
    /// When it last lost its subscription.
    pub disconnected: Option<Wall>,
    /// Whether it is known only because agents run tasks for it.
    pub recovered: bool,
    /// The roles in which it wants no offers.
    pub suppressed: BTreeSet<Role>,
    /// Which agents it wants to be offered at all.
    pub constraints: Arc<OfferConstraints>,
}

impl Framework {
    /// Its stream while it is subscribed.
    pub fn stream(&self) -> Option<&StreamId> {
        match &self.state {
            FrameworkState::Active { stream } => Some(stream),
            FrameworkState::Subscribing { .. }
            | FrameworkState::Disconnected { .. }
            | FrameworkState::Completed { .. } => None,
        }
    }

    /// What the allocator must know of it.
    pub(crate) fn allocator_input(&self) -> FrameworkInput {
        let constraints = self.constraints.compiled().clone();
        FrameworkInput { constraints, ..FrameworkInput::new(&self.description, &self.suppressed) }
    }

    /// Whether it was removed.
    pub fn is_completed(&self) -> bool {
        matches!(self.state, FrameworkState::Completed { .. })
    }
}
