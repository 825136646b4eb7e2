//! How many of something each of several parties has, so that none takes them all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Everyone who has some. As many entries as parties that have one.
#[derive(Clone, Debug)]
pub struct Shares<K: Eq + Hash> {
    most: usize,
    counts: Arc<Mutex<HashMap<K, usize>>>,
}

/// One of them, given back when it is dropped.
#[derive(Debug)]
pub struct Share<K: Eq + Hash> {
    of: K,
    shares: Shares<K>,
}

impl<K: Clone + Eq + Hash> Shares<K> {
    /// Gives each party at most so many.
    pub fn new(most: usize) -> Self {
        Self { most, counts: Arc::default() }
    }

    /// One for this party; nothing when it has all it may have.
    pub fn take(&self, of: K) -> Option<Share<K>> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(of.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share { of, shares: Self { most: self.most, counts: self.counts.clone() } })
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut counts = self.shares.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_party_has_its_share_and_no_more() {
        let shares = Shares::new(2);
        let first = shares.take("one").unwrap();
        let second = shares.take("one").unwrap();
        assert!(shares.take("one").is_none());
        let others = shares.take("other").unwrap();
        drop(first);
        let third = shares.take("one").unwrap();
        drop((second, third, others));
        assert!(shares.counts.lock().unwrap().is_empty(), "who has left is forgotten");
    }
}
