//! The brake on mass removal: never are more agents given up within its window than it allows, whoever leads, and none by a new leader
//! before agents had their time to come back to it, unless an operator said so to that leader.

use std::collections::BTreeSet;
use std::time::Duration;

use chapada_master_core::{AgentRecord, RegistryChange, Standing};
use chapada_model::{AgentId, Mono, Wall};

use crate::sim::Sim;
use crate::tally::Met;

/// What leaders did, and what they were allowed.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    /// Agents that leaders gave up, by the registry.
    given_up: Vec<GivenUp>,
    /// Until when an operator allows a leader any number.
    allowed: Vec<(usize, Mono)>,
    /// Which leaders found agents when they began.
    found_agents: Vec<usize>,
}

/// When a leader had an agent given up.
#[derive(Debug)]
struct GivenUp {
    at: Mono,
    by: usize,
    agent: AgentId,
}

/// A leader decides before the registry is asked, and may be told of it late.
const LATE: Duration = Duration::from_secs(60);

impl Sim {
    /// A leader that reads the registry finds these agents in it.
    pub(crate) fn note_found_agents(&mut self, master: usize) {
        let (now, wall) = (self.now, self.clock(self.masters[master].offset).wall);
        let agents = &self.registry.state.agents;
        self.checks.removals.given_up.retain(|removal| {
            agents.get(&removal.agent).is_some_and(|record| is_known(record, now.since(removal.at), wall))
        });
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
        self.checks.removals.given_up.push(GivenUp { at: self.now, by: master, agent: id.clone() });
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
        let recent = || removals.given_up.iter().filter(|removal| self.now.since(removal.at) < window);
        // A leader counts each time; of former ones it knows only who was given up.
        let own = 1 + recent().filter(|removal| removal.by == master).count();
        let all: BTreeSet<&AgentId> = recent().map(|removal| &removal.agent).chain([id]).collect();
        let count = own.max(all.len());
        let most = brake.least.max(self.registry.state.agents.len() * brake.percent / 100);
        if count > most {
            self.fail(|| {
                format!("m{master} gives up {id}, the {count}th within {window:?}, and {most} may be")
            });
        }
    }
}

/// Whether a new leader can know that this agent was given up so long ago: an operator did not give it up for good since, and no wall
/// clock was set forward, which makes a removal look older.
fn is_known(record: &AgentRecord, ago: Duration, wall: Wall) -> bool {
    let noted = match record.standing {
        Standing::Unreachable { since } => Some(since),
        Standing::Admitted => record.returned,
        Standing::Gone { .. } => return false,
    };
    noted.is_none_or(|noted| Duration::from_nanos(wall.0.saturating_sub(noted.0)) < ago + LATE)
}
