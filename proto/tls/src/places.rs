//! Places for handshakes, of which no address has all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Of all places, one address has a quarter at most: its others wait behind its own, and nobody else's do.
const PARTS: usize = 4;

type Addresses = HashMap<IpAddr, Weak<Semaphore>>;

/// So many at once, first come, first served among those whose address has room.
#[derive(Debug)]
pub(crate) struct Places {
    all: Semaphore,
    each: usize,
    /// Those of whom somebody waits or has a place; as many as there are such connections at most.
    addresses: Mutex<Addresses>,
}

/// One of them, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    // Before the turn of its address, which looks whether it was the last.
    _one: SemaphorePermit<'a>,
    _own: OwnedSemaphorePermit,
    line: Line<'a>,
}

/// Where those of one address stand.
#[derive(Debug)]
struct Line<'a> {
    places: &'a Places,
    from: IpAddr,
    own: Option<Arc<Semaphore>>,
}

impl Places {
    pub(crate) fn new(all: usize) -> Self {
        let each = all.div_ceil(PARTS);
        Self { all: Semaphore::new(all), each, addresses: Mutex::default() }
    }

    /// Waits for one. Nothing when there are none any more, which never happens.
    pub(crate) async fn take(&self, from: IpAddr) -> Option<Place<'_>> {
        let line = self.line(from.to_canonical());
        let own = line.own.clone()?.acquire_owned().await.ok()?;
        Some(Place { _one: self.all.acquire().await.ok()?, _own: own, line })
    }

    fn line(&self, from: IpAddr) -> Line<'_> {
        let mut addresses = self.addresses();
        let own = addresses.get(&from).and_then(Weak::upgrade).unwrap_or_else(|| {
            let own = Arc::new(Semaphore::new(self.each));
            addresses.insert(from, Arc::downgrade(&own));
            own
        });
        Line { places: self, from, own: Some(own) }
    }

    fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many addresses are known.
    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        self.addresses().len()
    }
}

impl Place<'_> {
    /// Whether others may wait for it, of its address or of another.
    pub(crate) fn is_wanted(&self) -> bool {
        let own = self.line.own.as_ref().is_some_and(|own| own.available_permits() == 0);
        own || self.line.places.all.available_permits() == 0
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let mut addresses = self.places.addresses();
        drop(self.own.take());
        if addresses.get(&self.from).is_some_and(|own| own.strong_count() == 0) {
            addresses.remove(&self.from);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt;

    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    #[test]
    fn one_address_cannot_have_all_places_and_those_behind_it_are_not_before_others() {
        let places = Places::new(8);
        let mut held: Vec<Place<'_>> = Vec::new();
        while let Some(Some(place)) = places.take(address(1)).now_or_never() {
            assert!(held.len() < 8, "it has all");
            held.push(place);
        }
        assert_eq!((held.len(), held[0].is_wanted()), (2, true));
        let mut behind = Box::pin(places.take(address(1)));
        assert!((&mut behind).now_or_never().is_none());
        let other = places.take(address(2)).now_or_never().flatten().expect("another is served at once");
        assert!(!other.is_wanted());
        held.pop();
        let next = behind.now_or_never().flatten().expect("it is its turn");
        let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into();
        assert!(places.take(mapped).now_or_never().is_none(), "the same address over IPv6");
        assert_eq!(places.known(), 2);
        drop((held, other, next));
        assert_eq!(places.known(), 0, "nobody is remembered");
    }
}
