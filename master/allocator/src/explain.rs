//! Why one framework is not offered one agent, asked at any time.

use chapada_model::{AgentId, FrameworkId, Mono, Role};

use crate::eligible::Refused;
use crate::{Allocator, Why};

/// What the allocator decides for a framework in one role at one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The role.
    pub role: Role,
    /// Nothing when it is offered what the agent has free; else why it is not.
    pub why: Option<Why>,
    /// Since when it is so.
    pub since: Mono,
}

impl Allocator {
    /// For each role of the framework: nothing when it would be offered what the agent has free, else why not. Empty when
    /// either is unknown. A plan decides by the same predicates, so the two never disagree.
    pub fn explain(&self, now: Mono, framework: &FrameworkId, agent: &AgentId) -> Vec<(Role, Option<Why>)> {
        let decisions = self.decisions(now, framework, agent);
        decisions.into_iter().map(|Explanation { role, why, .. }| (role, why)).collect()
    }

    /// The decision for each role of the framework at this agent, and since when it stands. Empty when either is unknown.
    pub fn decisions(&self, now: Mono, framework: &FrameworkId, agent: &AgentId) -> Vec<Explanation> {
        let (Some(slot), Some(at)) = (self.frameworks.slot(framework), self.agents.slot(agent)) else {
            return Vec::new();
        };
        let (Some(record), Some(agent)) = (self.frameworks.get(slot), self.agents.get(at)) else {
            return Vec::new();
        };
        let decide = |client| {
            let client = self.client(client)?;
            let role = self.roles.key(client.role)?.clone();
            Some(match self.candidate(now, client, at) {
                Ok(_) => Explanation { role, why: None, since: agent.free_since.max(record.since) },
                Err(Refused { why: Why::NothingFree, since, .. }) if record.late.is_some() => {
                    let since = since.max(record.late.unwrap_or_default());
                    Explanation { role, why: Some(Why::Unanswered), since }
                }
                Err(refused) => Explanation { role, why: Some(refused.why), since: refused.since },
            })
        };
        record.roles.values().copied().filter_map(decide).collect()
    }
}
