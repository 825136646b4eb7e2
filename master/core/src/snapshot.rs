//! The books at one moment, for everyone who reads: shared, immutable, cheap to take.

use std::collections::BTreeMap;
use std::sync::Arc;

use chapada_model::{
    AgentId, FrameworkId, MachineId, Milli, OfferId, OperationKey, Quantities, Role, TaskKey, TaskState,
    Text, Wall,
};

use crate::{
    Agent, BrakeView, DrainPlan, Framework, InverseAnswer, InverseOffer, LastPlan, Machine, Offer,
    OfferOperation, Quota, Task,
};

/// The books at one moment. Taking one costs a few reference counts; drop it where it was read, not on the loop.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Grows with every event that changed anything.
    pub version: u64,
    /// The master whose books these are.
    pub master_id: Text,
    /// The epoch of its leadership.
    pub epoch: u64,
    /// When it began to lead.
    pub elected: Wall,
    /// Agents in every state, also unreachable ones.
    pub agents: imbl::OrdMap<AgentId, Arc<Agent>>,
    /// Frameworks that may still be talked to.
    pub frameworks: imbl::OrdMap<FrameworkId, Arc<Framework>>,
    /// Removed frameworks, oldest first; at most [`MAX_COMPLETED_FRAMEWORKS`](crate::MAX_COMPLETED_FRAMEWORKS).
    pub completed_frameworks: imbl::Vector<Arc<Framework>>,
    /// Outstanding offers.
    pub offers: imbl::OrdMap<OfferId, Arc<Offer>>,
    /// Tasks that are live, unreachable, or ended and not yet acknowledged.
    pub tasks: imbl::OrdMap<TaskKey, Arc<Task>>,
    /// Operations without an answer or an acknowledgement.
    pub operations: imbl::OrdMap<OperationKey, Arc<OfferOperation>>,
    /// Ended tasks by framework, oldest first; at most
    /// [`MAX_COMPLETED_TASKS`](crate::MAX_COMPLETED_TASKS) each.
    pub completed_tasks: imbl::OrdMap<FrameworkId, imbl::Vector<Arc<Task>>>,
    /// Weights that an operator set, in thousandths. All other roles weigh 1.
    pub weights: imbl::OrdMap<Role, Milli>,
    /// Quotas that an operator set. All other roles are promised nothing and have no limit.
    pub quotas: imbl::OrdMap<Role, Quota>,
    /// Machines in the maintenance schedule. All others are up.
    pub machines: imbl::OrdMap<MachineId, Machine>,
    /// Outstanding inverse offers.
    pub inverse_offers: imbl::OrdMap<OfferId, Arc<InverseOffer>>,
    /// What frameworks answered last to inverse offers for agents on machines in the schedule.
    pub inverse_answers: imbl::OrdMap<AgentId, BTreeMap<FrameworkId, InverseAnswer>>,
    /// For each framework that is subscribed, what the last plan that looked at it came to.
    pub why: imbl::OrdMap<FrameworkId, Arc<LastPlan>>,
    /// What has happened since this master leads.
    pub counters: Counters,
    /// All that registered agents have.
    pub total: Quantities,
    /// Drains of many agents, by name.
    pub drains: imbl::OrdMap<Text, DrainPlan>,
    /// Whether agents are not given up because they are too many.
    pub brake: BrakeView,
}

/// How often things have happened since this master leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Tasks that ended, by state.
    pub ended: BTreeMap<TaskState, u64>,
    /// Tasks accepted.
    pub launched: u64,
    /// Operations on resources accepted.
    pub operations: u64,
    /// Offers made.
    pub offers_sent: u64,
    /// Offers accepted.
    pub offers_accepted: u64,
    /// Offers declined.
    pub offers_declined: u64,
    /// Offers rescinded, timed out ones included.
    pub offers_rescinded: u64,
    /// First registrations of agents.
    pub agent_registrations: u64,
    /// Returns of agents.
    pub agent_reregistrations: u64,
    /// Agents given up.
    pub agents_unreachable: u64,
    /// Status updates from agents that were passed on.
    pub valid_updates: u64,
    /// Status updates from agents that were dropped.
    pub invalid_updates: u64,
    /// Calls carried out.
    pub calls: u64,
    /// Calls refused.
    pub calls_refused: u64,
}

/// A role as readers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleView {
    /// Its name.
    pub name: Role,
    /// Its weight, in thousandths.
    pub weight: Milli,
    /// Its dominant share: the largest part of any one resource of the cluster that it holds, from 0 to 1, not divided
    /// by the weight.
    pub share: f64,
    /// Its quota; the default when it has none.
    pub quota: Quota,
    /// What it consumes of its quota: what is in use of unreserved resources, and all that is reserved for it.
    pub consumed: Quantities,
    /// What tasks of it and of roles below hold.
    pub allocated: Quantities,
    /// What it and roles below are offered.
    pub offered: Quantities,
    /// What is reserved for it and roles below, in use or not.
    pub reserved: Quantities,
    /// Its own frameworks.
    pub frameworks: Vec<FrameworkId>,
}
