//! An agent as the books have it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use chapada_model::{
    AgentDescription, AgentId, ExecutorDescription, ExecutorKey, Mono, Resource, Resources, Role, TaskKey,
    Wall,
};

use crate::{Drain, LinkId};

/// Whether an agent can be talked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentState {
    /// Known from the registry, not back since this master leads.
    Recovered {
        /// When it is given up.
        until: Mono,
    },
    /// It has connected; the registry does not have it yet.
    Admitting {
        /// Its link.
        link: LinkId,
    },
    /// Registered and connected.
    Active {
        /// Its link.
        link: LinkId,
    },
    /// Registered, not connected.
    Disconnected {
        /// When it is given up.
        until: Mono,
    },
    /// Given up; the registry does not say so yet.
    Leaving,
    /// Given up; it may come back.
    Unreachable {
        /// Since when.
        since: Wall,
    },
    /// Given up for good by an operator.
    Gone {
        /// Since when.
        since: Wall,
    },
}

/// An executor of a framework's own on an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executor {
    /// What it is.
    pub description: Arc<ExecutorDescription>,
    /// The role its resources count for.
    pub role: Role,
    /// What it holds beside its tasks, allocated to nobody's role in form.
    pub resources: Resources,
}

/// A task that must not be: another agent runs one of the same name, which came first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// The role its resources count for.
    pub role: Role,
    /// What it holds, allocated to nobody's role in form.
    pub resources: Resources,
}

/// An agent. For each role and resource that is not shared: `used + offered + free = total + overcommit`. What is shared is
/// once in `free` and `total`, and in `used` and `offered` for each who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// What it says about itself.
    pub description: Arc<AgentDescription>,
    /// Whether it can be talked to.
    pub state: AgentState,
    /// When it was first admitted.
    pub registered: Wall,
    /// When it last came back.
    pub reregistered: Option<Wall>,
    /// All it has.
    pub total: Resources,
    /// What tasks and executors hold, each resource allocated to its role.
    pub used: Resources,
    /// What is in outstanding offers, each resource allocated to its role.
    pub offered: Resources,
    /// What nobody holds, and all that is shared, whoever uses it.
    pub free: Resources,
    /// What the agent lost below what still runs on it.
    pub overcommit: Resources,
    /// Executors of frameworks' own.
    pub executors: BTreeMap<ExecutorKey, Executor>,
    /// Tasks of a name that is taken by a live task elsewhere. They are killed, and hold resources until they have ended.
    pub strays: BTreeMap<TaskKey, Stray>,
    /// How many tasks hold resources here, strays apart.
    pub tasks: u32,
    /// Whether an operator said that it is offered to nobody; so is each that is drained.
    pub deactivated: bool,
    /// Set while it is drained, and when it has been, until an operator has it offered again.
    pub drain: Option<Drain>,
    /// Whether it has never been registered.
    pub(crate) is_new: bool,
    /// Where its last link came from.
    pub(crate) from: Option<IpAddr>,
}

impl Agent {
    /// One of which nobody knows yet what it holds.
    pub(crate) fn empty(
        id: AgentId,
        description: Arc<AgentDescription>,
        state: AgentState,
        registered: Wall,
    ) -> Self {
        Self {
            id,
            description,
            state,
            registered,
            reregistered: None,
            total: Resources::EMPTY,
            used: Resources::EMPTY,
            offered: Resources::EMPTY,
            free: Resources::EMPTY,
            overcommit: Resources::EMPTY,
            executors: BTreeMap::new(),
            strays: BTreeMap::new(),
            tasks: 0,
            deactivated: false,
            drain: None,
            is_new: false,
            from: None,
        }
    }

    /// What was lost below its users and is shared is forgotten when the last of them has ended.
    pub(crate) fn forget_unused_shared(&mut self) {
        if self.overcommit.iter().any(|resource| resource.shared) {
            let used = self.used.unallocated().shared();
            let is_used = |lost: &Resource| used.iter().any(|used| used == lost);
            self.overcommit = self.overcommit.filter(|lost| !lost.shared || is_used(lost));
        }
    }

    /// Its link when it is registered and connected.
    pub fn link(&self) -> Option<LinkId> {
        match self.state {
            AgentState::Active { link } => Some(link),
            AgentState::Recovered { .. }
            | AgentState::Admitting { .. }
            | AgentState::Disconnected { .. }
            | AgentState::Leaving
            | AgentState::Unreachable { .. }
            | AgentState::Gone { .. } => None,
        }
    }

    /// Where its link comes from, if it has one, registered or not.
    pub(crate) fn linked_from(&self) -> Option<IpAddr> {
        match self.state {
            AgentState::Admitting { .. } | AgentState::Active { .. } => self.from,
            AgentState::Recovered { .. }
            | AgentState::Disconnected { .. }
            | AgentState::Leaving
            | AgentState::Unreachable { .. }
            | AgentState::Gone { .. } => None,
        }
    }

    /// Whether its resources count: it is registered, connected or not.
    pub fn is_registered(&self) -> bool {
        match self.state {
            AgentState::Active { .. } | AgentState::Disconnected { .. } | AgentState::Leaving => true,
            AgentState::Recovered { .. }
            | AgentState::Admitting { .. }
            | AgentState::Unreachable { .. }
            | AgentState::Gone { .. } => false,
        }
    }
}
