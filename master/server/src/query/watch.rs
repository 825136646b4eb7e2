//! Streams of what changes on a page: the page at once, then only the difference, a few times a second at most.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chapada_listener::HttpResponse;
use chapada_master_core::Snapshot;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use tokio_stream::wrappers::ReceiverStream;
use warp::Reply;
use warp::sse::Event;

use super::ask::{Kind, List};
use super::overview::overview;
use super::page::{Page, item, page};
use crate::pieces;
use crate::shell::{Led, Shell};

/// The shortest time between two changes of one stream.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// A page that takes long to make is made less often: it may cost this part of one processor.
const MAX_PART: u32 = 20;
/// How often a stream without news shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Changes between us and a reader; while they wait, later ones coalesce.
const QUEUE: usize = 4;

/// What is watched.
pub(super) enum Watched {
    Overview,
    List(Kind, List),
    One { kind: Kind, framework: String, id: String },
}

/// Opens the stream.
pub(super) fn open(shell: Arc<Shell>, led: Arc<Led>, watched: Watched) -> HttpResponse {
    let (sender, events) = mpsc::channel(QUEUE);
    tokio::spawn(Watcher { shell, led, watched, sender }.run());
    let keep_alive = warp::sse::keep_alive().interval(KEEP_ALIVE);
    warp::sse::reply(keep_alive.stream(ReceiverStream::new(events))).into_response()
}

struct Watcher {
    shell: Arc<Shell>,
    led: Arc<Led>,
    watched: Watched,
    sender: mpsc::Sender<Result<Event, Infallible>>,
}

/// What the reader has.
enum Shown {
    Nothing,
    Page(Page),
    One(Value),
}

impl Watcher {
    async fn run(self) {
        let watcher = Arc::new(self);
        let mut versions = watcher.led.core.versions();
        let mut shown = Shown::Nothing;
        loop {
            versions.mark_unchanged();
            let Ok(books) = watcher.led.snapshot().await else { return };
            // A page may be one of many tasks, all of which are looked at: not where others wait.
            let looking = watcher.clone();
            let look = move || {
                let began = Instant::now();
                let (event, now) = looking.look(&books, &shown);
                (event, now, began.elapsed())
            };
            let Ok((event, now, took)) = pieces::write(look).await else { return };
            shown = now;
            if let Some(event) = event
                && watcher.sender.send(Ok(event)).await.is_err()
            {
                return;
            }
            let pause = MIN_INTERVAL.max(took * MAX_PART);
            tokio::select! {
                () = watcher.ended() => return,
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                () = watcher.ended() => return,
                changed = versions.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    async fn ended(&self) {
        tokio::select! {
            () = self.led.ended.cancelled() => {}
            () = self.shell.stop.cancelled() => {}
            () = self.sender.closed() => {}
        }
    }

    /// The event to send, if anything is new, and what the reader has after it.
    fn look(&self, books: &Snapshot, shown: &Shown) -> (Option<Event>, Shown) {
        match &self.watched {
            Watched::List(kind, list) => {
                let now = page(books, *kind, list);
                let event = match shown {
                    Shown::Page(before) => change(before, &now).map(|change| event("change", &change)),
                    Shown::Nothing | Shown::One(_) => Some(event("page", &now.json())),
                };
                (event, Shown::Page(now))
            }
            Watched::Overview => one(shown, overview(&self.shell, &self.led, books)),
            Watched::One { kind, framework, id } => {
                one(shown, item(books, *kind, framework, id).unwrap_or(Value::Null))
            }
        }
    }
}

fn one(shown: &Shown, now: Value) -> (Option<Event>, Shown) {
    let event = match shown {
        Shown::One(before) if *before == now => None,
        Shown::One(_) => Some(event("item", &now)),
        Shown::Nothing | Shown::Page(_) => Some(event("page", &now)),
    };
    (event, Shown::One(now))
}

fn event(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

/// What turns one page into the next; nothing when they are the same.
fn change(before: &Page, now: &Page) -> Option<Value> {
    if before == now {
        return None;
    }
    let old: HashMap<&str, &Value> = before.items.iter().map(|(key, item)| (key.as_str(), item)).collect();
    let upsert: Vec<&Value> = now
        .items
        .iter()
        .filter(|(key, item)| old.get(key.as_str()) != Some(&item))
        .map(|(_, item)| item)
        .collect();
    let order: Vec<&str> = now.items.iter().map(|(key, _)| key.as_str()).collect();
    let kept: std::collections::HashSet<&str> = order.iter().copied().collect();
    let gone = before.items.iter().map(|(key, _)| key.as_str());
    let remove: Vec<&str> = gone.filter(|key| !kept.contains(key)).collect();
    Some(json!({ "total": now.total, "upsert": upsert, "remove": remove, "order": order, "next": now.next }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(items: &[(&str, u32)]) -> Page {
        let items = items.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect::<Vec<_>>();
        Page { total: items.len(), items, next: None }
    }

    #[test]
    fn a_change_names_what_is_new_gone_and_where_all_stand() {
        let before = page_of(&[("a", 1), ("b", 2), ("c", 3)]);
        assert_eq!(change(&before, &page_of(&[("a", 1), ("b", 2), ("c", 3)])), None);
        let change = change(&before, &page_of(&[("d", 4), ("a", 1), ("c", 5)])).unwrap();
        assert_eq!(
            change,
            json!({"total": 3, "upsert": [4, 5], "remove": ["b"], "order": ["d", "a", "c"], "next": null})
        );
    }
}
