//! What must survive without agents: the records a leader writes and its successor reads.
//!
//! A record is one small value under one key. The shell stores them as it likes (serde), each with the version below.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chapada_model::{
    AgentDescription, AgentId, FrameworkDescription, FrameworkId, MachineId, Milli, Role, Text, Wall,
};

use crate::{Drain, DrainPlan, Machine, Quota};

/// The version of all records. A store with a newer one is refused by name. 2 has quotas beside what 1 had, 3 has
/// maintenance, 4 draining, 5 has who must confirm a removal in records of its own and that a drain's notice is over, 6 what a drain
/// killed before it was ordered anew. A store is said to be of a version once it holds
/// something that builds of the former one misread ([`RegistryChange::version`]), and not before: as long as it holds nothing of the
/// kind a former build may lead again, as it must in the middle of an upgrade.
pub const REGISTRY_VERSION: u32 = 6;

/// What every build reads as it is meant.
const FIRST_VERSION: u32 = 1;

/// What became of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It may register and run tasks.
    Admitted,
    /// It did not come back in time; it still may.
    Unreachable {
        /// Since when.
        since: Wall,
    },
    /// An operator gave it up; its id is never taken again.
    Gone {
        /// Since when.
        since: Wall,
    },
}

/// An agent that was ever admitted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AgentRecord {
    /// What it said about itself last; `id` is set.
    pub description: Arc<AgentDescription>,
    /// What became of it.
    pub standing: Standing,
    /// When it was first admitted.
    pub registered: Wall,
    /// Whether an operator said that it is offered to nobody.
    #[serde(default)]
    pub deactivated: bool,
    /// Set while it is drained, and when it has been, until an operator has it offered again.
    #[serde(default)]
    pub drain: Option<Drain>,
    /// When it last came back after it was given up: frameworks may not have heard yet that its tasks live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<Wall>,
}

/// A framework that may come back, or that agents must still hear the end of.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FrameworkRecord {
    /// What it said about itself last; `id` is set.
    pub description: Arc<FrameworkDescription>,
    /// When it first subscribed.
    pub registered: Wall,
    /// Since when it has no subscription.
    pub disconnected: Option<Wall>,
    /// Set when it was removed.
    pub removed: Option<Removal>,
}

/// The end of a framework.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Removal {
    /// When.
    pub at: Wall,
    /// In records of version 4 and older the agents that have yet to confirm; since then they are in
    /// [`RegistryState::unconfirmed`], and a leader that finds some here puts them there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unconfirmed: BTreeSet<AgentId>,
    /// Whether agents were unreachable at the time, which may have something of it: nobody knows what they hold. The record
    /// stays until they have come back or are forgotten. Records from before this was written have none.
    #[serde(default)]
    pub absent: bool,
}

/// One change of the registry. Applying the same change twice is the same as once.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistryChange {
    /// The agent's record is this.
    PutAgent(AgentId, AgentRecord),
    /// The agent has no record: it was unreachable for longest when there were too many, or never heard its id.
    DeleteAgent(AgentId),
    /// The framework's record is this.
    PutFramework(FrameworkId, FrameworkRecord),
    /// The framework has no record.
    DeleteFramework(FrameworkId),
    /// These agents, [`MAX_AGENTS_PER_PART`](crate::MAX_AGENTS_PER_PART) at most, are this part of those that have yet to confirm that nothing of a
    /// removed framework is left. No agents: there is no such part.
    PutUnconfirmed(FrameworkId, u32, BTreeSet<AgentId>),
    /// The weights of these roles are these, in thousandths: all of them or none. So it is with quotas and machines, unless the
    /// store cannot take so many at once; should their leader fall then, nobody was told that they are durable.
    PutWeights(Vec<(Role, Milli)>),
    /// The quotas of these roles are these, or there is none.
    PutQuotas(Vec<(Role, Option<Quota>)>),
    /// The maintenance of these machines is this, or there is none.
    PutMachines(Vec<(MachineId, Option<Machine>)>),
    /// The drain of many of this name is this, or is forgotten.
    PutDrain(Text, Option<DrainPlan>),
}

/// Everything in the registry, as a new leader finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RegistryState {
    /// The epoch of this leadership, already raised by the shell.
    pub epoch: u64,
    /// Agents by id.
    pub agents: BTreeMap<AgentId, AgentRecord>,
    /// Frameworks by id.
    pub frameworks: BTreeMap<FrameworkId, FrameworkRecord>,
    /// Weights that an operator set, in thousandths.
    pub weights: BTreeMap<Role, Milli>,
    /// Quotas that an operator set.
    pub quotas: BTreeMap<Role, Quota>,
    /// Machines in the maintenance schedule. All others are up.
    #[serde(default)]
    pub machines: BTreeMap<MachineId, Machine>,
    /// Drains of many agents, by name.
    #[serde(default)]
    pub drains: BTreeMap<Text, DrainPlan>,
    /// The agents that ran for a removed framework and have not yet confirmed that nothing of it is left, in parts. Its record
    /// goes when none is left.
    #[serde(default)]
    pub unconfirmed: BTreeMap<FrameworkId, BTreeMap<u32, BTreeSet<AgentId>>>,
}

impl AgentRecord {
    /// Former builds pass over that it is out of service, and write the record without it. So they do with `returned`, which makes
    /// no version: a framework that a former build does not tell hears of its tasks when it next asks, and agents come back all the
    /// time, so that no former build could lead again for long.
    fn version(&self) -> u32 {
        let Self { description: _, standing: _, registered: _, deactivated, drain, returned: _ } = self;
        let drain = drain.as_ref().map_or(FIRST_VERSION, Drain::version);
        drain.max(if *deactivated { 4 } else { FIRST_VERSION })
    }
}

impl Drain {
    /// Builds that do not know that the notice is over give it again; those that do not know what was killed before the order was
    /// renewed say of it something else.
    fn version(&self) -> u32 {
        let Self { order: _, since: _, is_drained: _, part_of: _, is_notice_over, killed_before } = self;
        match (killed_before.is_some(), is_notice_over) {
            (true, _) => 6,
            (false, true) => 5,
            (false, false) => 4,
        }
    }
}

impl FrameworkRecord {
    /// Builds up to 4 look into the record for those who must confirm, and forget the removal when they find nobody: where there are
    /// any they are in records of their own, which say so themselves and are written first. What is there but for them every build
    /// since 3 reads as it is meant.
    fn version(&self) -> u32 {
        let Self { description: _, registered: _, disconnected: _, removed } = self;
        match removed {
            Some(Removal { at: _, unconfirmed: _, absent: true }) => 3,
            Some(_) | None => FIRST_VERSION,
        }
    }
}

impl RegistryChange {
    /// The oldest version whose builds read what this puts there as it is meant. A field that is added to a record and matters
    /// to whoever leads next makes a new version, and an arm here.
    pub fn version(&self) -> u32 {
        match self {
            Self::PutAgent(_, record) => record.version(),
            Self::PutFramework(_, record) => record.version(),
            Self::PutUnconfirmed(_, _, agents) if !agents.is_empty() => 5,
            Self::PutDrain(_, Some(_)) => 4,
            Self::PutMachines(machines) if machines.iter().any(|(_, machine)| machine.is_some()) => 3,
            Self::PutQuotas(quotas) if quotas.iter().any(|(_, quota)| quota.is_some()) => 2,
            Self::PutWeights(_)
            | Self::PutUnconfirmed(..)
            | Self::PutDrain(..)
            | Self::PutMachines(_)
            | Self::PutQuotas(_)
            | Self::DeleteAgent(_)
            | Self::DeleteFramework(_) => FIRST_VERSION,
        }
    }
}

impl RegistryState {
    /// As [`RegistryChange::version`], of all that is there.
    pub fn version(&self) -> u32 {
        let kinds = [
            (!self.quotas.is_empty(), 2),
            (!self.machines.is_empty(), 3),
            (!self.drains.is_empty(), 4),
            (!self.unconfirmed.is_empty(), 5),
        ];
        let kinds = kinds.into_iter().filter(|(is_there, _)| *is_there).map(|(_, version)| version);
        let agents = self.agents.values().map(AgentRecord::version);
        let frameworks = self.frameworks.values().map(FrameworkRecord::version);
        kinds.chain(agents).chain(frameworks).max().unwrap_or(FIRST_VERSION)
    }

    /// Makes a change, as the store does.
    pub fn apply(&mut self, change: RegistryChange) {
        match change {
            RegistryChange::PutAgent(id, record) => drop(self.agents.insert(id, record)),
            RegistryChange::DeleteAgent(id) => drop(self.agents.remove(&id)),
            RegistryChange::PutFramework(id, record) => drop(self.frameworks.insert(id, record)),
            RegistryChange::DeleteFramework(id) => drop(self.frameworks.remove(&id)),
            RegistryChange::PutUnconfirmed(id, part, agents) => self.put_unconfirmed(id, part, agents),
            RegistryChange::PutWeights(weights) => self.weights.extend(weights),
            RegistryChange::PutQuotas(quotas) => {
                for (role, quota) in quotas {
                    match quota {
                        Some(quota) => drop(self.quotas.insert(role, quota)),
                        None => drop(self.quotas.remove(&role)),
                    }
                }
            }
            RegistryChange::PutDrain(name, Some(plan)) => drop(self.drains.insert(name, plan)),
            RegistryChange::PutDrain(name, None) => drop(self.drains.remove(&name)),
            RegistryChange::PutMachines(machines) => {
                for (id, machine) in machines {
                    match machine {
                        Some(machine) => drop(self.machines.insert(id, machine)),
                        None => drop(self.machines.remove(&id)),
                    }
                }
            }
        }
    }

    fn put_unconfirmed(&mut self, framework: FrameworkId, part: u32, agents: BTreeSet<AgentId>) {
        let parts = self.unconfirmed.entry(framework.clone()).or_default();
        match agents.is_empty() {
            true => drop(parts.remove(&part)),
            false => drop(parts.insert(part, agents)),
        }
        if parts.is_empty() {
            self.unconfirmed.remove(&framework);
        }
    }
}
