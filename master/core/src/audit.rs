//! Holds the books against themselves: every sum is made afresh from the single records.

mod agents;
mod bounds;
mod charges;
mod maintenance;
mod quota;
mod tasks;
#[cfg(test)]
mod tests;

use chapada_model::{AgentId, OfferId, Role, TaskKey};

use crate::Master;

/// Something that must never be. I1 to I8 are the invariants of the design.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// I1: what tasks and executors hold is not what the agent's books say.
    Used {
        /// The agent.
        agent: AgentId,
        /// What its tasks and executors hold.
        held: String,
        /// What its books say.
        books: String,
    },
    /// I1: what is in offers is not what the agent's books say.
    Offered {
        /// The agent.
        agent: AgentId,
        /// What is in offers.
        held: String,
        /// What its books say.
        books: String,
    },
    /// I1: used + offered + free is not total + overcommit.
    Sum {
        /// The agent.
        agent: AgentId,
        /// The one side.
        parts: String,
        /// The other side.
        whole: String,
    },
    /// I1: the allocator believes something else to be free.
    Free {
        /// The agent.
        agent: AgentId,
    },
    /// I1: the allocator charges a framework with something else than it holds.
    Charge {
        /// The framework and role.
        client: String,
        /// What it holds and is offered.
        held: String,
        /// What it is charged with.
        charged: String,
    },
    /// I1: what is shared is not there for everyone who has it, or not free for the next.
    Shared {
        /// The agent.
        agent: AgentId,
        /// What is where.
        what: String,
    },
    /// I1: the allocator counts something else against a role's quota than it consumes and is offered.
    Quota {
        /// The role.
        role: Role,
        /// What it and those below consume and are offered.
        held: String,
        /// What the allocator counts.
        counted: String,
    },
    /// I1: a role that consumes more than its limit is still offered some of it.
    Limit {
        /// The role.
        role: Role,
        /// What it and those below consume and are offered.
        consumed: String,
        /// What it may have.
        limit: String,
    },
    /// I2: a resource is held twice.
    Twice {
        /// The agent.
        agent: AgentId,
        /// What is held twice.
        what: String,
    },
    /// An offer names an agent or framework that cannot be offered anything.
    Offer(OfferId),
    /// I4: a task's phase and state contradict each other, or its agent is not one that could run it.
    Phase {
        /// The task.
        task: TaskKey,
        /// What is wrong.
        what: &'static str,
    },
    /// Two places that say the same differ.
    Index(&'static str),
    /// I8: something has grown beyond its bound.
    Bound {
        /// What.
        what: &'static str,
        /// How large it is.
        size: usize,
        /// How large it may be.
        bound: usize,
    },
}

/// Everything that is wrong with the books; nothing when they are right. Takes time in proportion to all there is.
pub fn audit(master: &Master) -> Vec<Violation> {
    let mut found = Vec::new();
    agents::check(master, &mut found);
    charges::check(master, &mut found);
    quota::check(master, &mut found);
    tasks::check(master, &mut found);
    maintenance::check(master, &mut found);
    bounds::check(master, &mut found);
    found
}
