//! Which agents a drain of many is of, and which it leaves out although they fit.

use std::collections::BTreeSet;
use std::fmt;

use chapada_model::{AgentDescription, AgentId, Text};

use crate::{AgentRecord, AgentState, Master, OperatorRefused, Snapshot, Standing};

/// How many agents one drain may be of: its record is one small value.
pub const MAX_AGENTS_PER_DRAIN: usize = 1_000;

/// So many ids are named in a sentence; of others their number is.
const NAMED: usize = 20;

/// Which agents are drained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// These.
    Agents(Vec<AgentId>),
    /// Those that have all of these attributes at the moment, name and value, and are not given up: nobody knows whether one that is
    /// unreachable is still a machine of that kind, or a machine at all.
    Attributes(Vec<(Text, Text)>),
}

/// Why an agent that has the attributes is not part of a drain by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PassedOver {
    /// It is unreachable.
    Unreachable,
    /// It came, or came back, after the drain was asked for.
    Late,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "unreachable: named by its id it is drained when it comes back",
            Self::Late => "it came after the drain was asked for: drain it by its id",
        })
    }
}

impl Snapshot {
    /// The agents that have all these attributes and are no part of the drain of this name, each with why. None of those that are
    /// gone for good.
    pub fn passed_over(&self, name: &str, attributes: &[(Text, Text)]) -> Vec<(AgentId, PassedOver)> {
        let Some(plan) = self.drains.get(name) else { return Vec::new() };
        let is_part = |id: &AgentId| plan.waiting.contains(id) || plan.begun.contains(id);
        let others = self.agents.values().filter(|agent| !is_part(&agent.id));
        let fitting = others.filter(|agent| has_all(&agent.description, attributes));
        fitting
            .filter_map(|agent| match agent.state {
                AgentState::Gone { .. } => None,
                AgentState::Unreachable { .. } => Some((agent.id.clone(), PassedOver::Unreachable)),
                _ => Some((agent.id.clone(), PassedOver::Late)),
            })
            .collect()
    }
}

impl Master {
    /// The agents that are meant, in words and by id: at least one, and no more than a drain may be of.
    pub(super) fn selected(
        &self,
        selection: Selection,
    ) -> Result<(Text, BTreeSet<AgentId>), OperatorRefused> {
        match selection {
            Selection::Agents(named) => self.selected_by_id(named),
            Selection::Attributes(wanted) => self.selected_by_attributes(&wanted),
        }
    }

    fn selected_by_id(&self, named: Vec<AgentId>) -> Result<(Text, BTreeSet<AgentId>), OperatorRefused> {
        let may_come = |record: &AgentRecord| !matches!(record.standing, Standing::Gone { .. });
        let is_known = |id: &AgentId| self.registry.agents.get(id).is_some_and(may_come);
        if let Some(id) = named.iter().find(|id| !is_known(id)) {
            return Err(OperatorRefused::NotFound(format!("No agent found with ID {id}")));
        }
        let agents: BTreeSet<AgentId> = named.into_iter().collect();
        match agents.len() {
            0 => Err(OperatorRefused::Invalid("name agents or attributes to drain by".to_owned())),
            count if count > MAX_AGENTS_PER_DRAIN => Err(OperatorRefused::Invalid(format!(
                "{count} agents in one drain, at most {MAX_AGENTS_PER_DRAIN}: make several; none of them is drained"
            ))),
            count => Ok((format!("{count} named").into(), agents)),
        }
    }

    fn selected_by_attributes(
        &self,
        wanted: &[(Text, Text)],
    ) -> Result<(Text, BTreeSet<AgentId>), OperatorRefused> {
        if wanted.is_empty() {
            return Err(OperatorRefused::Invalid("name agents or attributes to drain by".to_owned()));
        }
        let words: Vec<String> = wanted.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let words = words.join(", ");
        let fitting = self.registry.agents.iter().filter(|(_, record)| has_all(&record.description, wanted));
        let (mut agents, mut unreachable) = (BTreeSet::new(), Vec::new());
        for (id, record) in fitting {
            match record.standing {
                Standing::Admitted => drop(agents.insert(id.clone())),
                Standing::Unreachable { .. } => unreachable.push(id),
                Standing::Gone { .. } => {}
            }
        }
        match (agents.len(), unreachable.is_empty()) {
            (0, true) => Err(OperatorRefused::NotFound(format!("no agent has {words}"))),
            (0, false) => Err(OperatorRefused::NotFound(format!(
                "all agents that have {words} are unreachable ({}): named by their ids they are drained when they come back",
                some_of(&unreachable)
            ))),
            (count, _) if count > MAX_AGENTS_PER_DRAIN => Err(OperatorRefused::Invalid(format!(
                "{count} agents have {words}, and one drain is of at most {MAX_AGENTS_PER_DRAIN}: add an attribute, or name \
                 the agents by their ids in several drains; none of them is drained{}",
                match unreachable.len() {
                    0 => String::new(),
                    more =>
                        format!("; {more} more are unreachable and not counted ({})", some_of(&unreachable)),
                }
            ))),
            _ => Ok((words.into(), agents)),
        }
    }
}

fn has_all(description: &AgentDescription, wanted: &[(Text, Text)]) -> bool {
    let has = |(name, value): &(Text, Text)| {
        let said = description.attributes.iter().filter(|said| said.name == *name);
        said.map(|said| said.value.to_string()).any(|said| said == **value)
    };
    wanted.iter().all(has)
}

/// The first of them by id, and how many others there are.
fn some_of(ids: &[&AgentId]) -> String {
    let named: Vec<&str> = ids.iter().take(NAMED).map(|id| id.as_str()).collect();
    match ids.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        others => format!("{} and {others} others", named.join(", ")),
    }
}
