//! Records of agents that are long gone are forgotten: what was said of them is old, and nobody asks. Source: Mesos' registry GC.

use std::time::Duration;

use chapada_model::{AgentId, Mono, Reason, Wall};

use crate::{Master, RegistryChange, TaskPhase};

/// A leader forgets nothing because of its age before it has led for so long, or for half the age when that is less: its clock may
/// be wrong, and somebody is to have noticed by then. From then on it counts by how long it has led, whatever the clock says.
const LEAST_LED: Duration = Duration::from_secs(24 * 60 * 60);

impl Master {
    /// When old records are looked for next, if there are any that may be old.
    pub(crate) fn next_collection(&self) -> Option<Mono> {
        (!self.unreachable.is_empty() || !self.gone.is_empty()).then_some(self.collect_at)
    }

    /// Forgets agents that were away for too long, and the longest when there are too many.
    pub(crate) fn forget_old_agents(&mut self) {
        if self.now.mono < self.collect_at {
            return;
        }
        self.collect_at = self.now.mono + self.settings.registry_gc_interval;
        let (age, count) = (self.settings.registry_max_agent_age, self.settings.registry_max_agent_count);
        let (now, elected, led) = (self.now.wall, self.books.elected, self.now.mono.since(self.began));
        let between = |from: Wall, to: Wall| Duration::from_nanos(to.0.saturating_sub(from.0));
        let before = |since: Wall| between(since, elected).min(age - (age / 2).min(LEAST_LED));
        let is_old = |since: Wall| between(since, now).min(before(since) + led) > age;
        while let Some((_, id)) = self
            .unreachable
            .first()
            .filter(|(since, _)| is_old(*since) || self.unreachable.len() > count)
            .cloned()
        {
            self.forget_unreachable(id);
        }
        while let Some((_, id)) =
            self.gone.first().filter(|(since, _)| is_old(*since) || self.gone.len() > count).cloned()
        {
            self.gone.pop_first();
            self.books.agents.remove(&id);
            self.note_standing(&id);
            self.record(RegistryChange::DeleteAgent(id));
        }
    }

    /// Forgets the unreachable agent that is away longest, and what it ran.
    pub(crate) fn forget_unreachable(&mut self, oldest: AgentId) {
        let state = self.books.agents.get(&oldest).map(|agent| agent.state.clone());
        if let Some(crate::AgentState::Unreachable { since }) = state {
            self.unreachable.remove(&(since, oldest.clone()));
        }
        for key in self.index.tasks_by_agent.of(&oldest) {
            let is_over = self.books.tasks.get(&key).is_some_and(|task| task.phase == TaskPhase::Ended);
            match is_over {
                true => {
                    self.complete_ended(&key, Reason::AgentRemoved, "The agent was unreachable for too long")
                }
                false => self.complete_task(&key),
            }
        }
        self.forget_inverse_offers_of(&oldest);
        self.forget_drain(&oldest);
        self.books.agents.remove(&oldest);
        self.untold.remove(&oldest);
        self.note_standing(&oldest);
        self.record(RegistryChange::DeleteAgent(oldest));
        self.plans_due = true;
    }
}
