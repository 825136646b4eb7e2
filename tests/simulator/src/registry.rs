//! What coordinates masters: who leads, and a store in which only the leader can write.

use std::time::Duration;

use chapada_master_core::{RegistryChange, RegistryState, Ticket};
use chapada_model::Mono;

use crate::queue::Happening;
use crate::sim::Sim;
use crate::tally::Met;

/// The store.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) state: RegistryState,
    /// Leaderships in the order in which they began, with when.
    pub(crate) leaders: Vec<(Mono, usize)>,
    /// An answer is lost next, and with it the leader.
    pub(crate) lose_answer: bool,
    /// Writes take up to this long.
    pub(crate) slowness: Duration,
}

impl Sim {
    /// Who leads, as the store has it.
    pub fn leader(&self) -> Option<usize> {
        self.registry.leaders.last().map(|(_, master)| *master)
    }

    /// Who leads, as someone sees it who hears of changes late.
    pub(crate) fn leader_seen_late(&mut self) -> Option<usize> {
        let late = self.rng.between(Duration::ZERO, self.plan.found_late);
        let now = self.now;
        let leaders = &self.registry.leaders;
        let seen = leaders.iter().rev().find(|(since, _)| *since + late <= now).or(leaders.first());
        seen.map(|(_, master)| *master)
    }

    fn make_change(&mut self, change: RegistryChange) {
        self.note_change(&change);
        self.registry.state.apply(change);
    }

    /// Asks the store to make a change; answers come in the order of the changes.
    pub(crate) fn write(&mut self, master: usize, ticket: Ticket, change: RegistryChange) {
        let most = Duration::from_millis(5) + self.registry.slowness;
        let delay = self.rng.between(Duration::from_millis(1), most);
        let node = &mut self.masters[master];
        node.last_write = node.last_write.max(self.now + delay);
        let at = node.last_write;
        self.queue.put(at, Happening::Write { master, ticket, change: Box::new(change) });
    }

    pub(crate) fn on_write(&mut self, master: usize, ticket: Ticket, change: RegistryChange) {
        if self.masters[master].core.is_none() {
            return;
        }
        if self.leader() != Some(master) {
            self.tally.met(Met::DeposedWrote);
            self.history.note(self.now, format_args!("the registry refuses m{master}, which was deposed"));
            return self.stop_master(master);
        }
        if std::mem::take(&mut self.registry.lose_answer) {
            let is_made = self.rng.once_in(2);
            self.tally.met(Met::AnswerLost);
            self.history.note(self.now, format_args!("m{master} gets no answer; made: {is_made}"));
            if is_made {
                self.make_change(change);
            }
            self.stop_master(master);
            return self.queue.put(self.now + Duration::from_secs(3), Happening::Elect);
        }
        self.make_change(change);
        let at = self.masters[master].last_answer.max(self.now + Duration::from_micros(300));
        self.masters[master].last_answer = at;
        self.queue.put(at, Happening::Recorded { master, ticket });
    }
}
