//! How many connections each address has, so that none takes them all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Everyone who has a connection. As many entries as addresses that have one.
#[derive(Clone, Debug)]
pub(crate) struct Callers {
    most: usize,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection's place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    address: IpAddr,
    callers: Callers,
}

impl Callers {
    /// Gives each address at most so many places.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, counts: Arc::default() }
    }

    /// A place for a connection from this address; nothing when it has all it may have.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Place> {
        // An IPv4 address is the same caller when it comes over IPv6.
        let address = address.to_canonical();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { address, callers: self.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.callers.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_share_and_no_more() {
        let callers = Callers::new(2);
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let first = callers.admit(one).unwrap();
        let second = callers.admit("::ffff:10.0.0.1".parse().unwrap()).unwrap();
        assert!(callers.admit(one).is_none(), "the same address over IPv6 counts");
        let others = callers.admit(other).unwrap();
        drop(first);
        let third = callers.admit(one).unwrap();
        drop((second, third, others));
        assert!(callers.counts.lock().unwrap().is_empty(), "who has left is forgotten");
    }
}
