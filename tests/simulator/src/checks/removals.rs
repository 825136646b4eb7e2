//! The brake on mass removal: never are more agents given up within its window than it allows, and none by a new leader before agents had
//! their time to come back to it, unless an operator said so to that leader.

use std::time::Duration;

use chapada_master_core::{RegistryChange, Standing};
use chapada_model::{AgentId, Mono};

use crate::sim::Sim;
use crate::tally::Met;

/// What leaders did, and what they were allowed.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    /// When a leader had an agent given up, by the registry.
    given_up: Vec<(Mono, usize)>,
    /// Until when an operator allows a leader any number.
    allowed: Vec<(usize, Mono)>,
    /// Which leaders found agents when they began.
    found_agents: Vec<usize>,
}

/// A leader decides before the registry is asked, and may be told of it late.
const LATE: Duration = Duration::from_secs(60);

impl Sim {
    /// A leader that reads the registry finds these agents in it.
    pub(crate) fn note_found_agents(&mut self, master: usize) {
        let is_there = |standing: &Standing| *standing == Standing::Admitted;
        if self.registry.state.agents.values().any(|record| is_there(&record.standing)) {
            self.checks.removals.found_agents.push(master);
        }
    }

    /// An operator has a leader give up any number for so long.
    pub(crate) fn note_allowance(&mut self, master: usize, time: Duration) {
        self.checks.removals.allowed.push((master, self.now + time + LATE));
    }

    /// The registry is about to say something of an agent.
    pub(crate) fn check_removal(&mut self, change: &RegistryChange) {
        let RegistryChange::PutAgent(id, record) = change else { return };
        let (Some(master), Standing::Unreachable { .. }) = (self.leader(), record.standing) else { return };
        let known = self.registry.state.agents.get(id).map(|known| known.standing);
        if matches!(known, Some(Standing::Unreachable { .. })) {
            return;
        }
        self.tally.met(Met::GivenUp);
        let removals = &self.checks.removals;
        let is_allowed = removals.allowed.iter().any(|(of, until)| *of == master && *until > self.now);
        if is_allowed {
            return;
        }
        self.check_brake(master, id);
        self.checks.removals.given_up.push((self.now, master));
    }

    fn check_brake(&mut self, master: usize, id: &AgentId) {
        let settings = &self.plan.settings;
        let Some(brake) = settings.brake else { return };
        let removals = &self.checks.removals;
        let began = self.registry.leaders.iter().find(|(_, index)| *index == master).map(|(at, _)| *at);
        let waited = began.map(|began| self.now.since(began)).unwrap_or_default();
        if removals.found_agents.contains(&master) && waited < settings.agent_reregister_timeout {
            return self.fail(|| format!("m{master} gives up {id} only {waited:?} after it began to lead"));
        }
        let window = brake.window.saturating_sub(LATE);
        let recent = |(at, of): &&(Mono, usize)| *of == master && self.now.since(*at) < window;
        let count = 1 + removals.given_up.iter().filter(recent).count();
        let most = brake.least.max(self.registry.state.agents.len() * brake.percent / 100);
        if count > most {
            self.fail(|| {
                format!("m{master} gives up {id}, the {count}th within {window:?}, and {most} may be")
            });
        }
    }
}
