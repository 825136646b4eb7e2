//! How many of something each of several parties has, so that none takes them all.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::authority::Principal;

/// Everyone who has some. As many entries as parties that have one.
#[derive(Clone, Debug)]
pub struct Shares<K: Eq + Hash> {
    most: usize,
    counts: Arc<Mutex<HashMap<K, usize>>>,
}

/// One of them, or several, given back when it is dropped.
#[derive(Debug)]
pub struct Share<K: Eq + Hash> {
    of: K,
    count: usize,
    shares: Shares<K>,
}

/// Who calls, as far as shares go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    /// The holder of credentials in this name, wherever they call from.
    Named(String),
    /// Whoever calls from this address.
    Address(IpAddr),
    /// A user of this machine, who calls at a socket in the file system.
    User(u32),
}

impl Party {
    /// Whoever calls from an address: an IPv4 address is the same when it comes over IPv6.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }

    /// The same once it is known who calls.
    pub(crate) fn known_as(self, principal: &Principal) -> Self {
        match principal {
            Principal::Named(name) => Self::Named(name.clone()),
            Principal::Anonymous => self,
        }
    }
}

impl<K: Clone + Eq + Hash> Shares<K> {
    /// Gives each party at most so many.
    pub fn new(most: usize) -> Self {
        Self { most, counts: Arc::default() }
    }

    /// One for this party; nothing when it has all it may have.
    pub fn take(&self, of: K) -> Option<Share<K>> {
        let mut share = self.begin(of);
        share.take_more(1).then_some(share)
    }

    /// None for this party yet, to take more of.
    pub(crate) fn begin(&self, of: K) -> Share<K> {
        Share { of, count: 0, shares: self.clone() }
    }
}

impl<K: Clone + Eq + Hash> Share<K> {
    /// Takes so many more, all or none; `false` when its party would have more than it may.
    pub(crate) fn take_more(&mut self, more: usize) -> bool {
        let mut counts = self.shares.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let has = counts.get(&self.of).copied().unwrap_or_default();
        if more > self.shares.most.saturating_sub(has) {
            return false;
        }
        counts.insert(self.of.clone(), has + more);
        self.count += more;
        true
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut counts = self.shares.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.of) {
            *count -= self.count;
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

    #[test]
    fn what_is_taken_at_once_is_taken_whole_or_not_at_all() {
        let shares = Shares::new(10);
        let (mut first, mut second) = (shares.begin("one"), shares.begin("one"));
        assert!(first.take_more(6) && !second.take_more(5) && second.take_more(4));
        assert!(!first.take_more(usize::MAX) && first.take_more(0));
        drop(shares.begin("one"));
        assert!(shares.take("one").is_none());
        drop(second);
        assert!(first.take_more(4) && shares.take("one").is_none());
        drop(first);
        assert!(shares.counts.lock().unwrap().is_empty(), "who has left is forgotten");
    }

    #[test]
    fn who_has_a_name_is_one_party_wherever_they_call_from_and_others_are_their_address() {
        let (four, six) = ("10.0.0.1".parse().unwrap(), "::ffff:10.0.0.1".parse().unwrap());
        assert_eq!(Party::at(four), Party::at(six));
        let ann = Principal::Named("ann".to_owned());
        assert_eq!(Party::at(four).known_as(&ann), Party::User(0).known_as(&ann));
        assert_eq!(Party::at(six).known_as(&Principal::Anonymous), Party::Address(four));
    }
}
