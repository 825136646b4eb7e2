//! The store of masters, in which only the one whose election znode stands can write.

use std::collections::VecDeque;
use std::time::Duration;

use chapada_master_core::{RegistryChange, RegistryState, Ticket};
use chapada_model::Mono;

use crate::queue::Happening;
use crate::sim::Sim;
use crate::tally::Met;

/// A write whose connection broke before its answer came.
#[derive(Debug)]
pub(crate) struct Unknown {
    ticket: Ticket,
    change: RegistryChange,
    /// Whether it was carried out, which its writer can only read again.
    is_made: bool,
}

/// How the store itself can be wrong, for the tests of the checker.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Whoever was deposed can write.
    Unfenced,
    /// A write is answered and not made, now and then.
    Forgets,
}

/// The store.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) state: RegistryState,
    /// Leaderships in the order in which they began, with when.
    pub(crate) leaders: Vec<(Mono, usize)>,
    /// An answer is lost next, and with it the leader.
    pub(crate) lose_answer: bool,
    /// The servers have no space: they can be read, and write nothing.
    pub(crate) full: bool,
    /// What is wrong with it.
    #[cfg(test)]
    pub(crate) flaw: Option<Flaw>,
    /// How many changes were made.
    writes: u64,
    /// The leader ends at the change of this number, with it made or not.
    doom: Option<(u64, bool)>,
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
        self.registry.writes += 1;
        if self.forgets() {
            return;
        }
        self.registry.state.apply(change);
    }

    #[cfg(test)]
    fn is_unfenced(&self) -> bool {
        self.registry.flaw == Some(Flaw::Unfenced)
    }

    #[cfg(not(test))]
    fn is_unfenced(&self) -> bool {
        false
    }

    #[cfg(test)]
    fn forgets(&mut self) -> bool {
        self.registry.flaw == Some(Flaw::Forgets) && self.rng.once_in(10)
    }

    #[cfg(not(test))]
    fn forgets(&mut self) -> bool {
        false
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
        let machine = self.coordination.machine_of(master);
        let reaches = machine.is_some_and(|machine| self.coordination.machines[machine].connected);
        if !self.masters[master].unknown.is_empty() || !reaches || !self.coordination.has_quorum {
            return self.lose_connection(master, ticket, change);
        }
        if self.coordination.fence != Some(master) && !self.is_unfenced() {
            self.tally.met(Met::DeposedWrote);
            self.history.note(self.now, format_args!("the registry refuses m{master}, which was deposed"));
            return self.stop_master(master);
        }
        if self.registry.full {
            self.tally.met(Met::RegistryFull);
            self.history
                .note(self.now, format_args!("the registry has no space for m{master}, which steps down"));
            return self.stop_master(master);
        }
        if std::mem::take(&mut self.registry.lose_answer) {
            let is_made = self.rng.once_in(2);
            self.tally.met(Met::AnswerLost);
            self.history.note(self.now, format_args!("m{master} gets no answer; made: {is_made}"));
            if is_made {
                self.make_change(change);
            }
            return self.stop_master(master);
        }
        if let Some((_, is_made)) = self.registry.doom.take_if(|(write, _)| *write == self.registry.writes) {
            if is_made {
                self.make_change(change);
            }
            return self.crash_leader(Duration::from_secs(1));
        }
        self.make_change(change);
        self.answer_write(master, ticket);
    }

    fn answer_write(&mut self, master: usize, ticket: Ticket) {
        let at = self.masters[master].last_answer.max(self.now + Duration::from_micros(300));
        self.masters[master].last_answer = at;
        self.queue.put(at, Happening::Recorded { master, ticket });
    }

    /// The connection broke beneath a write: it was carried out before, or never will be. Those after it were not sent.
    fn lose_connection(&mut self, master: usize, ticket: Ticket, change: RegistryChange) {
        let may_be = self.masters[master].unknown.is_empty() && self.coordination.fence == Some(master);
        let is_made = may_be && !self.registry.full && self.rng.once_in(2);
        if is_made {
            self.make_change(change.clone());
        }
        self.tally.met(Met::OutcomeUnknown);
        self.history.note(self.now, format_args!("m{master} does not know of its write; made: {is_made}"));
        self.masters[master].unknown.push_back(Unknown { ticket, change, is_made });
    }

    /// What an operator's backup of the registry holds.
    pub fn backup(&self) -> RegistryState {
        self.registry.state.clone()
    }

    /// An operator stops all masters, puts this in place of what the registry holds, and starts them again.
    pub fn restore(&mut self, state: RegistryState) {
        self.history.note(self.now, format_args!("the registry is restored, epoch {}", state.epoch));
        if let Some(leader) = self.leader() {
            self.stop_master(leader);
        }
        self.note_restored(&state);
        self.registry.state = state;
    }

    /// The next change that is made is the last one before the leader's process ends: made or not, and never answered.
    pub fn end_leader_at_write(&mut self, write: u64, is_made: bool) {
        self.registry.doom = Some((write, is_made));
    }

    /// How many changes were made.
    pub fn writes(&self) -> u64 {
        self.registry.writes
    }

    /// Connected again, with its session: what was carried out counts, the rest is sent once more, before what was asked for later.
    pub(crate) fn read_again(&mut self, master: usize) {
        let unknown: VecDeque<Unknown> = std::mem::take(&mut self.masters[master].unknown);
        for Unknown { ticket, change, is_made } in unknown {
            match is_made {
                true => self.answer_write(master, ticket),
                false => {
                    let write = Happening::Write { master, ticket, change: Box::new(change) };
                    self.queue.put(self.now, write);
                }
            }
        }
    }
}
