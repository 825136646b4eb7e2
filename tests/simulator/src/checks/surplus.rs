//! I6 for the services framework: once nothing breaks and everyone is back, what runs of an app beyond its target is ended within
//! ten seconds, and the grace of those that do not heed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chapada_agent_core::Agent;
use chapada_master_core::{AgentState, FrameworkState};
use chapada_model::Mono;

use crate::actors::{Incarnation, most_at_once};
use crate::nodes::KILL_GRACE;
use crate::sim::Sim;

/// So long it may run on.
const ENDED_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Since when more runs of which app of which framework than may.
#[derive(Debug, Default)]
pub(crate) struct Surplus {
    next: Mono,
    since: BTreeMap<(usize, String), Mono>,
}

impl Sim {
    /// Looks now and then; nothing is held against anybody while something is broken.
    pub(crate) fn check_surplus(&mut self) {
        if self.now < self.checks.surplus.next {
            return;
        }
        self.checks.surplus.next = self.now + LOOK_EVERY;
        let found = if self.is_whole() { self.surplus() } else { BTreeMap::new() };
        let former = std::mem::take(&mut self.checks.surplus.since);
        for (key, (runs, most)) in found {
            let since = former.get(&key).copied().unwrap_or(self.now);
            let time = self.now.since(since);
            if time > ENDED_WITHIN + KILL_GRACE + LOOK_EVERY {
                let (index, app) = &key;
                self.fail(|| {
                    format!("I6: {runs:?} of {app} of f{index} run for {time:?}, and there may be {most}")
                });
            }
            self.checks.surplus.since.insert(key, since);
        }
    }

    /// Whether everyone hears everyone, what is written is stored, and all agents and frameworks are back.
    fn is_whole(&self) -> bool {
        let core = self.leader().and_then(|leader| self.masters[leader].core.as_ref());
        let Some(core) = core.filter(|_| !self.is_suspended()) else { return false };
        let is_stored =
            self.coordination.has_quorum && !self.registry.full && self.registry.slowness.is_zero();
        if self.stormy || !is_stored || !self.network.is_whole(self.now) {
            return false;
        }
        let books = core.snapshot();
        let is_back = |id| {
            let known = books.agents.get(id);
            known.is_some_and(|known| matches!(known.state, AgentState::Active { .. }))
        };
        let agents = self.agents.iter().map(|node| node.core.as_ref().and_then(Agent::id));
        let mut frameworks = self.frameworks.iter().filter(|node| node.actor.services().is_some());
        agents.into_iter().all(|id| id.is_some_and(is_back))
            && frameworks.all(|node| {
                let known = node.id.as_ref().and_then(|id| books.frameworks.get(id));
                known.is_some_and(|known| matches!(known.state, FrameworkState::Active { .. }))
            })
    }

    /// The apps of which more runs than may: what runs, and how many may.
    fn surplus(&self) -> BTreeMap<(usize, String), (BTreeSet<Incarnation>, usize)> {
        let mut found = BTreeMap::new();
        for (index, node) in self.frameworks.iter().enumerate() {
            let core = node.actor.services().and_then(|services| services.core());
            let (Some(core), Some(id)) = (core, &node.id) else { continue };
            let mut running = BTreeMap::<String, BTreeSet<Incarnation>>::new();
            for one in self.live_tasks(id).filter_map(Incarnation::of) {
                running.entry(one.instance.app().to_string()).or_default().insert(one);
            }
            for state in core.all_apps() {
                let app = state.app.definition.id.to_string();
                let (most, runs) = (most_at_once(core, state), running.remove(&app).unwrap_or_default());
                if runs.len() > most {
                    found.insert((index, app), (runs, most));
                }
            }
            let ownerless = running.into_iter().map(|(app, runs)| ((index, app), (runs, 0)));
            found.extend(ownerless);
        }
        found
    }
}
