//! Holds effects back until what they rest on is durable: they leave in the order in which they were decided, and none
//! before every write decided earlier or with it.

use std::collections::{BTreeSet, VecDeque};

use crate::event::Effect;
use crate::records::{Key, Write};

#[derive(Debug, Default)]
pub(super) struct Outbox {
    dirty: BTreeSet<Key>,
    /// Decided in the present call.
    fresh: Vec<Effect>,
    /// Decided earlier, each batch with the number of the write it waits for. Bounded by what one write may take to come
    /// back: the shell takes no commands while it is far behind.
    held: VecDeque<(u64, Vec<Effect>)>,
    /// The last write handed out.
    written: u64,
    /// The last write known to be durable.
    stored: u64,
}

impl Outbox {
    pub(super) fn push(&mut self, effect: Effect) {
        self.fresh.push(effect);
    }

    pub(super) fn mark(&mut self, key: Key) {
        self.dirty.insert(key);
    }

    pub(super) fn dirty(&mut self) -> BTreeSet<Key> {
        std::mem::take(&mut self.dirty)
    }

    pub(super) fn on_stored(&mut self, number: u64) {
        self.stored = self.stored.max(number.min(self.written));
    }

    /// What may leave now.
    pub(super) fn flush(&mut self, writes: Vec<Write>) -> Vec<Effect> {
        let mut out = Vec::new();
        if !writes.is_empty() {
            self.written += 1;
            out.push(Effect::Store { number: self.written, writes });
        }
        let fresh = std::mem::take(&mut self.fresh);
        if !fresh.is_empty() {
            self.held.push_back((self.written, fresh));
        }
        while let Some((_, effects)) = self.held.pop_front_if(|(number, _)| *number <= self.stored) {
            out.extend(effects);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill(task: &str) -> Effect {
        Effect::Kill { task: task.parse().unwrap(), agent: None }
    }

    fn write() -> Vec<Write> {
        vec![Write::Delete { key: "k".to_owned() }]
    }

    #[test]
    fn nothing_overtakes_a_write_or_what_waits_for_one() {
        let mut outbox = Outbox::default();
        outbox.push(kill("a"));
        assert_eq!(outbox.flush(vec![]), [kill("a")], "rests on nothing");
        outbox.push(kill("b"));
        assert_eq!(outbox.flush(write()), [Effect::Store { number: 1, writes: write() }]);
        outbox.push(kill("c"));
        assert_eq!(outbox.flush(vec![]), [], "behind b");
        outbox.push(kill("d"));
        assert_eq!(outbox.flush(write()), [Effect::Store { number: 2, writes: write() }]);
        outbox.on_stored(1);
        assert_eq!(outbox.flush(vec![]), [kill("b"), kill("c")]);
        outbox.on_stored(2);
        assert_eq!(outbox.flush(vec![]), [kill("d")]);
    }
}
