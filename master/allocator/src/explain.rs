//! Why one framework is not offered one agent, asked at any time.

use chapada_model::{AgentId, FrameworkId, Mono, Role};

use crate::{Allocator, Client, Why};

impl Allocator {
    /// For each role of the framework: nothing when it would be offered what the agent has free, else why not. Empty when
    /// either is unknown. A plan decides by the same predicates, so the two never disagree.
    pub fn explain(&self, now: Mono, framework: &FrameworkId, agent: &AgentId) -> Vec<(Role, Option<Why>)> {
        let (Some(slot), Some(agent)) = (self.frameworks.slot(framework), self.agents.slot(agent)) else {
            return Vec::new();
        };
        let Some(record) = self.frameworks.get(slot) else { return Vec::new() };
        let explain_role = |role| {
            let verdict = self.candidate(now, Client { role, framework: slot }, agent).err();
            Some((self.roles.key(role)?.clone(), verdict))
        };
        record.roles.keys().copied().filter_map(explain_role).collect()
    }
}
