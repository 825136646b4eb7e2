//! Holds effects back until what they rest on is durable: they leave in the order in which they were decided, and none
//! before every write decided earlier or with it. So a launch never leaves before its intent is stored.

use std::collections::{BTreeSet, VecDeque};

/// The effects of a state machine whose records have keys `K`.
#[derive(Clone, Debug)]
pub struct Outbox<K, E> {
    dirty: BTreeSet<K>,
    /// Decided since the last flush.
    fresh: Vec<E>,
    /// Decided earlier, each batch with the number of the write it waits for. Bounded by what is decided while a write is under
    /// way: whoever owns the state machine takes nothing in while it is far behind.
    held: VecDeque<(u64, Vec<E>)>,
    /// The last write handed out.
    written: u64,
    /// The last write known to be durable.
    stored: u64,
}

impl<K, E> Default for Outbox<K, E> {
    fn default() -> Self {
        Self { dirty: BTreeSet::new(), fresh: Vec::new(), held: VecDeque::new(), written: 0, stored: 0 }
    }
}

impl<K: Ord, E> Outbox<K, E> {
    /// Decides on an effect. It rests on all records that are marked before the next flush, and on those before.
    pub fn push(&mut self, effect: E) {
        self.fresh.push(effect);
    }

    /// This record has changed, or is gone.
    pub fn mark(&mut self, key: K) {
        self.dirty.insert(key);
    }

    /// The records marked since this was asked last: write them as they are now.
    pub fn dirty(&mut self) -> BTreeSet<K> {
        std::mem::take(&mut self.dirty)
    }

    /// The write of this number is durable, and all before it.
    pub fn on_stored(&mut self, number: u64) {
        self.stored = self.stored.max(number.min(self.written));
    }

    /// What may leave now. `write` is there when records were marked; it makes the effect that writes them, under the number
    /// that [`Outbox::on_stored`] is told when that is done.
    pub fn flush(&mut self, write: Option<impl FnOnce(u64) -> E>) -> Vec<E> {
        let mut out = Vec::new();
        if let Some(write) = write {
            self.written += 1;
            out.push(write(self.written));
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

    #[derive(Debug, PartialEq)]
    enum Effect {
        Store(u64),
        Kill(char),
    }

    use Effect::{Kill, Store};

    const NOTHING: Option<fn(u64) -> Effect> = None;

    #[test]
    fn nothing_overtakes_a_write_or_what_waits_for_one() {
        let mut outbox: Outbox<&str, Effect> = Outbox::default();
        outbox.push(Kill('a'));
        assert_eq!(outbox.flush(NOTHING), [Kill('a')], "rests on nothing");
        outbox.mark("k");
        outbox.push(Kill('b'));
        assert_eq!((outbox.dirty().len(), outbox.dirty().len()), (1, 0));
        assert_eq!(outbox.flush(Some(Store)), [Store(1)]);
        outbox.push(Kill('c'));
        assert_eq!(outbox.flush(NOTHING), [], "behind b");
        outbox.push(Kill('d'));
        assert_eq!(outbox.flush(Some(Store)), [Store(2)]);
        outbox.on_stored(1);
        assert_eq!(outbox.flush(NOTHING), [Kill('b'), Kill('c')]);
        outbox.on_stored(2);
        assert_eq!(outbox.flush(NOTHING), [Kill('d')]);
    }
}
