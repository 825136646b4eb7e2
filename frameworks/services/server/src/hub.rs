//! The event stream: each event is written once and handed to every subscriber that wants it and may see it. The last ones are
//! kept for those who lost their connection.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chapada_listener::{Action, Caller};
use chapada_services_core::Published;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::render::events::{self, Rendered};
use crate::render::{about, timestamp};

/// The most subscribers at once: each has a queue of its own.
const MAX_SUBSCRIBERS: usize = 2_000;
/// How many bytes. Subscribers share what is written, so this is about what they hold together.
const OUTSTANDING_BYTES: usize = 16 << 20;
/// How many events are kept for those who come back, and how large they may be together.
const KEPT: usize = 1_000;
const KEPT_BYTES: usize = 16 << 20;

/// Hands events to subscribers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub {
    /// Part of each event's id: another process counts from 1 as well.
    life: Arc<str>,
    /// How many events a subscriber may be behind before it is cut.
    outstanding: usize,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    subscribers: Vec<Subscriber>,
    history: VecDeque<Arc<Happened>>,
    /// How large all in the history is.
    kept_bytes: usize,
    /// The number of the last event.
    last: u64,
}

struct Subscriber {
    wants: Wants,
    queue: mpsc::Sender<Bytes>,
    /// How much of it was not taken yet.
    waiting: Arc<AtomicUsize>,
}

/// The end of a subscriber's queue that it reads.
#[derive(Debug)]
pub(crate) struct Frames {
    queue: mpsc::Receiver<Bytes>,
    waiting: Arc<AtomicUsize>,
}

impl Frames {
    /// The next event, framed for the stream. Nothing when its reader was too slow.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        let frame = self.queue.recv().await?;
        self.waiting.fetch_sub(frame.len(), Ordering::Relaxed);
        Some(frame)
    }
}

/// Something that happened; it is written only for those who read it.
#[derive(Debug)]
struct Happened {
    number: u64,
    at: String,
    about: Vec<String>,
    what: What,
    /// About how many bytes it holds. Nothing when it is too large to be kept.
    bytes: Option<usize>,
}

#[derive(Debug)]
enum What {
    Published(Box<Published>),
    Said(&'static str, Value),
}

impl What {
    /// About how many bytes it holds; nothing when that is too many to be counted.
    fn bytes(&self) -> Option<usize> {
        match self {
            Self::Said(_, body) => Some(SMALL + written_bytes(body)),
            Self::Published(event) => match about::plan(event) {
                None => Some(SMALL),
                Some(plan) if plan.changes.len() > COUNTED => None,
                Some(plan) => {
                    let sides = plan.changes.values().flat_map(|change| [&change.from, &change.to]).flatten();
                    Some(SMALL + sides.map(written_bytes).sum::<usize>())
                }
            },
        }
    }
}

/// What an event takes beside the definitions in it, about.
const SMALL: usize = 1_024;
/// In plans of how many apps the definitions are counted.
const COUNTED: usize = 256;

fn written_bytes(value: &impl serde::Serialize) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) => counter.0,
        Err(_) => usize::MAX / 4,
    }
}

/// What a subscriber wants to hear.
#[derive(Clone, Debug)]
pub(crate) struct Wants {
    /// Only these types; none means all.
    pub(crate) types: BTreeSet<String>,
    /// Whether deployment plans come without the definitions before and after.
    pub(crate) light: bool,
    /// Who listens: only what is about what it may see is told.
    pub(crate) caller: Caller,
}

/// A place among the subscribers.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// What it missed since the event that it named.
    pub(crate) missed: Missed,
    /// Whether that is all it missed. `None` when it named no event.
    pub(crate) resumed: Option<bool>,
    /// What happens from now on.
    pub(crate) events: Frames,
}

/// There are as many subscribers as there may be.
#[derive(Debug, thiserror::Error)]
#[error("there are {MAX_SUBSCRIBERS} subscribers already")]
pub(crate) struct TooManySubscribers;

impl Hub {
    /// `life` tells the events of this process from those of others.
    /// A subscriber that is `outstanding` events behind is cut.
    pub(crate) fn new(life: u64, outstanding: usize) -> Self {
        Self { life: format!("{life:016x}").into(), outstanding, inner: Arc::default() }
    }

    /// A place among the subscribers, for one who has seen the events until `last`.
    pub(crate) fn subscribe(
        &self,
        wants: Wants,
        last: Option<&str>,
    ) -> Result<Subscription, TooManySubscribers> {
        let (queue, events) = mpsc::channel::<Bytes>(self.outstanding);
        let mut inner = self.lock();
        inner.subscribers.retain(|subscriber| !subscriber.queue.is_closed());
        if inner.subscribers.len() >= MAX_SUBSCRIBERS {
            return Err(TooManySubscribers);
        }
        let waiting = Arc::new(AtomicUsize::new(0));
        let events = Frames { queue: events, waiting: waiting.clone() };
        inner.subscribers.push(Subscriber { wants: wants.clone(), queue, waiting });
        let seen = last.map(|last| inner.seen(&self.life, last));
        let kept: Vec<Arc<Happened>> = match seen {
            Some(Some(seen)) => inner.history.iter().filter(|event| event.number > seen).cloned().collect(),
            Some(None) | None => Vec::new(),
        };
        drop(inner);
        let missed = Missed { life: self.life.clone(), wants, events: kept.into(), written: VecDeque::new() };
        Ok(Subscription { missed, resumed: seen.map(|seen| seen.is_some()), events })
    }

    /// How many there are.
    pub(crate) fn subscribers(&self) -> usize {
        self.lock().subscribers.iter().filter(|subscriber| !subscriber.queue.is_closed()).count()
    }

    /// Ends every stream: what happens is told elsewhere from now on.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        *inner = Inner { last: inner.last + 1, ..Inner::default() };
    }

    /// Tells everyone who wants to know.
    pub(crate) fn publish(&self, event: Box<Published>) {
        let about = about::about(&event);
        self.happened(about, What::Published(event));
    }

    /// As [`Hub::publish`], for events that the core knows nothing of and that are about nothing in particular.
    pub(crate) fn announce(&self, kind: &'static str, body: Value) {
        self.happened(Vec::new(), What::Said(kind, body));
    }

    /// As [`Hub::announce`], for those about the app, pod or group `path`.
    pub(crate) fn announce_about(&self, path: &str, kind: &'static str, body: Value) {
        self.happened(vec![path.to_owned()], What::Said(kind, body));
    }

    fn happened(&self, about: Vec<String>, what: What) {
        let at = timestamp(Clock::new().now());
        let bytes = what.bytes();
        let mut inner = self.lock();
        inner.last += 1;
        let event = Arc::new(Happened { number: inner.last, at, about, what, bytes });
        inner.keep(event.clone());
        if inner.subscribers.is_empty() {
            return;
        }
        for frames in frames(&self.life, &event) {
            inner.subscribers.retain(|subscriber| frames.hand_to(subscriber));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // It is whole after every statement that changes it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event as it goes out, to whoever wants it.
fn frames<'a>(life: &str, event: &'a Happened) -> Vec<Written<'a>> {
    let rendered = match &event.what {
        What::Published(published) => events::render(published),
        What::Said(kind, body) => vec![Rendered::plain(kind, body.clone())],
    };
    let last = rendered.len().saturating_sub(1);
    let frame = |(index, Rendered { kind, heavy, light }): (usize, Rendered)| {
        // All frames of one event together are one step for who comes back, so only the last has its id.
        let id = (index == last).then(|| format!("id: {life}-{}\r\n", event.number));
        let id = id.unwrap_or_default();
        let frame = |mut body: Value| -> Bytes {
            body["eventType"] = json!(kind);
            body["timestamp"] = json!(event.at);
            format!("{id}event: {kind}\r\ndata: {body}\r\n\r\n").into()
        };
        let heavy = frame(heavy);
        Written { kind, about: &event.about, light: light.map_or_else(|| heavy.clone(), frame), heavy }
    };
    rendered.into_iter().enumerate().map(frame).collect()
}

/// What somebody missed. It is written piece by piece as it is read: many who come back at once, or never read, hold what is kept
/// anyway and no copies of it.
#[derive(Debug)]
pub(crate) struct Missed {
    life: Arc<str>,
    wants: Wants,
    events: VecDeque<Arc<Happened>>,
    written: VecDeque<Bytes>,
}

impl Iterator for Missed {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        while self.written.is_empty() {
            let event = self.events.pop_front()?;
            self.written =
                frames(&self.life, &event).iter().filter_map(|one| one.wanted(&self.wants)).collect();
        }
        self.written.pop_front()
    }
}

impl Inner {
    fn keep(&mut self, event: Arc<Happened>) {
        self.kept_bytes += event.bytes.unwrap_or(usize::MAX / 2);
        self.history.push_back(event);
        while self.history.len() > KEPT || self.kept_bytes > KEPT_BYTES {
            let Some(oldest) = self.history.pop_front() else { return };
            self.kept_bytes -= oldest.bytes.unwrap_or(usize::MAX / 2);
        }
    }

    /// The number in an id, if everything since is kept.
    fn seen(&self, life: &str, id: &str) -> Option<u64> {
        let seen: u64 = id.strip_prefix(life)?.strip_prefix('-')?.parse().ok()?;
        let oldest = self.history.front().map_or(self.last + 1, |event| event.number);
        (seen <= self.last && seen + 1 >= oldest).then_some(seen)
    }
}

/// One event as it goes out.
struct Written<'a> {
    kind: &'static str,
    about: &'a [String],
    heavy: Bytes,
    light: Bytes,
}

impl Written<'_> {
    fn wanted(&self, wants: &Wants) -> Option<Bytes> {
        let is_wanted = wants.types.is_empty() || wants.types.contains(self.kind);
        let may_see = |path: &String| wants.caller.may(Action::ViewApps, "app", path);
        let frame = if wants.light { &self.light } else { &self.heavy };
        (is_wanted && self.about.iter().all(may_see)).then(|| frame.clone())
    }

    /// Whether the subscriber stays one.
    fn hand_to(&self, subscriber: &Subscriber) -> bool {
        let Some(frame) = self.wanted(&subscriber.wants) else { return !subscriber.queue.is_closed() };
        let before = subscriber.waiting.fetch_add(frame.len(), Ordering::Relaxed);
        // One event alone may be larger than what may wait.
        let has_room = before == 0 || before + frame.len() <= OUTSTANDING_BYTES;
        let kept = has_room && subscriber.queue.try_send(frame).is_ok();
        if !kept {
            tracing::debug!("cut a subscriber of the event stream that left or was too slow");
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTSTANDING: usize = 1_024;

    fn all() -> Wants {
        Wants { types: BTreeSet::new(), light: false, caller: Caller::itself() }
    }

    #[test]
    fn many_who_come_back_hold_no_copies_of_what_they_missed() {
        let hub = Hub::new(0xff, OUTSTANDING);
        for uri in 0..100 {
            hub.announce("api_post_event", json!({"uri": uri}));
        }
        let mut again: Vec<Subscription> =
            (0..100).map(|_| hub.subscribe(all(), Some("00000000000000ff-1")).unwrap()).collect();
        let written =
            |again: &[Subscription]| again.iter().map(|one| one.missed.written.len()).sum::<usize>();
        assert_eq!(written(&again), 0, "nothing before it is read");
        assert!(again.iter_mut().all(|one| one.missed.next().is_some()));
        assert_eq!(written(&again), 0, "each piece goes when it is taken");
    }

    fn text(frames: &[Bytes]) -> String {
        frames.iter().map(|frame| String::from_utf8_lossy(frame).into_owned()).collect()
    }

    #[test]
    fn a_subscriber_that_does_not_read_is_cut_and_others_go_on() {
        let hub = Hub::new(1, OUTSTANDING);
        let mut slow = hub.subscribe(all(), None).unwrap().events;
        let mut quick = hub.subscribe(all(), None).unwrap().events;
        for _ in 0..=OUTSTANDING {
            hub.announce("api_post_event", json!({}));
            assert!(
                quick
                    .queue
                    .try_recv()
                    .is_ok_and(|frame| quick.waiting.fetch_sub(frame.len(), Ordering::Relaxed) > 0)
            );
        }
        hub.announce("api_post_event", json!({}));
        assert!(
            quick
                .queue
                .try_recv()
                .is_ok_and(|frame| quick.waiting.fetch_sub(frame.len(), Ordering::Relaxed) > 0)
        );
        let mut got = 0;
        while slow.queue.try_recv().is_ok() {
            got += 1;
        }
        assert_eq!(got, OUTSTANDING, "what it had is still delivered");
        assert!(slow.queue.is_closed(), "then its stream ends");
    }

    #[test]
    fn there_are_only_so_many_subscribers() {
        let hub = Hub::new(1, OUTSTANDING);
        let queues: Vec<_> = (0..MAX_SUBSCRIBERS).map(|_| hub.subscribe(all(), None).unwrap()).collect();
        assert!(hub.subscribe(all(), None).is_err());
        drop(queues);
        assert!(hub.subscribe(all(), None).is_ok());
    }

    #[test]
    fn who_comes_back_hears_what_it_missed_or_that_it_cannot() {
        let hub = Hub::new(255, OUTSTANDING);
        for number in 1..=3 {
            hub.announce_about("/a", "api_post_event", json!({"uri": number}));
        }
        let again = hub.subscribe(all(), Some("00000000000000ff-1")).unwrap();
        assert_eq!(again.resumed, Some(true));
        let missed = text(&again.missed.collect::<Vec<_>>());
        assert!(
            !missed.contains("\"uri\":1") && missed.contains("\"uri\":2") && missed.contains("\"uri\":3")
        );
        assert!(missed.starts_with("id: 00000000000000ff-2\r\nevent: api_post_event\r\ndata: {"), "{missed}");
        let current = hub.subscribe(all(), Some("00000000000000ff-3")).unwrap();
        assert_eq!((current.resumed, current.missed.count()), (Some(true), 0));
        for unknown in ["00000000000000fe-1", "00000000000000ff-4", "00000000000000ff-x", ""] {
            let unknown = hub.subscribe(all(), Some(unknown)).unwrap();
            assert_eq!((unknown.resumed, unknown.missed.count()), (Some(false), 0));
        }
        for _ in 0..KEPT {
            hub.announce("api_post_event", json!({}));
        }
        assert_eq!(hub.subscribe(all(), Some("00000000000000ff-2")).unwrap().resumed, Some(false));
        assert_eq!(hub.subscribe(all(), Some("00000000000000ff-3")).unwrap().missed.count(), KEPT);
        hub.close();
        assert_eq!(hub.subscribe(all(), Some("00000000000000ff-1003")).unwrap().resumed, Some(false));
    }

    #[test]
    fn what_is_kept_and_what_waits_is_bounded_in_bytes() {
        let hub = Hub::new(1, OUTSTANDING);
        let mut slow = hub.subscribe(all(), None).unwrap().events;
        let large = json!({"appDefinition": "x".repeat(1 << 20)});
        for _ in 0..18 {
            hub.announce("api_post_event", large.clone());
        }
        assert_eq!(hub.lock().history.len(), 15, "of a little more than a MiB each");
        assert!(hub.lock().kept_bytes <= KEPT_BYTES);
        assert_eq!(hub.lock().subscribers.len(), 0, "it was cut");
        let mut got = 0;
        while slow.queue.try_recv().is_ok() {
            got += 1;
        }
        assert_eq!(got, 15);
        hub.announce("api_post_event", json!("x".repeat(KEPT_BYTES)));
        let inner = hub.lock();
        assert_eq!((inner.history.len(), inner.kept_bytes), (0, 0));
    }
}
