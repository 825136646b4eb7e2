//! The event stream: each event is written once and handed to every subscriber that wants it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chapada_services_core::Published;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::render::events::{self, Rendered};

/// How many events a subscriber may be behind before it is cut.
///
/// Source: Marathon's `event_stream_max_outstanding_messages`.
const OUTSTANDING: usize = 1_024;
/// The most subscribers at once: each has a queue of its own.
const MAX_SUBSCRIBERS: usize = 200;

/// Hands events to subscribers. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Hub {
    subscribers: Arc<Mutex<Vec<Subscriber>>>,
}

struct Subscriber {
    wants: Wants,
    queue: mpsc::Sender<Bytes>,
}

/// What a subscriber wants to hear.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wants {
    /// Only these types; none means all.
    pub(crate) types: BTreeSet<String>,
    /// Whether deployment plans come without the definitions before and after.
    pub(crate) light: bool,
}

/// There are as many subscribers as there may be.
#[derive(Debug, thiserror::Error)]
#[error("there are {MAX_SUBSCRIBERS} subscribers already")]
pub(crate) struct TooManySubscribers;

impl Hub {
    /// A queue of events, each framed for the stream. It ends when its reader is too slow.
    pub(crate) fn subscribe(&self, wants: Wants) -> Result<mpsc::Receiver<Bytes>, TooManySubscribers> {
        let (queue, events) = mpsc::channel(OUTSTANDING);
        let mut subscribers = self.lock();
        subscribers.retain(|subscriber| !subscriber.queue.is_closed());
        if subscribers.len() >= MAX_SUBSCRIBERS {
            return Err(TooManySubscribers);
        }
        subscribers.push(Subscriber { wants, queue });
        Ok(events)
    }

    /// How many there are.
    pub(crate) fn subscribers(&self) -> usize {
        self.lock().len()
    }

    /// Ends every stream: what happens is told elsewhere from now on.
    pub(crate) fn close(&self) {
        self.lock().clear();
    }

    /// Tells everyone who wants to know.
    pub(crate) fn publish(&self, event: &Published) {
        if self.lock().is_empty() {
            return;
        }
        for rendered in events::render(event) {
            self.send(&rendered);
        }
    }

    /// As [`Hub::publish`], for events that the core knows nothing of.
    pub(crate) fn announce(&self, kind: &'static str, body: Value) {
        self.send(&Rendered::plain(kind, body));
    }

    fn send(&self, event: &Rendered) {
        self.lock().retain(|subscriber| {
            if !subscriber.wants.types.is_empty() && !subscriber.wants.types.contains(event.kind) {
                return !subscriber.queue.is_closed();
            }
            let frame = if subscriber.wants.light { &event.light } else { &event.heavy };
            let kept = subscriber.queue.try_send(frame.clone()).is_ok();
            if !kept {
                tracing::debug!("cut a subscriber of the event stream that left or was too slow");
            }
            kept
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Subscriber>> {
        // The list is whole after every statement that changes it.
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_that_does_not_read_is_cut_and_others_go_on() {
        let hub = Hub::default();
        let mut slow = hub.subscribe(Wants::default()).unwrap();
        let mut quick = hub.subscribe(Wants::default()).unwrap();
        for _ in 0..=OUTSTANDING {
            hub.announce("api_post_event", Value::Object(Default::default()));
            assert!(quick.try_recv().is_ok());
        }
        hub.announce("api_post_event", Value::Object(Default::default()));
        assert!(quick.try_recv().is_ok());
        let mut got = 0;
        while slow.try_recv().is_ok() {
            got += 1;
        }
        assert_eq!(got, OUTSTANDING, "what it had is still delivered");
        assert!(slow.is_closed(), "then its stream ends");
    }

    #[test]
    fn there_are_only_so_many_subscribers() {
        let hub = Hub::default();
        let queues: Vec<_> = (0..MAX_SUBSCRIBERS).map(|_| hub.subscribe(Wants::default()).unwrap()).collect();
        assert!(hub.subscribe(Wants::default()).is_err());
        drop(queues);
        assert!(hub.subscribe(Wants::default()).is_ok());
    }
}
