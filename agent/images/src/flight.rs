//! Work that several want at once is done once, for as long as anybody still wants it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

/// Work in progress, by what it is about.
#[derive(Debug)]
pub(crate) struct Flights<K, T: Clone>(Mutex<HashMap<K, WeakShared<BoxFuture<'static, T>>>>);

impl<K, T: Clone> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, T: Clone> Flights<K, T> {
    /// Joins the work on `key`, or begins it. When all who wait have given up, the work is dropped where it stands.
    pub(crate) fn join(
        &self,
        key: K,
        work: impl FnOnce() -> BoxFuture<'static, T>,
    ) -> Shared<BoxFuture<'static, T>> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&key).and_then(WeakShared::upgrade).filter(|f| f.peek().is_none()) {
            return flight;
        }
        flights.retain(|_, flight| flight.upgrade().is_some_and(|flight| flight.peek().is_none()));
        let flight = work().shared();
        if let Some(weak) = flight.downgrade() {
            flights.insert(key, weak);
        }
        flight
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn two_who_want_the_same_get_it_once() {
        let flights = Flights::default();
        let begun = Arc::new(AtomicUsize::new(0));
        let (go, gone) = oneshot::channel::<u8>();
        let mut gone = Some(gone);
        let mut begin = |flights: &Flights<&str, u8>| {
            let (begun, gone) = (begun.clone(), gone.take());
            flights.join("a", move || {
                begun.fetch_add(1, Ordering::Relaxed);
                async move { gone.unwrap().await.unwrap_or_default() }.boxed()
            })
        };
        let (first, second) = (begin(&flights), begin(&flights));
        go.send(7).unwrap();
        assert_eq!((first.await, second.await), (7, 7));
        assert_eq!(begun.load(Ordering::Relaxed), 1);
        let again = flights.join("a", || async { 8 }.boxed());
        assert_eq!(again.await, 8, "what is done is done anew");
    }

    #[tokio::test]
    async fn work_that_nobody_wants_is_dropped() {
        let flights = Flights::default();
        let (held, dropped) = oneshot::channel::<()>();
        let begin = move || {
            async move {
                let _held = held;
                std::future::pending::<()>().await;
            }
            .boxed()
        };
        let flight = flights.join("a", begin);
        assert!(futures_util::poll!(flight.clone()).is_pending());
        drop(flight);
        assert!(dropped.await.is_err(), "its parts are gone");
    }
}
