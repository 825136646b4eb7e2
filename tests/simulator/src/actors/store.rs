//! Where a framework keeps what must outlive it.

use std::collections::{BTreeMap, VecDeque};

use chapada_model::{Mono, Text};
use chapada_sdk_core::Intent;
use chapada_services_core::Write;

use crate::random::Rng;

/// What becomes of writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    /// They are made and answered.
    #[default]
    None,
    /// The next one is not made.
    Refuses,
    /// The next one is made, and nobody hears of it.
    AnswerLost,
}

/// Changes on their way to disk.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// When they are durable.
    pub(crate) at: Mono,
    number: u64,
    writes: Vec<Write>,
}

/// Durable intents, or records.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) intents: BTreeMap<Text, Intent>,
    /// By name.
    pub(crate) records: BTreeMap<String, Vec<u8>>,
    /// The oldest first; each is whole before the next begins.
    pub(crate) on_the_way: VecDeque<Transaction>,
    pub(crate) trouble: Trouble,
}

impl Store {
    /// Writes an intent; true when it is known to be durable. Otherwise its framework ends, as the SDK has it.
    pub(crate) fn put(&mut self, intent: &Intent) -> bool {
        let trouble = std::mem::take(&mut self.trouble);
        if trouble != Trouble::Refuses {
            self.intents.insert(intent.task.name.clone(), intent.clone());
        }
        trouble == Trouble::None
    }

    /// Begins a write that is durable at a time, and not before those begun earlier.
    pub(crate) fn begin(&mut self, at: Mono, number: u64, writes: Vec<Write>) {
        let at = self.on_the_way.back().map_or(at, |last| at.max(last.at));
        self.on_the_way.push_back(Transaction { at, number, writes });
    }

    /// The number of the next write that is durable by now. The outcome of one that fails is not known, so its process ends.
    pub(crate) fn finished(&mut self, now: Mono) -> Option<Result<u64, Trouble>> {
        let Transaction { number, writes, .. } = self.on_the_way.pop_front_if(|first| first.at <= now)?;
        let trouble = std::mem::take(&mut self.trouble);
        if trouble != Trouble::Refuses {
            writes.into_iter().for_each(|write| self.make(write));
        }
        if trouble != Trouble::None {
            // A write begins when the one before has been answered.
            self.on_the_way.clear();
            return Some(Err(trouble));
        }
        Some(Ok(number))
    }

    /// Its process has ended, or another leads now: of what was on its way some was made, in order.
    pub(crate) fn cut(&mut self, rng: &mut Rng) {
        for _ in 0..rng.place(self.on_the_way.len() + 1) {
            let first = self.on_the_way.pop_front().map(|first| first.writes);
            first.into_iter().flatten().for_each(|write| self.make(write));
        }
        self.on_the_way.clear();
    }

    fn make(&mut self, write: Write) {
        match write {
            Write::Put { key, value } => drop(self.records.insert(key, value)),
            Write::Delete { key } => drop(self.records.remove(&key)),
        }
    }
}
